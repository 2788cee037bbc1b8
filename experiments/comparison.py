"""Networks side by side: briefly trained by some seeds, counted, timed on the runtimes, recorded, drawn.

An experiment is a `Comparison` and a line that runs it. All networks are timed in turns on each runtime, so that what
else runs on the machine falls on all of them, and trained alike on the training and validation images that are
embedded. Each training and each runtime is recorded as soon as it is done, and what is recorded is not done again.
"""

import argparse
import json
import re
import statistics
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from evaluators.datasets import load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.networks.weights import initial_arrays
from evaluators.recipe import Recipe
from evaluators.runtimes import Target, runtime_of
from evaluators.timing.meter import LatencyMeter
from evaluators.training.train import Images, train
from nas.report.figure import DARK, PALETTE, add_legend, new_figure, write_figure
from nas.run.environment import environment
from search_spaces import Architecture

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/experiments.md"
RUNTIMES = ("onnxruntime", "litert")
STYLES = {"onnxruntime": ("o", "-"), "litert": ("s", "--")}  # marker and line of each
Record = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Networks to compare.

    Attributes:
        name: of the record, the picture and the section of docs/experiments.md.
        title: of the picture.
        series: networks by their names, those of a line in the picture together.
        epochs: of each training.
        seeds: of data, initial weights and trainings.
        turns: timings of each network on each runtime.
    """

    name: str
    title: str
    series: Mapping[str, Mapping[str, Architecture]]
    epochs: int = 3
    seeds: tuple[int, ...] = (0, 1)
    turns: int = 3

    @property
    def networks(self) -> dict[str, Architecture]:
        """The networks of all series, each once."""
        return {name: network for own in self.series.values() for name, network in own.items()}


def accuracy(network: Architecture, seed: int, epochs: int) -> float:
    """Returns the share of test images that a network classifies rightly, after a training on all others."""
    dataset = load_dataset("fashion-mnist", seed=seed)
    both = dataset.train_and_validation
    training = Images.put(both.images, both.labels, dataset)
    tested = Images.put(dataset.test.images, dataset.test.labels, dataset)
    return train(network, training, tested, Fidelity(Recipe(epochs=epochs, seed=seed))).accuracy


def latencies_ms(networks: Mapping[str, Architecture], runtime: str, turns: int) -> dict[str, list[float]]:
    """Returns the latencies of networks on a runtime, one of each for each turn."""
    target, found = Target(runtime), {name: list[float]() for name in networks}
    with tempfile.TemporaryDirectory() as directory, LatencyMeter(target) as meter:
        for number, name in enumerate(list(networks) * turns):
            network, path = networks[name], Path(directory) / f"{number}{runtime_of(target).suffix}"
            runtime_of(target).write(network, initial_arrays(network.program, 0), path, {})
            found[name].append(meter.measure(path, network.program.input_shape).median_ms)
    return found


def fill(comparison: Comparison, record: Record, path: Path) -> None:
    """Makes the timings and trainings that lack in a record, which is written after each."""
    networks = comparison.networks
    record.setdefault("epochs", comparison.epochs)
    latencies, accuracies = record.setdefault("latency_ms", {}), record.setdefault("accuracy", {})
    for runtime in RUNTIMES:
        if runtime not in latencies:
            latencies[runtime] = latencies_ms(networks, runtime, comparison.turns)
            keep(record, path)
    for seed in comparison.seeds:
        for name, network in networks.items():
            scores = accuracies.setdefault(name, {})
            if str(seed) not in scores:
                scores[str(seed)] = accuracy(network, seed, comparison.epochs)
                print(f"{name}, seed {seed}: {100 * scores[str(seed)]:.2f} %", flush=True)
                keep(record, path)


def keep(record: Record, path: Path) -> None:
    """Writes a record, with the machine."""
    write_whole(path, (json.dumps({**record, "environment": environment()}) + "\n").encode())


def table(networks: Mapping[str, Architecture], record: Record) -> str:
    """Returns a record as a table in Markdown: means over seeds with their extremes, medians over turns."""
    lines = ["| network | parameters | multiply-adds | test accuracy (%) | "
             + " | ".join(f"{runtime} (ms)" for runtime in RUNTIMES) + " |", "|---|" + "---|" * (3 + len(RUNTIMES))]
    for name, network in networks.items():
        scores = percent(record, name)
        times = [f"{latency_ms(record, runtime, name):.4f}" for runtime in RUNTIMES]
        spread = f"{min(scores):.2f} to {max(scores):.2f}" if len(scores) > 1 else "one training"
        lines.append(f"| {name} | {network.params:,} | {network.macs:,} | {statistics.mean(scores):.2f} ({spread}) | "
                     f"{' | '.join(times)} |")
    return "\n".join(lines)


def percent(record: Record, name: str) -> list[float]:
    """Returns the test accuracies of a network in per cent, one for each seed."""
    return [100 * score for score in record["accuracy"][name].values()]


def latency_ms(record: Record, runtime: str, name: str) -> float:
    """Returns the median latency of a network on a runtime, over the turns."""
    return statistics.median(record["latency_ms"][runtime][name])


def draw(comparison: Comparison, record: Record) -> Figure:
    """Returns the picture: accuracy against latency, a line for each series on each runtime."""
    counts = sorted({len(scores) for scores in record["accuracy"].values()})
    figure, axes = against_latency(comparison.title, f"means and extremes of {' or '.join(map(str, counts))} trainings "
                                   f"of {record['epochs']} epochs", "test accuracy (%)")
    handles = []
    for (series, networks), color in zip(comparison.series.items(), PALETTE, strict=False):
        scores = [percent(record, name) for name in networks]
        means = [statistics.mean(own) for own in scores]
        spread = [[mean - min(own) for mean, own in zip(means, scores, strict=True)],
                  [max(own) - mean for mean, own in zip(means, scores, strict=True)]]
        for runtime, (marker, line) in STYLES.items():
            times = [latency_ms(record, runtime, name) for name in networks]
            handles.append(axes.errorbar(times, means, yerr=spread, marker=marker, linestyle=line, color=color,
                                         capsize=2, elinewidth=0.9, label=f"{series}, {runtime}"))
        for name, mean in zip(networks, means, strict=True):
            axes.annotate(name.replace(series, "").strip(", "), (latency_ms(record, RUNTIMES[0], name), mean), (5, -10),
                          textcoords="offset points", fontsize=7, color=DARK)
    add_legend(figure, handles)
    return figure


def against_latency(title: str, subtitle: str, vertical: str) -> tuple[Figure, Axes]:
    """Returns a figure of which the horizontal axis is latency, in equal ratios."""
    figure, axes = new_figure(title, subtitle)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("latency (ms)", fontsize=10, color=DARK)
    axes.set_ylabel(vertical, fontsize=10, color=DARK)
    return figure, axes


def publish(name: str, text: str, figure: Figure, page: Path = PAGE) -> None:
    """Draws the picture of an experiment into docs/, and writes it with the text into its section of the page."""
    write_figure(page.parent / f"experiment_{name}.png", figure)
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    content = f"{text}\n\n![{name.replace('_', ' ')}](experiment_{name}.png)\n"
    write_whole(page, f"{before}{begin}{content}{end}{rest.partition(end)[2]}".encode())


def arguments(about: str | None) -> argparse.Namespace:
    """Returns the options of an experiment on the command line."""
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", (about or "").partition("\n\n")[0]))
    parser.add_argument("--report", action="store_true", help="measure nothing, write what is recorded into docs/")
    return parser.parse_args()


def run(comparison: Comparison, about: str | None, results: Path = ROOT / "experiments/results") -> None:
    """Completes the record of a comparison, prints its table, and writes it with the picture into docs/."""
    report, path = arguments(about).report, results / f"{comparison.name}.json"
    record: Record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not report:
        fill(comparison, record, path)
    text = table(comparison.networks, record)
    print(text)
    publish(comparison.name, text, draw(comparison, record))


def parsed(texts: Mapping[str, str]) -> dict[str, Architecture]:
    """Returns networks of images of 28 pixels and 10 classes by their names."""
    return {name: Architecture.parse(text) for name, text in texts.items()}


def nearest(text: str, macs: int, channels: Iterable[tuple[int, int]]) -> Architecture:
    """Returns the network of two numbers of channels, `{0}` and `{1}` in a text, that comes nearest to some MACs."""
    networks = (Architecture.parse(text.format(*counts)) for counts in channels)
    return min(networks, key=lambda network: abs(network.macs - macs))
