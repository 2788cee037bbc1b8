"""The winner of a search is chosen, confirmed by a new timing, and delivered."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from evaluators.datasets import load_dataset
from evaluators.machine.files import require_writable
from evaluators.recipe import FINAL_EPOCHS
from nas.export.certificate import ACCURACY_LOSS_POINTS, Exported
from nas.export.delivery import Order, deliver, is_trained, require_deliverable
from nas.measuring.remeasuring import CONFIRMING, in_fresh_processes, retimed
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, winner
from nas.run.directory import RunDirectory
from nas.run.monitor import Monitor, Silent
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput


def export_winner(run: RunDirectory, *, trial: int | None = None, budgets: Budgets | None = None,
                  formats: Sequence[str] = (), out: Path | None = None, epochs: int = FINAL_EPOCHS,
                  accuracy_loss: float = ACCURACY_LOSS_POINTS, monitor: Monitor | None = None) -> Exported:
    """Returns the exported winner of a run.

    Args:
        run: the run directory.
        trial: another candidate than the winner.
        budgets: other budgets than the run's; they may pick another winner.
        formats: names of `FORMATS`; those of the targets are always written.
        out: where to; by default `export` in the run directory, named after the budgets if they are not the run's.
        epochs: the length of the final training.
        accuracy_loss: percentage points that a file may be less accurate than the network.
        monitor: what to report to.

    An export that was stopped after its training goes on from there.

    Raises:
        InvalidInput: unknown format or trial, no candidate within the budgets, or a directory of something else.
    """
    monitor = monitor or Silent()
    config, judged_by = run.config, budgets or run.budgets
    recipe = dataclasses.replace(config.recipe, epochs=epochs)
    recipe.require_training()
    require_deliverable(formats, out)
    require_writable(run.path, "a run directory")
    dataset = load_dataset(config.data, seed=config.seed, resolution=run.resolved.resolution,
                           skip_broken=config.skip_broken)
    if dataset.fingerprint != run.resolved.data_fingerprint:
        raise InvalidInput(f"an export needs the data of the search, but '{config.data}' has changed since")

    def ordered(chosen: Candidate) -> tuple[Order, Path]:
        architecture = Architecture.parse(chosen.architecture)
        directory = out or run.path / ("export" if budgets is None and trial is None else f"export-{architecture.id}")
        return Order(f"trial {chosen.trial}", architecture, dataset, config.targets, judged_by, recipe, formats,
                     quiet_ms=run.quiet_ms(), accuracy_loss_points=accuracy_loss,
                     origin={"trial": chosen.trial, "validation_accuracy_in_search": chosen.accuracy}), directory

    chosen = _of_trial(run, trial) if trial is not None else winner(judged(run, judged_by))
    if chosen is None or (trial is None and not is_trained(*ordered(chosen))):
        chosen = confirmed_winner(run, judged_by, monitor)
    return deliver(*ordered(chosen), monitor)


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


def confirmed_winner(run: RunDirectory, budgets: Budgets, monitor: Monitor) -> Candidate:
    """Returns the best candidate that still meets the budgets when it is timed anew, before the long training.

    The slowest of `CONFIRMING` processes counts, since they differ by a few per cent. It is recorded beside the trial,
    whether that falls out or not.
    """
    while True:
        best = winner(judged(run, budgets))
        if best is None:
            raise InvalidInput(f"an export needs a trained candidate within {budgets}, but '{run.path}' has none")
        if not budgets.timed:
            return best
        later = retimed(run, best, budgets, in_fresh_processes(run, CONFIRMING))
        if later.feasible:
            return later
        monitor.say(f"trial {best.trial} was timed again: {budgets.excess(later.costs)}, so the next best is taken")


def _of_trial(run: RunDirectory, number: int) -> Candidate:
    for candidate in run.candidates():
        if candidate.trial == number:
            return candidate
    raise InvalidInput(f"a trial of the run is meant, but '{run.path}' has no trial {number}")
