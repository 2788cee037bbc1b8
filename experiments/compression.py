"""Is a network that was pruned better than one of its shape that was trained alone, at equal epochs?

    python -m experiments.compression --data fashion-mnist --networks small medium --epochs 20 --seeds 3
    python -m experiments.compression --networks tiny --epochs 1 --seeds 1 --record smoke.json  # smoke

With each seed networks of `experiments.recipes` are trained, and compressed to two thirds of their own latency by
`nas compress`. The shape that comes out is trained from scratch too, for as many epochs as all trainings of the
compressed one together had, alone and taught by the unpruned network as that was. All learn from training and
validation images. The table has accuracies on test images and latencies; the record names the machine and its load. A
seed that is in `compression.json` is not done again. A network whose smallest form takes longer is refused, as `tiny`
is. Expected time: ten minutes for `small` on two cores; expected: less than a point is lost, and the shape alone is as
good after as many epochs if it is taught.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import nas
from evaluators.datasets import load_dataset
from evaluators.machine.files import write_whole
from evaluators.recipe import FINAL_EPOCHS
from experiments.recipes import NETWORKS, ROOT, network
from nas.export.certificate import Exported, latencies_of
from nas.export.compress import STEPS
from nas.problem.budgets import Budgets
from nas.run.monitor import Silent
from search_spaces.errors import InvalidInput

TARGET = "onnxruntime"
SHARE = 2 / 3  # of its latency, that a network is compressed to
WAYS = {"unpruned": "unpruned", "compressed": "compressed", "scratch": "its shape from scratch",
        "taught": "its shape from scratch, taught"}


@dataclasses.dataclass
class Steps(Silent):
    """A monitor that prints its lines, and counts the steps."""

    console: Console
    count: int = 0

    def say(self, text: str) -> None:
        """Prints a line."""
        self.count += text.startswith("step ")
        self.console.print(text, highlight=False)


def outcome(exported: Exported) -> dict[str, Any]:
    """Returns the record of a training: test accuracy, latency, and the machine at that time."""
    certificate = exported.certificate
    timing = certificate["timings"][-1]
    latency = latencies_of(timing).get(TARGET)
    accuracy = certificate["accuracy"]
    assert accuracy is not None
    return {"architecture": certificate["architecture"], "test": accuracy["test"], "macs": certificate["costs"]["macs"],
            "epochs": certificate["training"]["epochs"], "latency_ms": latency.raw_ms if latency else None,
            "processor": timing["environment"]["processor"], "load_average": timing["environment"]["load_average"]}


def compared(text: str, data: str, epochs: int, steps: int, seed: int, console: Console) -> dict[str, Any]:
    """Returns the outcomes of a network of a text: unpruned, compressed, and of the compressed shape from scratch.

    Where no form of the network is as fast, the line that says so stands in place of the compressed ones.
    """
    with tempfile.TemporaryDirectory() as place:
        monitor, settings = Steps(console), dict[str, Any](data=data, seed=seed)
        whole = nas.train(text, epochs=epochs, out=Path(place) / "whole", monitor=monitor, **settings)
        own = outcome(whole)
        try:
            small = nas.compress(str(whole.directory), budgets=Budgets(latency_ms=SHARE * own["latency_ms"]),
                                 epochs=epochs, steps=steps, out=Path(place) / "small", monitor=monitor, **settings)
        except InvalidInput as refusal:
            if not str(refusal).startswith("a smaller form of the network must meet its budgets"):
                raise
            return {"unpruned": own, "refused": str(refusal)}
        shape, total = small.certificate["architecture"], 2 * epochs + monitor.count
        found = {"unpruned": own, "compressed": outcome(small)}
        for way, teacher in (("scratch", ()), ("taught", (str(whole.directory / "model.safetensors"),))):
            found[way] = outcome(nas.train(shape, epochs=total, teacher=teacher, out=Path(place) / way,
                                           monitor=monitor, **settings))
    return found


def report(rows: dict[str, list[dict[str, Any]]]) -> Table:
    """Returns the table of the means over seeds."""
    table = Table("network", "way", "epochs", "latency (ms)", "MACs", "test (%)", "beside the unpruned (points)")
    for name, of in rows.items():
        for row in of:
            if "refused" in row:
                table.add_row(name, "refused", "", f"{row['unpruned']['latency_ms']:.4f}")
        of = [row for row in of if "refused" not in row]
        whole = 100 * np.array([row["unpruned"]["test"] for row in of])
        for way, words in WAYS.items() if of else ():
            found = [row[way] for row in of]
            test = 100 * np.array([one["test"] for one in found])
            table.add_row(name, words, str(found[0]["epochs"]), f"{np.mean([one['latency_ms'] for one in found]):.4f}",
                          f"{np.mean([one['macs'] for one in found]):,.0f}", f"{test.mean():.2f}",
                          f"{(test - whole).mean():+.2f}")
    return table


def main() -> None:
    """Makes the trainings that lack in the record, and prints the table of all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion-mnist", help="as `nas search --data` takes them")
    parser.add_argument("--epochs", type=int, default=FINAL_EPOCHS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=["small", "medium"], choices=list(NETWORKS))
    parser.add_argument("--record", type=Path, default=ROOT / "experiments/results/compression.json")
    arguments = parser.parse_args()
    console = Console(width=120)
    content: dict[str, Any] = json.loads(arguments.record.read_text()) if arguments.record.exists() else {}
    data, rows = load_dataset(arguments.data), dict[str, list[dict[str, Any]]]()
    for name in arguments.networks:
        for seed in range(arguments.seeds):
            text = network(name, data).text
            key = json.dumps([data.fingerprint, text, arguments.epochs, arguments.steps, seed])
            if key not in content:
                content[key] = compared(text, arguments.data, arguments.epochs, arguments.steps, seed, console)
                write_whole(arguments.record, (json.dumps(content, indent=1) + "\n").encode())
            rows.setdefault(name, []).append(content[key])
    console.print(report(rows))


if __name__ == "__main__":
    main()
