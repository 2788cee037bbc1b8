"""Which strategy finds the front of a published table in the fewest evaluations?

Every strategy on three cases, with 20 seeds: the front of accuracy and multiply-adds of NAS-Bench-Macro; its best
network within the 30th percentile of multiply-adds (one objective); the front of accuracy and measured latency of
Accel-NASBench. An evaluation is a distinct network within the budget. The value is the share of the hypervolume of the
table's front in percent, with the reference at the largest cost and 80 % accuracy (Macro) or the 5th percentile of
accuracy (Accel); with one objective, 100 from the evaluation on that found the best.

    python experiments/benchmarks/strategies.py --macro FILE --accel FILE       # goes on where it was
    python experiments/benchmarks/strategies.py --macro FILE --accel FILE --seconds 240 --processes 2
    python experiments/benchmarks/strategies.py --macro FILE --accel FILE --strategies gp     # hours, and needs PyTorch

Takes about 5 minutes on two cores without `gp`, which is left out unless it is named. Results:
`experiments/results/strategies.json`, and the plot `docs/strategies.png`; the printed table has means with 95 %
intervals, and p of a Wilcoxon test against `surrogate` at the last evaluation.
"""

import argparse
import json
import multiprocessing
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import wilcoxon

from evaluators.benchmarks.tables import Table, load_table
from evaluators.machine.files import write_whole
from nas.problem.budgets import Budgets
from nas.problem.candidate import directions
from nas.problem.pareto import hypervolume
from nas.strategies import STRATEGIES, Problem, Strategy, sampler_of
from nas.strategies.reseeding import Reseeded

ROOT = Path(__file__).parents[2]
RESULTS, PLOT = ROOT / "experiments/results/strategies.json", ROOT / "docs/strategies.png"
AT = {"macro": tuple(range(10, 151, 10)), "macro-budget": tuple(range(10, 61, 10)),
      "accel": tuple(range(10, 151, 10))}
SEEDS = 20
LEAST_SHARE = 10  # a study ends where only so small a share of its proposals, one in so many, is new

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """A table, the objectives of a search in it, and the score of a search: error and cost of each network by id."""

    table: Table
    problem: Problem
    points: dict[str, Vector]
    reference: Vector

    def score(self, found: list[str]) -> float:
        """Returns the share of the possible in percent."""
        points = np.array([self.points[identity] for identity in found])
        if len(self.problem.objectives) == 1:
            return 100.0 * bool(points[:, 0].min() == min(error for error, _ in self.points.values()))
        return 100 * hypervolume(points, self.reference) / hypervolume(list(self.points.values()), self.reference)


@lru_cache(maxsize=3)
def case_of(name: str, file: Path) -> Case:
    """Returns a case by its name in `AT`."""
    table = load_table(f"table:{'accel-nasbench' if name == 'accel' else 'nas-bench-macro'}:{file}")
    macs = {identity: float(table.space.build(assignment).macs) for identity, assignment in table.space.members.items()}
    costs = table.latencies_ms if name == "accel" else macs
    points = {identity: np.array([1 - table.accuracies[identity], cost]) for identity, cost in costs.items()}
    errors, largest = np.array([error for error, _ in points.values()]), max(costs.values())
    if name == "macro":
        return Case(table, Problem(table.space, ("accuracy", "macs")), points, np.array([0.2, largest]))
    if name == "accel":
        return Case(table, Problem(table.space, ("accuracy", "latency")), points,
                    np.array([np.percentile(errors, 95), largest]))
    limit = int(np.percentile(list(macs.values()), 30))
    within = {identity: point for identity, point in points.items() if point[1] <= limit}
    return Case(table, Problem(table.space, ("accuracy",), Budgets(macs=limit)), within, np.array([1.0, largest]))


@lru_cache(maxsize=3)
def made(name: str, file: Path, strategy: str) -> Strategy | Reseeded:
    """Returns a strategy for a case, made once for all seeds, since its features of a whole table take seconds."""
    return STRATEGIES[strategy](case_of(name, file).problem)


