"""Does a search under a budget find a better winner when every other training is for the winner alone?

    python -m experiments.benchmarks.turns --macro FILE --seeds 10

The table NAS-Bench-Macro with a budget of multiply-adds, objectives accuracy and multiply-adds: `surrogate` as it is,
in which under budgets every other training is for the expected gain in accuracy alone, beside one whose every proposal
is for the hypervolume of the front. Reported are the regret of the winner, in points of accuracy below the best network
within the budget, and the hypervolume of the front in percent of what is possible, after 15, 20 and 30 networks within
the budget; means over the seeds with standard errors. About 15 minutes on one core. Results:
`experiments/results/turns.json`.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from evaluators.benchmarks.tables import load_table
from evaluators.machine.files import write_whole
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, directions
from nas.problem.pareto import hypervolume
from nas.strategies import Problem, sampler_of
from nas.strategies.surrogate.strategy import Surrogate

RESULTS = Path(__file__).parents[1] / "results" / "turns.json"
AT, PERCENTILES = (15, 20, 30), (30, 60)  # networks within the budget; of the multiply-adds of all networks
SIDES = IN_TURNS, FRONT_ONLY = "every other for the winner", "all for the front"


class FrontOnly(Surrogate):
    """The strategy with all proposals for the hypervolume."""

    def _aims(self, known: Sequence[Candidate]) -> list[int]:
        return list(range(len(self._problem.objectives)))


def searched(file: Path, side: str, percentile: float, seed: int) -> dict[str, Any]:
    """Returns the regret of the winner in points and the hypervolume in percent, at each of `AT`."""
    table = load_table(f"table:nas-bench-macro:{file}")
    macs = {identity: float(table.space.build(assignment).macs) for identity, assignment in table.space.members.items()}
    limit = int(np.percentile(list(macs.values()), percentile))
    points = {identity: (1 - table.accuracies[identity], cost) for identity, cost in macs.items() if cost <= limit}
    reference = (0.2, float(limit))
    problem = Problem(table.space, ("accuracy", "macs"), Budgets(macs=limit), seed)
    strategy = (Surrogate if side == IN_TURNS else FrontOnly)(problem)
    study = optuna.create_study(directions=directions(problem.objectives), sampler=sampler_of(strategy, problem))
    seen, found = set[str](), list[str]()
    while len(found) < AT[-1]:
        trial = study.ask()
        network = table.space.nearest(table.space.suggest(trial), seen)
        trial.set_constraint("macs", network.macs / limit - 1)
        if network.id in points and network.id not in seen:
            found.append(network.id)
        seen.add(network.id)
        study.tell(trial, [1 - points[network.id][0] if network.id in points else 0.0, float(network.macs)])
    best, possible = min(error for error, _ in points.values()), hypervolume(list(points.values()), reference)
    return {"regret": [100 * (min(points[one][0] for one in found[:count]) - best) for count in AT],
            "hypervolume": [100 * hypervolume([points[one] for one in found[:count]], reference) / possible
                            for count in AT]}


def report(rows: dict[str, dict[str, Any]]) -> str:
    """Returns the table of the means in Markdown."""
    lines = ["| budget | proposals | " + " | ".join(f"{name} at {count}" for name in ("regret", "hypervolume")
                                                    for count in AT) + " |", "|---" * (2 + 2 * len(AT)) + "|"]
    for percentile in PERCENTILES:
        for side in SIDES:
            found = [row for key, row in rows.items() if key.startswith(f"{side}, p{percentile},")]
            if found:
                values = np.array([[*row["regret"], *row["hypervolume"]] for row in found])
                errors = values.std(axis=0, ddof=1) / len(found)**0.5 if len(found) > 1 else np.zeros(2 * len(AT))
                cells = (f"{mean:.2f} ± {error:.2f}" for mean, error in zip(values.mean(axis=0), errors, strict=True))
                lines.append(f"| p{percentile} | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Makes the searches that lack in the records, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--macro", type=Path, help="the table of NAS-Bench-Macro; without it, the table is printed")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    jobs = {f"{side}, p{percentile}, seed {seed}": partial(searched, arguments.macro, side, percentile, seed)
            for seed in range(arguments.seeds if arguments.macro else 0)
            for percentile in PERCENTILES for side in SIDES}
    for key, job in jobs.items():
        if key not in rows:
            rows[key] = job()
            write_whole(RESULTS, (json.dumps(rows, indent=1) + "\n").encode())
    print(report(rows))


if __name__ == "__main__":
    main()
