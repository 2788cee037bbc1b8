"""By what should finals choose: by the accuracy on validation images, or by their log loss, and among how many?

    python -m experiments.finals --data fashion-mnist --latency-ms 0.02039 --members 60 --seeds 2
    python -m experiments.finals --report

Random members of the default space within a latency budget on ONNX Runtime are trained briefly and to the end, each
with several seeds, on training images. Kendall's tau says how far the accuracy and the log loss of validation images
rank them as the accuracy on test images does, which neither has seen. Finals are then played on the record, many
times, with as many candidates as a search trains, drawn from the members: those that are best after brief trainings
are finalists, the best of them after whole ones wins. What counts is its test accuracy, where there is another seed
that of the training from it. A training that is in the record is not made again. Expected time: 12 s a network and
seed on two quiet cores.
"""

import argparse
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.training.train import Images, train
from experiments.recipes import right_on_test
from experiments.winners import Setting, members_within
from search_spaces import Architecture

RESULTS = Path(__file__).parent / "results" / "finals.json"
BRIEF_EPOCHS = 3, 6
CANDIDATES = 40  # of a search, at most; fewer where there are fewer members
FINALISTS = 1, 4, 8, 12
DRAWS = 1000
SEED = 7  # of the members
SCORES = {"accuracy": (0, 1), "log loss": (1, -1)}  # place in a row, and 1 where more is better
TEST = 2  # the place of the test accuracy


def scored(text: str, data: Dataset, training: Images, validation: Images, recipe: Recipe) -> list[float]:
    """Returns validation accuracy, log loss and test accuracy after a training."""
    architecture = Architecture.parse(text)
    trained = train(architecture, training, validation, Fidelity(recipe))
    assert trained.log_loss is not None
    return [trained.accuracy, trained.log_loss, right_on_test(architecture, trained.arrays, data)]


def values(rows: Mapping[str, Any], texts: list[str], epochs: int, place: int) -> np.ndarray:
    """Returns what trainings of some epochs came to, `[seeds, members]`."""
    return np.array([[row[place] for row in rows[text][str(epochs)]] for text in texts]).T


def taus(rows: Mapping[str, Any], texts: list[str], epochs: int, place: int, sign: int) -> float:
    """Returns Kendall's tau of a score against the mean test accuracy at the end, in the mean over the seeds."""
    from scipy.stats import kendalltau

    final = values(rows, texts, FINAL_EPOCHS, TEST).mean(0)
    return float(np.mean([kendalltau(sign * of_seed, final).statistic
                          for of_seed in values(rows, texts, epochs, place)]))


def played(rows: Mapping[str, Any], texts: list[str], score: str, finalists: int) -> float:
    """Returns the mean test accuracy of the winners of finals that go by a score."""
    place, sign = SCORES[score]
    brief, final, test = (values(rows, texts, epochs, of) for epochs, of in (
        (BRIEF_EPOCHS[0], place), (FINAL_EPOCHS, place), (FINAL_EPOCHS, TEST)))
    generator, found = np.random.default_rng(0), []
    for draw in range(DRAWS):
        seed = draw % len(test)
        some = generator.choice(len(texts), min(CANDIDATES, len(texts)), replace=False)
        best = some[np.argsort(-sign * brief[seed, some])[:finalists]]
        found.append(test[(seed + 1) % len(test), best[np.argmax(sign * final[seed, best])]])
    return float(np.mean(found))


def report(name: str, rows: Mapping[str, Any]) -> Table:
    """Returns the table of a data set."""
    lengths = [str(epochs) for epochs in (*BRIEF_EPOCHS, FINAL_EPOCHS)]
    texts = [text for text, of in rows.items() if all(length in of for length in lengths)]
    seeds = min((len(rows[text][length]) for text in texts for length in lengths), default=0)
    rows = {text: {length: rows[text][length][:seeds] for length in lengths} for text in texts}
    table = Table("score", *(f"tau, {length} epochs" for length in lengths),
                  *(f"winner of {count} (%)" for count in FINALISTS),
                  title=f"{name}: {len(texts)} members, {seeds} seeds")
    for score, (place, sign) in SCORES.items():
        table.add_row(score, *(f"{taus(rows, texts, int(length), place, sign):.2f}" for length in lengths),
                      *(f"{100 * played(rows, texts, score, count):.2f}" for count in FINALISTS))
    return table


def main() -> None:
    """Makes the trainings that lack in the record, and prints the table of each data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--latency-ms", type=float, default=0.02)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    record: dict[str, Any] = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    if not arguments.report:
        data, setting = load_dataset(arguments.data), Setting(arguments.data, "onnxruntime", arguments.latency_ms, 0)
        training, validation = (Images.put(part.images, part.labels, data) for part in (data.train, data.validation))
        rows = record.setdefault(f"{Path(arguments.data).stem}, {arguments.latency_ms:g} ms", {})
        if len(rows) < arguments.members:
            found = members_within(setting, data, SEED, arguments.members)
            rows |= {one.text: rows.get(one.text, {}) for one in found}
        for seed, text, epochs in itertools.product(range(arguments.seeds), rows, (*BRIEF_EPOCHS, FINAL_EPOCHS)):
            if len(of := rows[text].setdefault(str(epochs), [])) == seed:
                of.append(scored(text, data, training, validation, Recipe(epochs, seed=seed)))
                write_whole(arguments.results, (json.dumps(record, indent=1) + "\n").encode())
    console = Console(width=120)
    for name, of in record.items():
        console.print(report(name, of))


if __name__ == "__main__":
    main()
