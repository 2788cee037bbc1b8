"""The winner of a search: chosen in the finals, confirmed by a new timing, delivered."""

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluators.datasets import Dataset
from evaluators.evaluator import Context
from evaluators.latency import NoTurn
from evaluators.machine.devices import require_devices
from evaluators.machine.files import require_writable
from evaluators.recipe import FINAL_EPOCHS, Recipe
from evaluators.runtimes import in_precision
from evaluators.training.teacher import Teacher
from nas.engine.noise import noise_of
from nas.engine.pool import TRAINING, evaluators, training_processes
from nas.engine.setting import data_of
from nas.export.certificate import ACCURACY_LOSS_POINTS, WAIT_S, Exported, digest
from nas.export.delivery import Order, deliver, is_trained, require_deliverable, trained_arrays
from nas.export.entries import Finalist, Origin
from nas.export.finals import FEWEST_IMAGES, FINALISTS, FINALS, finalists, play
from nas.export.named_network import EXPORT, WEIGHTS_SUFFIX, files_among
from nas.export.teachers import as_names, teachers_named
from nas.export.trained import require_seeds, weights_beside
from nas.measuring.remeasuring import CONFIRMING, in_fresh_processes, retimed
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, distinct, rank
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor, Silent
from nas.run.trust import commands_of, require_trusted
from search_spaces.architecture import Architecture, identify
from search_spaces.errors import InvalidInput, require
from search_spaces.space import Space


def export_winner(run: RunDirectory, *, trial: int | None = None, budgets: Budgets | None = None,
                  formats: Sequence[str] = (), out: Path | None = None, epochs: int = FINAL_EPOCHS,
                  finals: int | None = None, accuracy_loss: float = ACCURACY_LOSS_POINTS,
                  preprocess_inside: bool = False, data: str | None = None, trust: bool = False,
                  teacher: str | Sequence[str] = (), precision: str | None = None, seeds: int = 1,
                  monitor: Monitor | None = None, **settings: Any) -> Exported:
    """Returns the exported winner of a run.

    Args:
        run: the run directory.
        trial: another candidate than the winner.
        budgets: other budgets than the run's; they may pick another winner.
        formats: names of `FORMATS`; those of the targets are always written.
        out: where to; by default `export` in the run directory, with the architecture of `trial`, the budgets and the
            precision in its name, as far as they are not the run's.
        epochs: the length of the final training.
        finals: the most candidates that are trained longer, see `nas.export.finals`, by default 8; 1 for no finals.
        accuracy_loss: percentage points that a file may be less accurate than the network.
        preprocess_inside: whether the files of runtimes take bytes and normalise them themselves.
        data: where the data of the search are now, if they have moved; their content tells.
        trust: whether to run the commands of targets of a run that was not begun here, see `nas.run.trust`.
        teacher: trained networks from whose predictions it learns, see `nas.export.teachers`. Finals are without.
        seeds: of so many trainings the certificate says how far they differ; the network of the first is delivered.
        precision: of the files of the targets, by which finals judge too; by default as the search has it.
        monitor: what to report to.
        settings: of the final training, by the names of `evaluators.Recipe`; by default those of the search.

    An export that was stopped goes on from the trainings that it has behind it.

    Raises:
        InvalidInput: unknown format or trial, no candidate within the budgets, untrusted commands, another directory.
    """
    monitor, config, judged_by = monitor or Silent(), run.config, budgets or run.budgets
    recipe = dataclasses.replace(config.recipe, epochs=epochs, **settings)
    _require_exportable(run, trial, recipe, finals, seeds, out, trust)
    targets = tuple(in_precision(target, precision) for target in config.targets) if precision else config.targets
    precision = precision or config.precision
    named = _of_trial(run, trial) if trial is not None else None
    place = out or _place(run, named, judged_by, "" if targets == config.targets else precision)
    require_deliverable(formats, place, accuracy_loss, files_among(as_names(teacher)))
    dataset = data_of(run, data)
    teachers = teachers_named(as_names(teacher), dataset, recipe, functools.partial(
        best_trained, run, dataset, recipe.untaught, monitor, out))

    def ordered(chosen: Candidate, origin: Origin) -> Order:
        return Order(f"trial {chosen.trial}", Architecture.parse(chosen.architecture), dataset, targets,
                     dataclasses.replace(judged_by, targets=targets), recipe, formats, teachers=teachers,
                     origin={"trial": chosen.trial, "validation_accuracy_in_search": chosen.accuracy, **origin},
                     quiet_ms=run.quiet_ms(), accuracy_loss_points=accuracy_loss,
                     preprocess_inside=preprocess_inside, seeds=seeds)

    if named is not None:
        return deliver(ordered(named, {}), place, monitor)
    count = _of_enough_images(FINALISTS if finals is None else finals, dataset, monitor)
    while True:
        chosen, origin = best_of_finals(run, judged_by, dataset, recipe.untaught, count, monitor, out,
                                        (targets[0], precision))
        order = ordered(chosen, origin)
        if is_trained(order, place) or confirmed(run, chosen, judged_by, monitor).feasible:
            return deliver(order, place, monitor)


