"""Recovery from a worker's death: its trials are failed as lost, and their proposals are taken up again."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nas.problem.candidate import Candidate, Outcome
from nas.run.directory import RunDirectory
from nas.run.sharing import Sharing
from nas.trials.record import DIED, write_lost
from search_spaces.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

DEATHS = 2  # of its workers, after which a candidate is not tried again


def told_of_living(study: "optuna.Study", run: RunDirectory, sharing: Sharing) -> list[Candidate]:
    """Returns the candidates of all trials, once the running trials of dead workers were failed as lost."""
    told = run.told()
    lost = sharing.gone(candidate for candidate in told if candidate.outcome is Outcome.RUNNING and not candidate.waits)
    if not lost:
        return told
    fail(study, lost, sharing)
    return run.told()


def fail_own(study: "optuna.Study", run: RunDirectory, sharing: Sharing) -> None:
    """Ends the trials of this process as lost."""
    fail(study, [candidate for candidate in run.told() if candidate.outcome is Outcome.RUNNING
                 and candidate.worker == sharing.worker], sharing)


def fail(study: "optuna.Study", lost: Iterable[Candidate], sharing: Sharing) -> None:
    """Ends running trials as lost."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    for candidate in lost:
        died = candidate.worker not in (None, sharing.worker)
        write_lost(study, trials[candidate.trial], DIED if died else True)
        study.tell(candidate.trial, state=optuna.trial.TrialState.FAIL)


def to_retry(told: Sequence[Candidate], space: SearchSpace) -> Candidate | None:
    """Returns the first lost proposal of a strategy that nobody has taken up again; None if there is none.

    What is enqueued is enqueued again anyway, see `nas.engine.loop`.
    """
    kept = [candidate for candidate in told if candidate.outcome is not Outcome.LOST]
    later = {_choices(candidate): candidate.trial for candidate in kept}
    continued = {candidate.continues for candidate in kept}
    return next((candidate for candidate in told if candidate.outcome is Outcome.LOST and candidate.start is None
                 and len(candidate.assignment) == len(space.parameters)
                 and (candidate.continues is None or candidate.continues not in continued)
                 and later.get(_choices(candidate), -1) < candidate.trial), None)


def deaths(told: Iterable[Candidate], own: Candidate) -> list[Candidate]:
    """Returns the lost trials of a candidate, or of the rest of its training, whose workers have died."""
    return [candidate for candidate in told if candidate.died and candidate.architecture == own.architecture
            and candidate.continues == own.continues]


def with_training_of_lost(own: Candidate, told: Iterable[Candidate], epochs: int) -> Candidate:
    """Returns a candidate with the training of a lost trial of its architecture, up to the last rung.

    Args:
        own: the candidate.
        told: the candidates of all trials.
        epochs: of the whole training, whose network may be lost too.
    """
    found = own
    for lost in told:
        rungs = tuple(rung for rung in lost.accuracies if rung[0] < epochs)
        if (lost.outcome is Outcome.LOST and lost.architecture == own.architecture and rungs
                and rungs[-1][0] > found.epochs):
            found = dataclasses.replace(found.with_training_of(lost), epochs=rungs[-1][0], accuracy=rungs[-1][1],
                                        accuracies=rungs, trained=False)
    return found


def with_checkpoints(told: Iterable[Candidate]) -> list[Candidate]:
    """Returns the lost trials whose checkpoint may still be gone on from."""
    found = {candidate.architecture: candidate for candidate in told if candidate.epochs}
    return [candidate for candidate in found.values() if candidate.outcome is Outcome.LOST]


def _choices(candidate: Candidate) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(candidate.assignment.items()))
