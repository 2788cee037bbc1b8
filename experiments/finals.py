"""By what should finals choose: by the accuracy on validation images, or by their log loss, and whom do they take?

    python -m experiments.finals --data fashion-mnist --latency-ms 0.02039 --members 60 --seeds 2 --epochs 3 6 20
    python -m experiments.finals --data PHOTOGRAPHS.npz --latency-ms 0.02387 --members 30 --seeds 1
    python -m experiments.finals --report

Random members of the default space within a latency budget on ONNX Runtime are trained briefly and to the end, each
with several seeds, on training images. Kendall's tau says how far scores of validation images rank them as the accuracy
on test images does, which none has seen: accuracy, log loss, and log loss at the temperature that makes it least, by
which finals go (an older record lacks it). Finals are then played on the record, many times, with as many candidates as
a search trains, drawn from the members: those that are best after brief trainings are finalists, by a score or by the
sum of their places by it and by multiply-adds; the best of them after whole ones wins, by the score. What counts is its
test accuracy, where there is another seed that of the training from it. A table says what it comes to if the log loss
of the brief training counts as well, its logarithm with a weight beside that of the whole one. The last tables tell
them apart by the pixels that they leave and by their stages: the record is of a space whose last stage could halve the
image once more than `fitted` does now, and whose every stage of separable convolutions or inverted bottlenecks could
have hard swish. A training that is in the record is not made again. Expected time: 12 s a network and seed on two quiet
cores.
"""

import argparse
import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Fidelity
from evaluators.machine.files import write_whole
from evaluators.networks.network import Network, logits_of
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.training.augmentation import prepare
from evaluators.training.train import Images, train
from experiments.recipes import right_on_test
from experiments.winners import Setting, members_within
from search_spaces import Architecture
from search_spaces.architecture import SEPARATOR

RESULTS = Path(__file__).parent / "results" / "finals.json"
BRIEF_EPOCHS = 3, 6, 9
CANDIDATES = 20  # of a search
FINALISTS = 1, 4, 6, 8, 12
DRAWS = 1000
SEED = 7  # of the members
SCALED = "log loss at the best temperature"
SCORES = {"accuracy": (0, 1), "log loss": (1, -1), SCALED: (3, -1)}  # place in a row, and 1 where more is better
RULES = {**{score: (score, False) for score in SCORES},
         **{f"{score} and multiply-adds": (score, True) for score in ("log loss", SCALED)}}  # the latter beside a score
TEST = 2  # the place of the test accuracy
WEIGHTS = 0.0, 0.15, 0.3, 0.45, 0.7, 1.0


def scored(text: str, data: Dataset, training: Images, validation: Images, recipe: Recipe) -> list[float]:
    """Returns validation accuracy, log loss, test accuracy and log loss at the best temperature after a training."""
    from scipy.special import log_softmax

    architecture = Architecture.parse(text)
    trained = train(architecture, training, validation, Fidelity(recipe))
    assert trained.log_loss is not None
    images = prepare(data.validation.images, tuple(data.mean), tuple(data.std), data.resolution)
    of_classes = log_softmax(np.asarray(logits_of(Network(architecture, arrays=trained.arrays), images), np.float64), 1)
    log_loss = -float(of_classes[np.arange(len(images)), data.validation.labels].mean())
    return [trained.accuracy, log_loss, right_on_test(architecture, trained.arrays, data), trained.log_loss]


def values(rows: Mapping[str, Any], texts: list[str], epochs: int, place: int) -> np.ndarray:
    """Returns one figure of each training of some epochs, the one at `place`, `[seeds, members]`."""
    return np.array([[row[place] for row in rows[text][str(epochs)]] for text in texts]).T


def taus(rows: Mapping[str, Any], texts: list[str], epochs: int, place: int, sign: int) -> float:
    """Returns Kendall's tau of a score against the mean test accuracy at the end, in the mean over the seeds."""
    from scipy.stats import kendalltau

    final = values(rows, texts, FINAL_EPOCHS, TEST).mean(0)
    return float(np.mean([kendalltau(sign * of_seed, final).statistic
                          for of_seed in values(rows, texts, epochs, place)]))