def _require_exportable(run: RunDirectory, trial: int | None, recipe: Recipe, finals: int | None, seeds: int,
                        out: Path | None, trust: bool) -> None:
    """Raises `InvalidInput` for what is wrong with an export and can be told before any work."""
    recipe.require_training()
    require(finals is None or finals >= 1, f"`finals` must be at least 1, but got {finals}")
    require(finals is None or trial is None, f"finals choose the winner, but trial {trial} is chosen already")
    require_seeds(recipe, seeds)
    require_trusted(run.path, run.identity, commands_of(run.config.targets), trust)
    if out is None:
        require_writable(run.path, "a run directory")
    require_devices()


def _of_enough_images(finals: int, dataset: Dataset, monitor: Monitor) -> int:
    """Returns the number of finalists, 1 where validation images are too few to tell networks apart."""
    if finals == 1 or len(dataset.validation) >= FEWEST_IMAGES:
        return finals
    monitor.say(f"no finals: {len(dataset.validation)} validation images cannot tell networks apart, {FEWEST_IMAGES} "
                "can; more images help")
    return 1


def _place(run: RunDirectory, candidate: Candidate | None, budgets: Budgets, precision: str) -> Path:
    """Returns the directory of an export in its run, named after what is not as the run has it.

    Budgets are named in words where these make a short file name; `precision` is empty where it is that of the run.
    """
    words = str(budgets)
    short = re.fullmatch(r"[0-9A-Za-z., ]{,80}", words)
    of_budgets = re.sub("[, ]+", "-", words) if short else identify(words)
    special = identify(candidate.architecture) if candidate else "" if budgets == run.budgets else of_budgets
    return place_in(run, "-".join(filter(None, (EXPORT, special, precision))))


def place_in(run: RunDirectory, name: str) -> Path:
    """Returns the directory of an export in its run; raises `InvalidInput` where a link leads out of that."""
    run.place(weights_beside(run.path / name).name)
    return run.place(name)


def best_of_finals(run: RunDirectory, budgets: Budgets, dataset: Dataset, recipe: Recipe, finals: int, monitor: Monitor,
                   out: Path | None = None, files: tuple[str, str] | None = None) -> tuple[Candidate, Origin]:
    """Returns the winner of the finals among the candidates within the budgets, and its entry in a certificate.

    As many finalists are trained at a time as the search was told (`workers`), or else as `training_processes` says.
    Trainings are recorded in a file of the run, or beside `out`, where the export goes, if that cannot be written.
    `files` are the first target and the precision of the files that are judged, by default as the search has them.

    Raises:
        InvalidInput: no candidate within the budgets.
    """
    noise = noise_of(run)
    chosen = finalists(judged(run, budgets), finals, noise.deviation if noise else 0.0,
                       run.config.objectives)
    if not chosen:
        raise InvalidInput(f"an export needs a trained candidate within {budgets}, but '{run.path}' has none")
    if len(chosen) == 1:
        return chosen[0], {}
    by_hand = ", and the best made by hand" if any(candidate.by_hand for candidate in chosen) else ""
    monitor.say(f"finals: trials {', '.join(str(candidate.trial) for candidate in chosen)} are trained longer: the "
                f"candidates that cannot be told apart yet{by_hand}")
    candidates = {candidate.trial: candidate for candidate in chosen}
    record = run.place(FINALS) if run.writable or out is None else out.with_name(f"{out.name}.{FINALS}")
    target, precision = files or (run.config.targets[0], run.config.precision)
    context = Context(Space.parse(run.resolved.space), dataset, run.place("evaluator"), recipe)
    workers = min(len(chosen), run.config.workers or training_processes())
    with evaluators(TRAINING, context, workers, target=target, precision=precision) as trainers:
        standings = play(chosen, dataset, recipe, record, monitor, trainers, precision)
    table: list[Finalist] = [
        {"trial": trial, "epochs": standing.epochs, "validation_accuracy": standing.accuracy,
         "validation_log_loss": standing.calibrated_log_loss,
         "validation_log_loss_in_search": candidates[trial].log_loss, "by_hand": candidates[trial].by_hand,
         "latency_ms": candidates[trial].latency_ms} for trial, standing in standings.items()]
    return candidates[next(iter(standings))], {"finals": table}


