"""Is the winner of a search better than the network that one would have taken without it?

    python -m experiments.winners --data fashion-mnist --target onnxruntime --percentile 30 --minutes 8
    python -m experiments.winners --report --png docs/winners.png

For a data set, a target and a latency budget, each side chooses a network within the budget in at most the same
wall-clock time, with several seeds. Every network that was chosen is then trained alike (the final recipe, on training
and validation images), also with several seeds, and delivered as a file; what counts is the accuracy of the file on all
test images. One training says little: between its seeds lies about a point.

- `search`: `nas.search` as it is by default, the winner of its finals. The others take as long as both have taken.
- `search, two thirds`: of the same search the winner of finals among what is 1.5 times as fast as the budget allows.
- `search, none stopped`: one that trains each candidate to the end, for 5/9 of the epochs (`--no-early-stopping`).
- `by hand, FAMILY`: each published mobile network, shortened in every way of `search_spaces.zoo.handmade` and widened
  until it fills the budget; of these the one of highest validation accuracy after a brief training, the time that is
  left shared by the families that are. The best of the families on the test images, which nobody could know, is the one
  to beat. `by hand, two thirds` are likewise made for a budget that is 1.5 times tighter.
- `random`, `most multiply-adds`, `best of random`: a random member of the space that is searched within the budget, of
  60 that with the most multiply-adds, and the one of highest validation accuracy among as many as the time allows.
- `pytorch script`: `experiments/benchmarks/pytorch_search.py`, where PyTorch is installed; it trains one network at a
  time, all others as many as a search.

The budget is a percentile of the latencies of 60 members of the space. What is recorded is not done again, so that the
command goes on where it was interrupted.

The budgets of `results/winners.json` are percentiles of the space as it was when SandGlass blocks came in its last
stage only; `results/winners_late_sandglass.json` (`--results`, `--report`) has searches of that, and
`results/winners_none_stopped.json` later ones that trained all candidates to the end, and whose finals went by their
own trainings only. `results/winners_development.json` has searches that stop early and searches that do not, of data
that nothing else is reported on: 3,500 and 4,000 other photographs of CIFAR-10 (`cifar10_dev`), and of the 6,000
embedded training images 1,500 drawn for tests (`fashion_mnist_dev`).
`results/winners_xeon.json` has searches whose models did not know that latencies follow the multiply-adds, on an Intel
Xeon server whose neighbours slowed it. `results/winners_before.json` has searches that trained one candidate at a
time, in a space with hard swish in every stage, on an AMD EPYC server; `search, before` in it are earlier ones of half
the time, whose candidates were trained for 250 steps, could leave two pixels of a side, and were seldom at the budget.
"""

import argparse
import dataclasses
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import nas
from evaluators.datasets import Dataset, load_dataset
from evaluators.evaluator import Context, Diverged, Evaluator, Fidelity, Score
from evaluators.machine.devices import whole_cores
from evaluators.machine.files import write_whole
from evaluators.recipe import FINAL_EPOCHS, Recipe, brief_epochs
from evaluators.runtimes import parse_target
from experiments.winners_report import BEST, FASTER, HAND, MOST, RANDOM, SEARCH, TIGHTER, WHOLE, drawn, report
from nas.engine.pool import TRAINING, each, evaluators, training_processes
from nas.export.finals import FINALISTS
from nas.export.winner import best_of_finals, confirmed
from nas.measuring.filling import filled
from nas.measuring.meters import CAREFUL, ROUGH, Gauges, costs_within, file_gauges
from nas.measuring.survey import members, survey
from nas.problem.budgets import Budgets, is_feasible
from nas.report.figure import write_figure
from nas.run.config import FITTED
from nas.run.directory import RunDirectory
from nas.run.environment import environment
from nas.run.monitor import Silent
from search_spaces import SPACES, Architecture, InvalidInput
from search_spaces.zoo.handmade import FAMILIES, patterns

RESULTS = Path(__file__).parent / "results" / "winners.json"
RUNS = Path(__file__).parents[1] / "build" / "winners"
SPACE = SPACES[FITTED]  # of the search, the budgets and the null models
SAMPLE = 60
SCRIPT = "pytorch script"