def places(scores: np.ndarray) -> np.ndarray:
    """Returns the place of each score, 0 that of the highest."""
    return np.argsort(np.argsort(-scores, kind="stable"))


def pixels_left(texts: Iterable[str]) -> dict[str, int]:
    """Returns the pixels of a side that the last image of each network has."""
    return {text: Architecture.parse(text).block_programs[-2].output_shape[0] for text in texts}


def with_most_pixels(texts: Iterable[str]) -> list[str]:
    """Returns the networks that leave the most pixels, as all do that the space still has."""
    left = pixels_left(texts)
    return [text for text in left if left[text] == max(left.values())]


def by_last_image(rows: Mapping[str, Any], lengths: list[str], score: str) -> Table:
    """Returns the outcomes of members, and the worth of a score, by the pixels of a side that they leave."""
    place, sign = SCORES[score]
    table = Table("pixels left", "members", f"{score}, {BRIEF_EPOCHS[0]} epochs", f"test (%), {FINAL_EPOCHS} epochs",
                  *(f"tau, {length} epochs" for length in lengths))
    left = pixels_left(rows)
    for pixels in sorted(set(left.values())):
        texts = [text for text in rows if left[text] == pixels]
        brief, test = (values(rows, texts, epochs, of).mean() for epochs, of in (
            (BRIEF_EPOCHS[0], place), (FINAL_EPOCHS, TEST)))
        table.add_row(f"{pixels}", f"{len(texts)}", f"{brief:.3f}", f"{100 * test:.2f}",
                      *(f"{taus(rows, texts, int(length), place, sign):.2f}" for length in lengths))
    return table


def by_stages(rows: Mapping[str, Any]) -> Table:
    """Returns what stages that halve the image add to the test accuracy of members that leave most pixels.

    By least squares: a stage of separable convolutions or of inverted bottlenecks in place of another one, and hard
    swish in one, with the standard error of each.
    """
    texts = with_most_pixels(rows)
    stages = {text: [block for block in text.split(SEPARATOR)[2:] if "_s2" in block] for text in texts}  # not the stem
    counts = {kind: [sum(mark in f"+{stage}" for stage in stages[text]) for text in texts]
              for kind, mark in (("separable", "+sep"), ("inverted", "+mb"), ("hard swish", "hswish"))}
    inputs = np.column_stack([np.ones(len(texts)), *counts.values()])
    test = 100 * values(rows, texts, FINAL_EPOCHS, TEST).mean(0)
    found, residuals, *_ = np.linalg.lstsq(inputs, test)
    errors = np.sqrt(residuals / (len(texts) - len(found)) * np.diag(np.linalg.inv(inputs.T @ inputs)))
    table = Table("stage", "in stages", f"adds (points, {len(texts)} members)")
    for kind, adds, error in zip(counts, found[1:], errors[1:], strict=True):
        table.add_row(kind, str(sum(counts[kind])), f"{adds:+.2f} ± {error:.2f}")
    return table


def spread(rows: Mapping[str, Any]) -> Table:
    """Returns how far the test accuracies of members that leave most pixels lie apart, but for the noise of seeds."""
    texts = with_most_pixels(rows)
    test = 100 * values(rows, texts, FINAL_EPOCHS, TEST)
    of_seeds = test.var(axis=0, ddof=1).mean()
    between = max(0.0, test.mean(0).var(ddof=1) - of_seeds / len(test))
    table = Table("members", "test (%)", "between networks", "between seeds (points)",
                  "best, mean of seeds (%)")
    table.add_row(f"{len(texts)}", f"{test.mean():.2f}", f"± {between**0.5:.2f}", f"± {of_seeds**0.5:.2f}",
                  f"{test.mean(0).max():.2f}")
    return table


