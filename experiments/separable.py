"""Plain convolutions against separable ones, and one 5x5 against two 3x3: what they cost and what they are worth.

    python -m experiments.separable            # what is not recorded yet
    python -m experiments.separable --report   # the table of what is recorded

Three convolutions with biases, from 32 channels to 64, 128 and 128, are written in each form, between the same stem and
classifier: 239,936 parameters as plain 3x3 and 29,184 as separable ones. All are timed in turns on each runtime, so
that what else runs on the machine falls on all of them, then trained alike on the embedded images, by some seeds, and
tested on the test images. Takes an hour on two cores, most of it in the trainings of 5x5.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from evaluators.datasets import load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.networks.weights import initial_arrays
from evaluators.recipe import Recipe
from evaluators.runtimes import Target, runtime_of
from evaluators.timing.meter import LatencyMeter
from evaluators.training.train import Images, train
from nas.run.environment import environment
from search_spaces import Architecture

RESULT = Path(__file__).parent / "results" / "separable.json"
RUNTIMES = ("onnxruntime", "litert")
EPOCHS, SEEDS, TURNS = 4, (0, 1, 2), 5
LAYERS = ((64, 2), (128, 2), (128, 1))  # channels out and stride
FORMS = {"3x3": "k3_{}_direct", "3x3, separable": "k3_{}_separable", "5x5": "k5_{}_direct", "two 3x3": "k5_{}_stacked",
         "5x5, separable": "k5_{}_separable"}


def network(form: str) -> Architecture:
    """Returns the network that has its three convolutions in a form."""
    tokens = [f"conv_{FORMS[form].format(f'c{channels}_s{stride}_relu_bias')}" for channels, stride in LAYERS]
    return Architecture.parse("+".join(["in_r28_c1", "conv_k3_c32_s2_relu_bias", *tokens, "fc_n10"]))


def params(form: str) -> int:
    """Returns the parameters of the three convolutions."""
    return sum(program.params for program in network(form).block_programs[1:-1])


def accuracy(form: str, seed: int) -> float:
    """Returns the share of test images that a network classifies rightly, after a training on all others."""
    dataset = load_dataset("fashion-mnist", seed=seed)
    both = dataset.train_and_validation
    training = Images.put(both.images, both.labels, dataset)
    tested = Images.put(dataset.test.images, dataset.test.labels, dataset)
    return train(network(form), training, tested, Fidelity(Recipe(epochs=EPOCHS, seed=seed))).accuracy


def latencies_ms(runtime: str) -> dict[str, list[float]]:
    """Returns the latencies of all forms on a runtime, one of each for each turn."""
    target, found = Target(runtime), {form: list[float]() for form in FORMS}
    with tempfile.TemporaryDirectory() as directory, LatencyMeter(target) as meter:
        for number, form in enumerate(list(FORMS) * TURNS):
            architecture, path = network(form), Path(directory) / f"{number}{runtime_of(target).suffix}"
            runtime_of(target).write(architecture, initial_arrays(architecture.program, 0), path, {})
            found[form].append(meter.measure(path, architecture.program.input_shape).median_ms)
    return found


def table(record: dict[str, Any]) -> str:
    """Returns what is recorded as a table in Markdown: latencies are medians, with their share of the first form's."""
    lines = ["| form | parameters | multiply-adds | test accuracy (%) | "
             + " | ".join(f"{runtime} (ms)" for runtime in RUNTIMES) + " |", "|---|" + "---|" * (3 + len(RUNTIMES))]
    for form in FORMS:
        scores = [100 * score for score in record.get("accuracy", {}).get(form, {}).values()]
        cells = [form, f"{params(form):,}", f"{network(form).macs:,}",
                 f"{statistics.mean(scores):.2f} ({min(scores):.2f} to {max(scores):.2f})" if scores else ""]
        for runtime in RUNTIMES:
            times = record.get("latency_ms", {}).get(runtime)
            ratio = statistics.median(mine / first for mine, first in zip(
                times[form], times[next(iter(FORMS))], strict=True)) if times else 0.0
            cells.append(f"{statistics.median(times[form]):.4f} ({ratio:.2f})" if times else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Makes the trainings and timings that lack in the record, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--report", action="store_true", help="train and measure nothing")
    arguments = parser.parse_args()
    record: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {
        "epochs": EPOCHS, "accuracy": {form: {} for form in FORMS}, "latency_ms": {}}

    def keep() -> None:
        write_whole(RESULT, (json.dumps({**record, "environment": environment()}) + "\n").encode())

    for runtime in RUNTIMES:
        if runtime not in record["latency_ms"] and not arguments.report:
            record["latency_ms"][runtime] = latencies_ms(runtime)
            keep()
    in_order = sorted(((seed, form) for seed in SEEDS for form in FORMS), key=lambda each: FORMS[each[1]][:2])
    for seed, form in in_order if not arguments.report else ():  # those of 3x3 first, which take minutes
        if str(seed) not in record["accuracy"][form]:
            record["accuracy"][form][str(seed)] = accuracy(form, seed)
            print(form, seed, record["accuracy"][form][str(seed)], flush=True)
            keep()
    print(table(record))


if __name__ == "__main__":
    main()