@dataclass(frozen=True)
class Setting:
    """A data set, a target and a latency budget.

    Attributes:
        data: its name or path, as `nas search --data` takes it.
        target: what the files are for.
        budget_ms: of the latency there.
        choosing_s: the wall-clock time that each side may take to choose.
    """

    data: str
    target: str
    budget_ms: float
    choosing_s: float

    @property
    def budgets(self) -> Budgets:
        """The budget as a search has it."""
        return Budgets(latency_ms=self.budget_ms, targets=(self.target,))

    @property
    def tighter(self) -> "Setting":
        """The setting with a tighter budget."""
        return dataclasses.replace(self, budget_ms=FASTER * self.budget_ms)

    def within(self, architecture: Architecture, gauges: Gauges) -> bool:
        """Tells whether the upper end of the interval of the latency of a network is within the budget."""
        costs = costs_within(architecture, self.budgets, gauges, (self.target,), (ROUGH, CAREFUL))
        return is_feasible(self.budgets.violations(costs))


Choice = dict[str, Any]  # name -> text of the architecture


def searched(setting: Setting, seed: int, side: str = SEARCH, early_stopping: bool | None = None) -> Choice:
    """Returns the winner of a search, whose run is kept in build/winners for the tighter budget."""
    place = run_of(setting, seed, side)
    shutil.rmtree(place, ignore_errors=True)  # an interrupted one: its time is taken as a whole
    config = nas.SearchConfig(data=setting.data, target=setting.target, latency_ms=setting.budget_ms,
                              time_s=setting.choosing_s, early_stopping=early_stopping, seed=seed)
    nas.search(config, place)
    return {side: winner_within(place, setting, setting.budgets, seed)}


def searched_tighter(setting: Setting, seed: int) -> Choice:
    """Returns the winner of the search that was made, within the tighter budget."""
    place = run_of(setting, seed, SEARCH)
    return {f"{SEARCH}, {TIGHTER}": winner_within(place, setting, setting.tighter.budgets, seed)}


def run_of(setting: Setting, seed: int, side: str) -> Path:
    """Returns the directory of a search."""
    return RUNS / f"{side}-{Path(setting.data).stem}-{setting.target}-{setting.budget_ms:g}-{seed}".replace(":", "-")


def winner_within(place: Path, setting: Setting, budgets: Budgets, seed: int) -> str | None:
    """Returns the winner of the finals of a search within budgets; None where no candidate is."""
    run, data = RunDirectory.existing(place), load_dataset(setting.data, seed=seed)
    try:
        while True:  # as an export does
            winner, _ = best_of_finals(run, budgets, data, Recipe(FINAL_EPOCHS, seed=seed), FINALISTS, Silent())
            if confirmed(run, winner, budgets, Silent()).feasible:
                return winner.architecture
    except InvalidInput:
        return None


def made_by_hand(setting: Setting, seed: int) -> Choice:
    """Returns the shortened and widened network of each family that is best after a brief training."""
    data, chosen = load_dataset(setting.data, seed=seed), {}
    shapes: dict[str, list[Architecture]] = {}
    with file_gauges((setting.target,)) as gauges:
        for family in FAMILIES:
            ways = patterns(family, data.resolution, data.channels, len(data.classes))
            found = (filled(way.scaled, setting.budgets, gauges) for way in ways)
            shapes[family] = sorted((full[0] for full in found if full), key=lambda network: -network.macs)
    end = time.monotonic() + setting.choosing_s
    with trainers(data, seed) as made:
        for left, (family, networks) in zip(range(len(shapes), 0, -1), shapes.items(), strict=True):
            best = best_of(networks, data, seed, (end - time.monotonic()) / left, made)
            chosen[f"{HAND}, {family}"] = best.text if best else None
    return chosen


def tighter_by_hand(setting: Setting, seed: int) -> Choice:
    """Returns the networks that are made by hand for the tighter budget."""
    return {f"{name}, {TIGHTER}": text for name, text in made_by_hand(setting.tighter, seed).items()}