def best_trained(run: RunDirectory, dataset: Dataset, recipe: Recipe, monitor: Monitor, out: Path | None, count: int
                 ) -> list[Teacher]:
    """Returns the most accurate candidates of a run, whatever they cost, trained to the end.

    They are kept in the run, or beside `out` if that cannot be written, and trained once.
    """
    best = sorted((candidate for candidate in distinct(run.candidates()) if candidate.trained and candidate.accuracy),
                  key=lambda candidate: rank(candidate, run.config.objectives))[:count]
    require(len(best) == count, f"a run has at least as many trained candidates as are to teach, but '{run.path}' has "
            f"{len(best)} of {count}")
    return [trained_candidate(run, candidate, dataset, recipe, monitor, out) for candidate in best]


def trained_candidate(run: RunDirectory, candidate: Candidate, dataset: Dataset, recipe: Recipe, monitor: Monitor,
                      out: Path | None) -> Teacher:
    """Returns a candidate of a run, trained to the end: once, as it is kept where `best_trained` says."""
    architecture, name = Architecture.parse(candidate.architecture), f"trial {candidate.trial}"
    file = f"teacher-{architecture.id}{WEIGHTS_SUFFIX}"
    path = run.place(file) if run.writable or out is None else out.with_name(f"{out.name}.{file}")
    arrays, _ = trained_arrays(Order(name, architecture, dataset, (), Budgets(), recipe), path, monitor)
    return Teacher(name, architecture, arrays, digest(path))


def confirmed(run: RunDirectory, candidate: Candidate, budgets: Budgets, monitor: Monitor) -> Candidate:
    """Returns a candidate as budgets judge it when it is timed anew, before the long training.

    The slowest of `CONFIRMING` processes counts, since they differ by a few per cent. It is recorded beside the trial,
    whether that falls out or not. Where no turn comes to time it, the timing of the search stands, and its files are
    judged afterwards.
    """
    if not budgets.timed:
        return candidate
    try:
        later = retimed(run, candidate, budgets, in_fresh_processes(run, CONFIRMING, WAIT_S))
    except NoTurn as error:
        monitor.say(f"trial {candidate.trial} was not timed again before its training: {error}")
        return candidate
    if not later.feasible:
        monitor.say(f"trial {candidate.trial} was timed again: {budgets.excess(later.costs)}, so the next best is "
                    "taken")
    return later


def judged(run: RunDirectory, budgets: Budgets) -> list[Candidate]:
    """Returns the candidates of a run as its own or other budgets judge them.

    Raises:
        InvalidInput: time is limited on a target that the search has not measured.
    """
    for target in budgets.timed:
        if target not in run.config.targets:
            raise InvalidInput(f"time is limited on targets of the search, {', '.join(run.config.targets)}, but got "
                               f"'{target}'")
    return [dataclasses.replace(candidate, violations=budgets.violations(candidate.costs))
            for candidate in run.candidates()]


def _of_trial(run: RunDirectory, number: int) -> Candidate:
    for candidate in run.candidates():
        if candidate.trial == number:
            return candidate
    raise InvalidInput(f"a trial of the run is meant, but '{run.path}' has no trial {number}")
