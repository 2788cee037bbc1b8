"""How long does the engine take for a trial, besides the evaluation, as the trials grow many?

    python -m experiments.benchmarks.overhead --macro FILE                # both cases, to trial 2,000; goes on
    python -m experiments.benchmarks.overhead --macro FILE --seconds 280  # for so long at most

Whole searches of 2,000 trials by the default strategy with one worker and a study in SQLite, in which an evaluation
takes next to nothing: the table NAS-Bench-Macro (8 choices), and `mobile` with a formula in place of trainings, both
for the front of accuracy and multiply-adds. Reported are medians over the 50 trials up to trials 100, 500, 1,000 and
2,000, of the whole trial and of its parts: the strategy's proposal, the storage of the trials, and the rest, which is
the engine's bookkeeping. The bars: at trial 1,000 at most 50 ms with 8 choices and 250 ms on `mobile`. About 8 minutes
on one core, which nothing else should use. Results: `experiments/results/overhead.json`.
"""

import argparse
import contextlib
import functools
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from optuna.storages import _CachedStorage

from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from nas.engine.search import run_search
from nas.problem.candidate import Candidate
from nas.run.config import SearchConfig
from nas.run.environment import environment
from nas.run.monitor import Silent
from nas.strategies.strategy import ProposingSampler
from nas.trials.tally import Tally
from search_spaces.architecture import Architecture

RESULTS = Path(__file__).parents[1] / "results" / "overhead.json"
AT, WINDOW = (100, 500, 1000, 2000), 50
BARS_MS = {"nas-bench-macro": 50, "mobile": 250}  # at trial 1,000
PARTS = ("strategy", "storage", "rest")


def stand_in(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> float:
    """Returns an accuracy that grows with multiply-adds and kernels, with noise of about 1 %."""
    kernels = [block.kernel for block in architecture.blocks if hasattr(block, "kernel")]
    noise = (int(architecture.id, 16) % 1000 / 1000 - 0.5) / 30
    return 1 - 0.3 * (1e5 / architecture.macs)**0.3 + statistics.mean(kernels) / 100 + noise


class Stopwatch(Silent):
    """A monitor that notes how long each trial took in each part; it ends the search when its time is over.

    Attributes:
        rows: milliseconds of each part of each trial, by the trial's number.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        """Takes the time that it has."""
        self.rows: dict[int, dict[str, float]] = {}
        self._end_s = time.monotonic() + seconds
        self._within = ["rest"]
        self._spent_s: dict[str, float] = defaultdict(float)
        self._since_s = time.perf_counter()

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Notes the parts of the time since the trial before."""
        self._note()
        if last is not None:
            self.rows[last.trial] = {part: round(1e3 * self._spent_s[part], 2) for part in PARTS}
        self._spent_s.clear()
        if time.monotonic() > self._end_s:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Notes what the methods of samplers and storages take; within one another, what the inner one takes."""
        methods = [(part, kind, name, method)
                   for part, kind in (("strategy", ProposingSampler), ("storage", _CachedStorage))
                   for name, method in vars(kind).items() if callable(method) and not name.startswith("_")]
        for part, kind, name, method in methods:
            setattr(kind, name, self._timed(part, method))
        try:
            yield
        finally:
            for _, kind, name, method in methods:
                setattr(kind, name, method)

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            self._note()
            self._within.append(part)
            try:
                return method(*arguments, **named)
            finally:
                self._note()
                self._within.pop()
        return call

    def _note(self) -> None:
        now_s = time.perf_counter()
        self._spent_s[self._within[-1]] += now_s - self._since_s
        self._since_s = now_s


def config_of(case: str, macro: Path) -> SearchConfig:
    """Returns the search of a case."""
    common: dict[str, Any] = {"objectives": ("accuracy", "macs"), "trials": AT[-1]}
    if case == "mobile":
        return SearchConfig(space="mobile", evaluator="experiments.benchmarks.overhead:stand_in", **common)
    return SearchConfig(data=f"table:nas-bench-macro:{macro}", **common)


def medians(rows: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns the median milliseconds of the whole trial and of each part, around each number of trials."""
    found = {}
    for at in AT:
        window = [rows[trial] for trial in range(at - WINDOW, at) if trial in rows]
        if len(window) == WINDOW:
            found[str(at)] = {"trial": round(statistics.median(sum(row.values()) for row in window), 1),
                              **{part: round(statistics.median(row[part] for row in window), 1) for part in PARTS}}
    return found


def report(results: dict[str, Any]) -> str:
    """Returns a line for each case and number of trials."""
    return "\n".join(
        f"{case:16} trial {at:>5}: {own['trial']:6.1f} ms = " + " + ".join(f"{part} {own[part]:.1f}" for part in PARTS)
        + ("  MISSED" if at == "1000" and own["trial"] > BARS_MS[case] else "")
        for case in BARS_MS for at, own in results.get(case, {}).items())


def main() -> None:
    """Goes on with the searches, and writes their results."""
    parser = argparse.ArgumentParser(description="Times the engine without evaluations; see the docstring.")
    parser.add_argument("--macro", type=Path, required=True, help="the file of NAS-Bench-Macro")
    parser.add_argument("--runs", type=Path, default=Path("runs/overhead"), help="where the searches are")
    parser.add_argument("--seconds", type=float, default=math.inf, help="time after which the search is interrupted")
    parser.add_argument("--cases", nargs="+", choices=list(BARS_MS), default=list(BARS_MS))
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    stopwatch = Stopwatch(arguments.seconds)
    for case in arguments.cases:
        notes = arguments.runs / f"{case}.json"
        stopwatch.rows = {int(trial): row for trial, row in json.loads(notes.read_text()).items()
                          } if notes.exists() else {}
        try:
            with stopwatch.watching():
                run_search(config_of(case, arguments.macro), arguments.runs / case, stopwatch, gauge={})
        except KeyboardInterrupt:
            print(f"{case}: interrupted after {len(stopwatch.rows)} trials")
        arguments.runs.mkdir(parents=True, exist_ok=True)
        write_whole(notes, json.dumps(stopwatch.rows).encode())
        results |= {case: medians(stopwatch.rows), "environment": environment()}
        write_whole(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
        print(report(results))


if __name__ == "__main__":
    main()
