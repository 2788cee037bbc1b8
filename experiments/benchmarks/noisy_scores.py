"""Does a search find a larger front when it begins with members at shares of its budget, at no loss of its winner?

    python -m experiments.benchmarks.noisy_scores --macro FILE --accel FILE --seeds 10

Searches of 25 networks within a budget, the 30th percentile of the cost: NAS-Bench-Macro by multiply-adds, and
Accel-NASBench by measured latency. A score is the accuracy of the table with a normal deviation of half a point, as
between seeds of a training, on 1,000 images that are drawn for it. As a search does, each begins with published
networks (here: random ones, most of which the strategy does not learn from), two of them at a half and a quarter of
the budget, and with eight members: all at the budget, or the last three at two thirds, a half and a third. Reported are
the size of the front by scores, in how many searches it has at least five members, and by the accuracies of the table
the winner, in points below the best network within the budget, and the hypervolume in percent of what is possible;
means with standard errors. About 10 seconds a seed. Results: `experiments/results/noisy_scores.json`.
"""

import argparse
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.benchmarks.tables import TableSpace, load_table
from evaluators.latency import Latency
from evaluators.machine.files import write_whole
from nas.measuring.filling import FILLING, LESS, SHARES
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, front, winner
from nas.problem.costs import Costs
from nas.problem.pareto import hypervolume
from nas.problem.problem import Problem
from nas.strategies.surrogate.strategy import Surrogate

RESULTS = Path(__file__).parents[1] / "results" / "noisy_scores.json"
NAMES = {"macro": "nas-bench-macro", "accel": "accel-nasbench"}
PERCENTILE, NETWORKS, IMAGES, DEVIATION = 30, 25, 1000, 0.005
AT_BUDGET = (1.0,) * FILLING
AT_SHARES = (*AT_BUDGET[len(LESS):], *LESS)
SIDES = {"at the budget": AT_BUDGET, "at shares": AT_SHARES}


@dataclass(frozen=True, eq=False)
class Case:
    """A table with a budget: its space, problem, limit, and the accuracy and cost of each network by id."""

    space: TableSpace
    problem: Problem
    limit: float
    points: dict[str, tuple[float, float]]


@lru_cache(maxsize=2)
def case_of(name: str, file: Path) -> Case:
    """Returns a case by its name in `NAMES`."""
    table = load_table(f"table:{NAMES[name]}:{file}")
    costs = table.latencies_ms or {identity: float(table.space.build(assignment).macs)
                                   for identity, assignment in table.space.members.items()}
    limit = float(np.percentile(list(costs.values()), PERCENTILE))
    problem = (Problem(table.space, budgets=Budgets(latency_ms=limit)) if table.latencies_ms else
               Problem(table.space, ("accuracy", "macs"), Budgets(macs=int(limit))))
    return Case(table.space, problem, limit, {one: (table.accuracies[one], cost) for one, cost in costs.items()})


@lru_cache(maxsize=2)
def strategy_of(name: str, file: Path) -> Surrogate:
    """Returns the strategy of a case, made once for all seeds, since its features of a whole table take seconds."""
    return Surrogate(case_of(name, file).problem)


def scored(case: Case, identity: str, trial: int, generator: np.random.Generator) -> Candidate:
    """Returns a network of a table as a search would know it, its score with noise."""
    (accuracy, cost), network = case.points[identity], case.space.build(case.space.members[identity])
    costs = Costs(macs=network.macs, latencies={case.problem.budgets.targets[0]: Latency.exact(cost)})
    violations = case.problem.budgets.violations(costs)
    share = float(np.clip(generator.normal(accuracy, DEVIATION), 0, 1))
    within = max(violations.values()) <= 0
    return Candidate(trial, network.text, generator.binomial(IMAGES, share) / IMAGES if within else None,
                     IMAGES, int(within), within, costs, violations, "complete",
                     case.space.members[identity])


def searched(name: str, file: Path, side: str, seed: int) -> dict[str, float]:
    """Returns the size of a search's front, its regret and its hypervolume."""
    case, strategy = case_of(name, file), strategy_of(name, file)
    generator, found, known = np.random.default_rng(seed), dict[str, Candidate](), list[Candidate]()

    def add(identity: str, learned: bool = True) -> None:
        found[identity] = scored(case, identity, len(found), generator)
        known.extend([found[identity]] if learned else [])

    for place, share in enumerate((1.0, 1.0, *SHARES, 1.0, *SIDES[side])):
        there = [one for one, (_, cost) in case.points.items()
                 if 0.9 * share * case.limit <= cost <= share * case.limit and one not in found]
        if there:
            add(there[generator.integers(len(there))], learned=place >= 2 + len(SHARES))
    while sum(candidate.trained for candidate in found.values()) < NETWORKS and len(found) < 4 * NETWORKS:
        proposal = strategy.propose(known, [], np.random.default_rng((seed, len(found))))
        add(case.space.nearest(proposal, found).id)
    objectives, reference = case.problem.objectives, (0.5, case.limit)
    best = winner(found.values(), objectives)
    assert best is not None
    within = [(1 - accuracy, cost) for accuracy, cost in case.points.values() if cost <= case.limit]
    reached = [(1 - case.points[one][0], case.points[one][1]) for one, own in found.items() if own.trained]
    return {"front": len(front(found.values(), objectives)),
            "regret": 100 * (1 - min(error for error, _ in within) - case.points[best.architecture_id][0]),
            "hypervolume": 100 * hypervolume(reached, reference) / hypervolume(within, reference)}


def report(rows: dict[str, dict[str, Any]]) -> str:
    """Returns the table of the means in Markdown."""
    columns = ("table", "members to begin with", "searches", "front", "5 members", "regret", "hypervolume")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in NAMES:
        for side in SIDES:
            found = [row for key, row in rows.items() if key.startswith(f"{name}, {side}, ")]
            if len(found) > 1:
                cells = []
                for of in ("front", "regret", "hypervolume"):
                    values = np.array([row[of] for row in found])
                    cells.append(f"{values.mean():.2f} ± {values.std(ddof=1) / len(found)**0.5:.2f}")
                cells.insert(1, f"{np.mean([row['front'] >= 5 for row in found]):.0%}")
                lines.append(f"| {name} | {side} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Makes the searches that lack in the records, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--macro", type=Path, help="the table of NAS-Bench-Macro")
    parser.add_argument("--accel", type=Path, help="the table of Accel-NASBench; without any, the report is printed")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    rows: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    files = {name: file for name in NAMES if (file := getattr(arguments, name))}
    for seed in range(arguments.seeds):
        for name, file in files.items():
            for side in SIDES:
                if (key := f"{name}, {side}, seed {seed}") not in rows:
                    rows[key] = searched(name, file, side, seed)
                    write_whole(RESULTS, (json.dumps(rows, indent=1) + "\n").encode())
    print(report(rows))


if __name__ == "__main__":
    main()
