"""Do the random members of a space that fill a budget come near the published networks that do?

    python -m experiments.spaces --spaces fitted mobile --latency 0.056 0.1 0.17 --members 100

Records `nas compare-spaces` for several budgets and targets, in a file of scores for each data set (of the embedded
one, `experiments/results/spaces_fashion-mnist.json`), and draws the distributions into docs/; what is recorded is not
done again. A member takes 4 to 20 s on two cores; expected: the median of `fitted` lies near the best network made by
hand, that of `mobile` points below.

`--recorded` prints the record of a data set and measures nothing. At 0.0204 ms that of the embedded one has members of
`fitted` as it was: with hard swish in every stage, and SandGlass blocks in the last one only.

How far brief trainings of such members rank them is recorded in an hour by `nas correlate fitted --data fashion-mnist
--latency 0.0267ms --epochs 5 --members 60 --seeds 2 --record experiments/results/correlation.json`; of the space
before, with SandGlass blocks in its last stage only, in `results/correlation_late_sandglass.json`, and of that at
0.0416 ms on an Intel Xeon server in `results/correlation_xeon.json`.
"""

import argparse
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from evaluators.runtimes import parse_target
from nas.engine.distributions import Comparison, Distribution, Member, compare
from nas.engine.scores import MEMBERS, NETWORKS
from nas.problem.budgets import Budgets
from nas.report.distributions import distribution_table, draw_distributions, verdict
from nas.report.figure import write_figure
from nas.run.config import SearchConfig
from search_spaces import SPACES

ROOT = Path(__file__).parents[1]
EPOCHS = 4


def main() -> None:
    """Makes the comparisons that lack in the record, and prints and draws all that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spaces", nargs="+", default=["fitted", "mobile"], help=f"of {', '.join(SPACES)}, or files")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--targets", nargs="+", default=["onnxruntime"])
    parser.add_argument("--latency", nargs="+", type=float, default=[0.1], help="budgets in milliseconds")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--recorded", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    console, name = Console(width=100), f"spaces_{Path(arguments.data).stem}"
    if arguments.recorded:
        for where, latency_ms, found in recorded(ROOT / f"experiments/results/{name}.json"):
            console.print(where, distribution_table(found, Budgets(latency_ms=latency_ms), EPOCHS), verdict(found))
        return
    for target, latency_ms in itertools.product(arguments.targets, arguments.latency):
        config = SearchConfig(data=arguments.data, target=target, latency_ms=latency_ms, epochs=EPOCHS)
        budgets = config.budgets(latency_ms)
        found = compare(arguments.spaces, config, budgets, ROOT / f"experiments/results/{name}.json",
                        count=arguments.members)
        console.print(f"{arguments.data}, {target}", distribution_table(found, budgets, EPOCHS), verdict(found))
        on = re.sub(r"[^\w.]+", "-", parse_target(target).text)  # with its options, each of which is another picture
        write_figure(ROOT / f"docs/{name}_{on}_{latency_ms:g}ms.png", draw_distributions(found, budgets, EPOCHS))


def recorded(path: Path) -> Iterator[tuple[str, float, Comparison]]:
    """Yields each budget of a record, in words and in milliseconds, with what fills it."""
    record = json.loads(path.read_text())
    for where, spaces in record[MEMBERS].items():
        found = {name: [Member(**row) for row in of["members"]] for name, of in spaces.items()}
        by_hand, *others = (Distribution(name, tuple(members), tuple(
            record[NETWORKS][one.text][str(EPOCHS)][0][0] for one in members)) for name, members in found.items())
        yield where, float(where.split()[1]), Comparison(by_hand, tuple(others))


if __name__ == "__main__":
    main()