def null_models(setting: Setting, seed: int) -> Choice:
    """Returns the choices that take no thought."""
    data = load_dataset(setting.data, seed=seed)
    within = members_within(setting, data, seed + 1, SAMPLE)
    with trainers(data, seed) as made:
        best = best_of(within, data, seed, setting.choosing_s, made)
    return {RANDOM: within[0].text, MOST: max(within, key=lambda one: one.macs).text, BEST: best.text if best else None}


def members_within(setting: Setting, data: Dataset, seed: int, count: int) -> list[Architecture]:
    """Returns the first random members of the space that are within the budget, as many as there are of `count`."""
    space = SPACE.bind(data.resolution, data.channels, len(data.classes))
    drawn = (space.decode(assignment) for assignment in members(space, 20 * count, seed))
    with file_gauges((setting.target,)) as gauges:
        return list(itertools.islice((one for one in drawn if setting.within(one, gauges)), count))


def scripted(setting: Setting, seed: int) -> Choice:
    """Returns the best network of the script with Optuna and PyTorch, where there is PyTorch."""
    if setting.data != "fashion-mnist" or setting.target != "onnxruntime":
        return {}  # the script knows no others
    if importlib.util.find_spec("torch") is None:
        return {}
    space = SPACES["mobile"].bind(28, 1, 10)  # the one that the script searches
    with tempfile.TemporaryDirectory() as directory:
        given, out = Path(directory) / "members.json", Path(directory) / "out.json"
        given.write_text(json.dumps(members(space, 1000, seed + 1)))
        subprocess.run([sys.executable, "-m", "experiments.benchmarks.pytorch_search", given, "1000",
                        str(setting.budget_ms), out, str(setting.choosing_s)], check=True)
        accuracy = json.loads(out.read_text())["accuracy"]
    return {SCRIPT: max(accuracy, key=accuracy.__getitem__) if accuracy else None}


SIDES: dict[str, Callable[[Setting, int], Choice]] = {
    SEARCH: searched, f"{SEARCH}, {TIGHTER}": searched_tighter,
    WHOLE: partial(searched, side=WHOLE, early_stopping=False), HAND: made_by_hand,
    f"{HAND}, {TIGHTER}": tighter_by_hand, "null models": null_models, SCRIPT: scripted}


def as_in_a_search(data: Dataset, seed: int) -> Recipe:
    """Returns the brief training of a search that stops none."""
    return Recipe(brief_epochs(len(data.train), Recipe.batch), seed=seed)


def trainers(data: Dataset, seed: int) -> AbstractContextManager[list[Evaluator]]:
    """Returns the context of evaluators that train as many networks at a time as a search does."""
    context = Context(SPACE.bind(data.resolution, data.channels, len(data.classes)), data, RUNS,
                      as_in_a_search(data, seed))
    return evaluators(TRAINING, context, training_processes())


def best_of(networks: Sequence[Architecture], data: Dataset, seed: int, limit_s: float, made: Sequence[Evaluator]
            ) -> Architecture | None:
    """Returns the network of highest validation accuracy after a brief training, of those that the time allows."""
    end = time.monotonic() + limit_s

    def accuracy(evaluate: Evaluator, network: Architecture) -> float | None:
        if time.monotonic() >= end:
            return None
        try:
            score = evaluate(network, data, Fidelity(as_in_a_search(data, seed)))
        except Diverged:
            return 0.0
        assert isinstance(score, Score)
        return score.accuracy

    found = {network: of for network, of in each(made, accuracy, networks) if of is not None}
    return max((network for network in networks if network in found), key=found.__getitem__, default=None)


def delivered(setting: Setting, text: str, seed: int) -> dict[str, Any]:
    """Returns the accuracy of the file of a network that was trained to the end, and its latency as timed then."""
    with tempfile.TemporaryDirectory() as directory:
        certificate = nas.train(text, data=setting.data, epochs=FINAL_EPOCHS, seed=seed, formats=(),
                                budgets=Budgets(targets=(setting.target,)), out=Path(directory) / "export").certificate
    target = parse_target(setting.target).text
    file = next(one for one in certificate["files"] if one.get("target") == target)
    timed = certificate["timings"][-1]["latencies"][target]
    return {"accuracy": file["test_accuracy"], "latency_ms": timed["median_ms"]}