def searched(name: str, file: Path, strategy: str, seed: int) -> dict[str, Any]:
    """Returns the scores of a search after each number of evaluations of its case, and milliseconds per proposal."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    case, begin_s = case_of(name, file), time.perf_counter()
    objectives = case.problem.objectives
    study = optuna.create_study(directions=directions(objectives),
                                sampler=sampler_of(made(name, file, strategy), replace(case.problem, seed=seed)))
    limit, seen, found = case.problem.budgets.macs, set[str](), list[str]()
    while len(found) < AT[name][-1] and len(study.get_trials(deepcopy=False)) < LEAST_SHARE * AT[name][-1]:
        trial = study.ask()
        architecture = case.table.space.nearest(case.table.space.suggest(trial), seen)
        if limit:
            trial.set_constraint("macs", architecture.macs / limit - 1)
        error, cost = case.points.get(architecture.id, (1.0, float(architecture.macs)))
        if architecture.id in case.points and architecture.id not in seen:
            found.append(architecture.id)
        seen.add(architecture.id)
        study.tell(trial, [1 - error, cost][:len(objectives)])
    proposal_ms = 1e3 * (time.perf_counter() - begin_s) / len(study.get_trials(deepcopy=False))
    return {"score": [round(case.score(found[:count]), 3) for count in AT[name]], "proposal_ms": round(proposal_ms, 1)}


def report(results: dict[str, dict[str, Any]]) -> str:
    """Returns the means, their 95 % intervals and p against `surrogate`, one line for each case and strategy."""
    lines = []
    for name, at in AT.items():
        for strategy in STRATEGIES:
            scores = _scores(results, name, strategy)
            both = sorted(scores.keys() & (base := _scores(results, name, "surrogate")).keys())
            if len(both) < 2:
                continue
            values = np.array([scores[seed] for seed in both])
            half = student.ppf(0.975, len(both) - 1) * values.std(axis=0, ddof=1) / len(both)**0.5
            differences = values[:, -1] - np.array([base[seed][-1] for seed in both])
            p = wilcoxon(differences).pvalue if np.any(differences) else 1.0
            columns = "  ".join(f"{values[:, at.index(n)].mean():6.2f} ± {half[at.index(n)]:5.2f} at {n}"
                                for n in sorted({30, 60, at[-1]}))
            lines.append(f"{name:13} {strategy:13} {len(both):3} seeds  {columns}  p={p:.1e}")
    return "\n".join(lines)


def plot(results: dict[str, dict[str, Any]]) -> None:
    """Writes the mean scores against evaluations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (name, at) in zip(figure.subplots(1, 3), AT.items(), strict=True):
        for strategy in STRATEGIES:
            scores = list(_scores(results, name, strategy).values())
            if scores:
                axes.plot(at, np.mean(scores, axis=0), label=strategy, linewidth=1.2 + 1.3 * (strategy == "surrogate"))
        axes.set(title=name, xlabel="evaluations", ylabel="best found (% of seeds)" if name == "macro-budget"
                 else "hypervolume (% of the table's)", ylim=None if name == "macro-budget" else (85, 100.2))
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(PLOT, dpi=110)


def _scores(results: dict[str, dict[str, Any]], name: str, strategy: str) -> dict[str, list[float]]:
    return {key.split()[2]: value["score"] for key, value in results.items() if key.split()[:2] == [name, strategy]}


def _job(job: tuple[str, Path, str, int]) -> tuple[str, dict[str, Any]]:
    name, _, strategy, seed = job
    return f"{name} {strategy} {seed}", searched(*job)


def main() -> None:
    """Runs the searches that are not in the results yet."""
    parser = argparse.ArgumentParser(description="Compares strategies on tables; see the docstring.")
    parser.add_argument("--macro", type=Path, required=True)
    parser.add_argument("--accel", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time after which no result is waited for")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES,
                        default=[strategy for strategy in STRATEGIES if strategy != "gp"])
    arguments = parser.parse_args()
    deadline_s = time.monotonic() + arguments.seconds
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    files = {"macro": arguments.macro, "macro-budget": arguments.macro, "accel": arguments.accel}
    jobs = [(name, files[name], strategy, seed) for seed in range(SEEDS) for strategy in arguments.strategies
            for name in AT if f"{name} {strategy} {seed}" not in results]
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for key, value in pool.imap(_job, jobs):
            results[key] = value
            write_whole(RESULTS, (json.dumps(results, indent=0) + "\n").encode())
            if time.monotonic() > deadline_s:
                break
    print(report(results))
    plot(results)


if __name__ == "__main__":
    main()
