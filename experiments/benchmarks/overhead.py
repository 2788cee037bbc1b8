"""How long does the engine take for a trial, besides the evaluation, as the trials grow many?

    python -m experiments.benchmarks.overhead --macro FILE                # all cases; goes on
    python -m experiments.benchmarks.overhead --macro FILE --seconds 280  # for so long at most

Searches by the default strategy with one worker and a study in SQLite, in which an evaluation takes next to nothing,
for the front of accuracy and multiply-adds: 1,000 trials of the table NAS-Bench-Macro (8 choices) and of `mobile`, with
a formula in place of trainings; and the last of 10,000 trials of a table of 12,000 networks with 28 choices, made here,
of which all but the last 50 are written into the study at once. Reported are medians over 50 trials up to some number,
of the whole trial and of its parts: the strategy's proposal, the storage of the trials, and the rest, which is the
engine's bookkeeping; and the most memory that the last search took. Times are those of the processor, which a busy
machine lengthens by half rather than manifold. The bars: at trial 1,000 at most 50 ms with 8 choices and 150 ms on
`mobile`; at trial 10,000 at most 100 ms and 1 GB. About 3 minutes on one core. Results:
`experiments/results/overhead.json`.
"""

import argparse
import contextlib
import csv
import functools
import itertools
import json
import math
import resource
import sqlite3
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import distribution_to_json
from optuna.storages import _CachedStorage

from evaluators.benchmarks.tables import load_table
from evaluators.datasets import Dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from nas.engine.search import run_search
from nas.measuring.meters import counted
from nas.problem.candidate import Candidate
from nas.run.config import SearchConfig
from nas.run.database import Cached
from nas.run.environment import environment
from nas.run.monitor import Silent
from nas.strategies.reseeding import distributions
from nas.strategies.strategy import ProposingSampler
from nas.trials.record import attributes_of
from nas.trials.tally import Tally
from search_spaces.architecture import Architecture

RESULTS = Path(__file__).parents[1] / "results" / "overhead.json"
AT, WINDOW = (100, 500, 1000, 10_000), 50
BARS_MS = {"nas-bench-macro": (1000, 50), "mobile": (1000, 150), "table": (10_000, 100)}  # the last trial, and most
MOST_MB = 1000  # of the table
NETWORKS = 12_000  # of the table
PARTS = ("strategy", "storage", "rest")


def stand_in(architecture: Architecture, data: Dataset, fidelity: Fidelity) -> float:
    """Returns an accuracy that grows with multiply-adds and kernels, with noise of about 1 %."""
    kernels = [block.kernel for block in architecture.blocks if hasattr(block, "kernel")]
    noise = (int(architecture.id, 16) % 1000 / 1000 - 0.5) / 30
    return 1 - 0.3 * (1e5 / architecture.macs)**0.3 + statistics.mean(kernels) / 100 + noise