def budget_ms(data: str, target: str, percentile: float) -> float:
    """Returns a percentile of the latencies of members of the space on a target, in ms, to four digits."""
    images = load_dataset(data)
    space = SPACE.bind(images.resolution, images.channels, len(images.classes))
    with file_gauges((target,)) as gauges:
        found = survey(space, gauges, seed=0, count=SAMPLE).values["latency"]
    return float(f"{np.percentile(found, percentile):.4g}")


@dataclass
class Record:
    """The choices and deliveries so far, on disk after every step."""

    path: Path

    def __post_init__(self) -> None:
        self.rows: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def once(self, keys: Iterable[str], make: Callable[[], Any]) -> Any:
        """Returns the record under keys, one inside the other; it is made where there is nothing yet."""
        *outer, last = keys
        place = self.rows
        for key in outer:
            place = place.setdefault(key, {})
        if last not in place:
            place[last] = make()
            write_whole(self.path, (json.dumps(self.rows, indent=1) + "\n").encode())
        return place[last]


def compare(record: Record, data: str, target: str, percentile: float, seeds: int, trainings: int, minutes: float,
            sides: Iterable[str]) -> None:
    """Makes the choices of each side that lack in the record, and the deliveries."""
    key = f"{Path(data).name}, {target}, p{percentile:g}"
    limit_ms = record.once((key, "budget_ms"), lambda: budget_ms(data, target, percentile))
    record.once((key, "environment"), environment)
    search = Setting(data, target, limit_ms, 60 * minutes)
    texts: dict[str, None] = {}
    for seed, side in itertools.product(range(seeds), sides):
        took = record.rows[key].get("chosen", {}).get(str(seed), {}).get(SEARCH, {"seconds": search.choosing_s})
        setting = search if side.startswith(SEARCH) else dataclasses.replace(search, choosing_s=took["seconds"])
        chosen = record.once((key, "chosen", str(seed), side), partial(_timed, SIDES[side], setting, seed))
        texts |= dict.fromkeys(text for text in chosen["networks"].values() if text)
    known = record.rows[key].get("delivered", {})
    deliver(record, key, search, [(text, training) for training, text in itertools.product(range(trainings), texts)
                                  if str(training) not in known.get(text, {})])


def deliver(record: Record, key: str, setting: Setting, lacking: Sequence[tuple[str, int]]) -> None:
    """Makes deliveries, networks and the seeds of their trainings, as many at a time as a search trains."""
    os.environ.setdefault("PJRT_NPROC", str(max(1, whole_cores() // training_processes())))  # of the pool
    with ProcessPoolExecutor(training_processes(), get_context("spawn")) as pool:
        futures = {pool.submit(delivered, setting, text, training): (text, training) for text, training in lacking}
        try:
            for done, future in enumerate(as_completed(futures), 1):
                text, training = futures[future]
                found = record.once((key, "delivered", text, str(training)), future.result)
                print(f"{key}: {done} of {len(lacking)}, {text}, {training}, {found}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _timed(choose: Callable[[Setting, int], Choice], setting: Setting, seed: int) -> dict[str, Any]:
    start = time.monotonic()
    networks = choose(setting, seed)
    return {"seconds": round(time.monotonic() - start, 1), "networks": networks}


def main() -> None:
    """Makes the comparisons that lack in the records, and prints the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--target", default="onnxruntime")
    parser.add_argument("--percentile", type=float, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="of the choices")
    parser.add_argument("--trainings", type=int, default=3, help="of each network that was chosen")
    parser.add_argument("--minutes", type=float, default=4, help="that each side may take to choose")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--png", type=Path, help="a picture to draw of all cells")
    arguments = parser.parse_args()
    record = Record(arguments.results)
    if not arguments.report:
        compare(record, arguments.data, arguments.target, arguments.percentile, arguments.seeds, arguments.trainings,
                arguments.minutes, arguments.sides)
    print(report(record.rows))
    if arguments.png:
        write_figure(arguments.png, drawn(record.rows))


if __name__ == "__main__":
    main()