def played(rows: Mapping[str, Any], texts: list[str], rule: str, finalists: int, epochs: int = BRIEF_EPOCHS[0],
           weight: float = 0.0) -> float:
    """Returns the mean test accuracy of the winners of finals that go by a rule, after brief trainings of some epochs.

    With a weight the brief training counts beside the whole one, where the score is a log loss.
    """
    score, with_macs = RULES[rule]
    place, sign = SCORES[score]
    brief, final, test = (values(rows, texts, length, of) for length, of in (
        (epochs, place), (FINAL_EPOCHS, place), (FINAL_EPOCHS, TEST)))
    final = final * brief**weight
    macs = np.array([Architecture.parse(text).macs for text in texts])
    generator, found = np.random.default_rng(0), []
    for draw in range(DRAWS):
        seed = draw % len(test)
        some = generator.choice(len(texts), CANDIDATES, replace=False)
        order = places(sign * brief[seed, some]) + (places(macs[some]) if with_macs else 0)
        best = some[np.argsort(order, kind="stable")[:finalists]]
        found.append(test[(seed + 1) % len(test), best[np.argmax(sign * final[seed, best])]])
    return float(np.mean(found))


def weighted(rows: Mapping[str, Any], texts: list[str], lengths: Iterable[str], score: str, finalists: int) -> Table:
    """Returns the test accuracy of winners by the weight that the brief training has, for each of its lengths."""
    table = Table("brief training", *(f"winner of {finalists} (%), weight {weight:g}" for weight in WEIGHTS))
    for length in lengths:
        table.add_row(f"{length} epochs", *(f"{100 * found:.2f}" for found in (
            played(rows, texts, f"{score} and multiply-adds", finalists, int(length), weight) for weight in WEIGHTS)))
    return table


def report(name: str, rows: Mapping[str, Any]) -> list[Table]:
    """Returns the tables of a data set: how scores rank, and what finals come to."""
    trained = set().union(*rows.values())
    lengths = [length for epochs in (*BRIEF_EPOCHS, FINAL_EPOCHS) if (length := str(epochs)) in trained]
    texts = [text for text, of in rows.items() if all(length in of for length in lengths)]
    seeds = min((len(rows[text][length]) for text in texts for length in lengths), default=0)
    rows = {text: {length: rows[text][length][:seeds] for length in lengths} for text in texts}
    known = min(len(row) for of in rows.values() for length in lengths for row in of[length])
    title = f"{name}: {len(texts)} members, {seeds} seeds"
    ranking = Table("score", *(f"tau, {length} epochs" for length in lengths), title=title)
    for score, (place, sign) in ((score, of) for score, of in SCORES.items() if of[0] < known):
        ranking.add_row(score, *(f"{taus(rows, texts, int(length), place, sign):.2f}" for length in lengths))
    winners = Table("finalists by", *(f"winner of {count} (%)" for count in FINALISTS), title=title)
    for rule in (rule for rule, (score, _) in RULES.items() if SCORES[score][0] < known):
        winners.add_row(rule, *(f"{100 * played(rows, texts, rule, count):.2f}" for count in FINALISTS))
    last = max((score for score, (place, _) in SCORES.items() if place < known), key=lambda score: SCORES[score][0])
    further = [spread(rows)] if seeds > 1 else []
    by_weight = weighted(rows, texts, lengths[:-1], last, FINALISTS[3])
    return [ranking, winners, by_weight, by_last_image(rows, lengths, last), by_stages(rows), *further]


def main() -> None:
    """Makes the trainings that lack in the record, and prints the table of each data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--latency-ms", type=float, default=0.02)
    parser.add_argument("--members", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, nargs="+", default=[*BRIEF_EPOCHS, FINAL_EPOCHS])
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
        for seed, text, epochs in itertools.product(range(arguments.seeds), rows, arguments.epochs):
            if len(of := rows[text].setdefault(str(epochs), [])) == seed:
                of.append(scored(text, data, training, validation, Recipe(epochs, seed=seed)))
                write_whole(arguments.results, (json.dumps(record, indent=1) + "\n").encode())
    console = Console(width=120)
    for name, of in record.items():
        console.print(*report(name, of), sep="\n")


if __name__ == "__main__":
    main()