class Stopwatch(Silent):
    """A monitor that notes how long each trial took in each part; it ends the search when its time or share is over.

    Attributes:
        rows: milliseconds of each part of each trial, by the trial's number.
    """

    def __init__(self, seconds: float = math.inf, trials: float = math.inf) -> None:
        """Takes the time that it has, and how many trials it waits for."""
        self._trials = trials
        self.rows: dict[int, dict[str, float]] = {}
        self._end_s = time.monotonic() + seconds
        self._within = ["rest"]
        self._spent_s: dict[str, float] = defaultdict(float)
        self._since_s = time.process_time()

    def told(self, tally: Tally, last: Candidate | None, best: Candidate | None) -> None:
        """Notes the parts of the time since the trial before."""
        self._note()
        if last is not None:
            self.rows[last.trial] = {part: round(1e3 * self._spent_s[part], 2) for part in PARTS}
        self._spent_s.clear()
        if time.monotonic() > self._end_s or len(self.rows) >= self._trials:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Notes the time of the methods of samplers and storages; of one within another, that of the inner one."""
        methods = [(part, kind, name, method)
                   for part, kind in (("strategy", ProposingSampler), ("storage", _CachedStorage), ("storage", Cached))
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
        now_s = time.process_time()
        self._spent_s[self._within[-1]] += now_s - self._since_s
        self._since_s = now_s


def config_of(case: str, macro: Path, runs: Path) -> SearchConfig:
    """Returns the search of a case."""
    common: dict[str, Any] = {"objectives": ("accuracy", "macs"), "trials": BARS_MS[case][0]}
    if case == "table":
        return SearchConfig(data=f"table:accel-nasbench:{table_of(runs, NETWORKS)}", **common)
    if case == "mobile":
        return SearchConfig(space="mobile", evaluator="experiments.benchmarks.overhead:stand_in", **common)
    return SearchConfig(data=f"table:nas-bench-macro:{macro}", **common)


def table_of(runs: Path, networks: int) -> Path:
    """Returns the file of a table in the form of Accel-NASBench, of random networks and accuracies by a formula."""
    choices = {"e": (1, 4, 6), "k": (3, 5), "l": (1, 2, 3), "se": (0, 1)}
    names = [f"block{block}_{option}" for block in range(7) for option in choices]
    generator, path = np.random.default_rng(0), runs / "table.csv"
    rows = {tuple(int(generator.choice(choices[name.split("_")[1]])) for name in names) for _ in range(networks)}
    runs.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "val_top1", "zcu102_latency_mean"])
        writer.writerows([*row, round(70 - 30 * math.exp(-sum(row) / 60) + generator.normal() / 2, 3), sum(row) / 10]
                         for row in sorted(rows))
    return path


def fill(study: Path, data: str, trials: int) -> None:
    """Writes trials into the file of a study that has some, as a search of networks of the table would have."""
    table = load_table(data)
    texts = {name: distribution_to_json(of) for name, of in distributions(table.space).items()}
    with contextlib.closing(sqlite3.connect(study)) as database, database:
        own, begun = database.execute("SELECT max(study_id), count(*) FROM trials").fetchone()
        met = {json.loads(text)["architecture"] for (text,) in database.execute(
            "SELECT value_json FROM trial_user_attributes WHERE key = 'candidate'")}
        members = ((table.space.build(assignment), assignment) for assignment in table.space.members.values())
        new = ((architecture, assignment) for architecture, assignment in members if architecture.text not in met)
        for number, (architecture, assignment) in enumerate(itertools.islice(new, trials - begun), begun):
            accuracy, trial = table.accuracies[architecture.id], number + 1
            candidate = Candidate(number, architecture.text, accuracy, epochs=1, trained=True,
                                  costs=counted(architecture), accuracies=((1, accuracy),))
            database.execute("INSERT INTO trials VALUES (?, ?, ?, 'COMPLETE', datetime(), datetime())",
                             (trial, number, own))
            database.executemany("INSERT INTO trial_values VALUES (NULL, ?, ?, ?, 'FINITE')",
                                 [(trial, 0, accuracy), (trial, 1, architecture.macs)])
            database.executemany("INSERT INTO trial_user_attributes VALUES (NULL, ?, ?, ?)", [
                (trial, key, json.dumps(value)) for key, value in attributes_of(candidate).items()])
            database.executemany("INSERT INTO trial_params VALUES (NULL, ?, ?, ?, ?)", [
                (trial, name, table.space.parameters[name].index(value), texts[name])
                for name, value in assignment.items()])


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
    lines = [f"{case:16} trial {at:>5}: {own['trial']:6.1f} ms = "
             + " + ".join(f"{part} {own[part]:.1f}" for part in PARTS)
             + ("  MISSED" if int(at) == last and own["trial"] > most_ms else "")
             for case, (last, most_ms) in BARS_MS.items() for at, own in results.get(case, {}).items()]
    peak_mb = results.get("peak_memory_mb", 0)
    return "\n".join([*lines, f"{'table':16} took {peak_mb} MB" + ("  MISSED" if peak_mb > MOST_MB else "")])


def main() -> None:
    """Continues the searches, and writes their results."""
    parser = argparse.ArgumentParser(description="Times the engine without evaluations; see the docstring.")
    parser.add_argument("--macro", type=Path, required=True, help="the file of NAS-Bench-Macro")
    parser.add_argument("--runs", type=Path, default=Path("runs/overhead"), help="where the searches are")
    parser.add_argument("--seconds", type=float, default=math.inf, help="time after which the search is interrupted")
    parser.add_argument("--cases", nargs="+", choices=list(BARS_MS), default=list(BARS_MS))
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for case in arguments.cases:
        stopwatch, config = Stopwatch(arguments.seconds), config_of(case, arguments.macro, arguments.runs)
        notes = arguments.runs / f"{case}.json"
        stopwatch.rows = {int(trial): row for trial, row in json.loads(notes.read_text()).items()
                          } if notes.exists() else {}
        try:
            if case == "table" and not stopwatch.rows:
                with contextlib.suppress(KeyboardInterrupt):
                    run_search(config, arguments.runs / case, Stopwatch(trials=1), gauge={})
                fill(arguments.runs / case / "study.db", config.data, BARS_MS[case][0] - WINDOW)
            with stopwatch.watching():
                run_search(config, arguments.runs / case, stopwatch, gauge={})
        except KeyboardInterrupt:
            print(f"{case}: interrupted after {len(stopwatch.rows)} trials")
        arguments.runs.mkdir(parents=True, exist_ok=True)
        write_whole(notes, json.dumps(stopwatch.rows).encode())
        if case == "table":
            results["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        results |= {case: medians(stopwatch.rows), "environment": environment()}
        write_whole(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
        print(report(results))


if __name__ == "__main__":
    main()
