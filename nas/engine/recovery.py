"""Recovery from a worker's death: its trials are failed as lost, and their proposals are taken up again."""

import dataclasses
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from nas.engine.history import History
from nas.problem.candidate import Candidate, Outcome
from nas.run.directory import RunDirectory
from nas.run.sharing import Sharing
from nas.trials.record import DIED, write_lost
from search_spaces.search_space import SearchSpace

if TYPE_CHECKING:
    import optuna

DEATHS = 2  # of its workers, after which a candidate is not tried again


def fail_own(study: "optuna.Study", run: RunDirectory, sharing: Sharing, held: bool) -> None:
    """Ends the trials of this process as lost, with a nameless one that it proposes as it has the turn."""
    own = (sharing.worker, None) if held else (sharing.worker,)  # nobody else proposes meanwhile
    fail(study, [candidate for candidate in run.told() if candidate.outcome is Outcome.RUNNING
                 and candidate.worker in own], sharing)


def fail(study: "optuna.Study", lost: Iterable[Candidate], sharing: Sharing) -> None:
    """Ends running trials as lost."""
    import optuna

    trials = study.get_trials(deepcopy=False)
    for candidate in lost:
        died = candidate.worker not in (None, sharing.worker)
        write_lost(study, trials[candidate.trial], DIED if died else True)
        study.tell(candidate.trial, state=optuna.trial.TrialState.FAIL)


def to_retry(history: History, space: SearchSpace) -> Candidate | None:
    """Returns the first lost proposal of a strategy that nobody has taken up again; None if there is none.

    What is enqueued is enqueued again anyway, see `nas.engine.loop`.
    """
    return next((lost for lost in history.lost if lost.start is None and len(lost.assignment) == len(space.parameters)
                 and not (lost.continues is not None and history.is_continued(lost.continues))
                 and not any(later.assignment == lost.assignment and later.outcome is not Outcome.LOST
                             for later in islice(history.told, lost.trial + 1, None))), None)  # mostly soon after it


def deaths(lost: Iterable[Candidate], own: Candidate) -> list[Candidate]:
    """Returns the lost trials of a candidate, or of the rest of its training, whose workers have died."""
    return [candidate for candidate in lost if candidate.died and candidate.architecture == own.architecture
            and candidate.continues == own.continues]


def with_training_of_lost(own: Candidate, candidates: Iterable[Candidate], epochs: int) -> Candidate:
    """Returns a candidate with the training of a lost trial of its architecture, up to the last rung.

    Args:
        own: the candidate.
        candidates: those of lost trials.
        epochs: of the whole training, whose network may be lost too.
    """
    found = own
    for lost in candidates:
        rungs = tuple(rung for rung in lost.accuracies if rung[0] < epochs)
        if lost.architecture == own.architecture and rungs and rungs[-1][0] > found.epochs:
            found = dataclasses.replace(found.with_training_of(lost), epochs=rungs[-1][0], accuracy=rungs[-1][1],
                                        accuracies=rungs, trained=False)
    return found
