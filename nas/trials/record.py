"""The record of a trial: a candidate as attributes of an Optuna trial, and back. No other file knows their names.

Parameters, state, times and constraints are Optuna's own; all else is in user attributes. They are never renamed, so
that a search that was begun by an earlier version goes on.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.latency import Latency
from evaluators.machine.trouble import tells_of_trouble
from nas.problem.candidate import TRAINING, Candidate, State
from nas.problem.costs import Costs
from nas.trials.together import together
from search_spaces.architecture import Architecture

if TYPE_CHECKING:
    import optuna

CANDIDATE = "candidate"  # what is known of its architecture
CONTINUES = "promoted"  # the number of the trial that it continues
START = "start"  # the text of the architecture that was asked for
TAKEN = "taken"  # what another run has found in training that
OUTSIDE = "outside"  # its architecture is not of the space: it has no parameters
IMPOSSIBLE = "impossible"  # why its choices make no network
LOST = "lost"  # its worker died or was interrupted, or the machine failed
DIED = "died"  # the value of `LOST` where the worker was found to be gone

STATES: dict[str, State] = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "complete", "FAIL": "failed"}
KINDS: dict[str, Any] = {"architecture": str, "accuracy": int | float | None,
                         "float32_accuracy": int | float | None, "log_loss": int | float | None, "total": int,
                         "epochs": int, "trained": bool, "reason": str | None, "duplicate_of": int | None,
                         "bracket": int, "worker": str | None, "waits": bool}


@dataclass(frozen=True)
class Start:
    """An architecture to evaluate before the strategy is asked.

    Attributes:
        architecture: the network.
        trained: the candidate that another run has trained, if it need not be trained again.
        weights: where that run keeps its network.
    """

    architecture: Architecture
    trained: Candidate | None = None
    weights: Path | None = None


def candidate_of(trial: "optuna.trial.FrozenTrial | optuna.Trial", target: str = "") -> Candidate:
    """Returns the candidate of a trial.

    Args:
        trial: as it is stored, or as it is being worked on.
        target: of a latency that was stored without its target, as long as there was only one.
    """
    marks = trial.user_attrs
    known: dict[str, Any] = marks.get(CANDIDATE, {})
    return Candidate(
        trial=trial.number,
        architecture=known.get("architecture", ""),
        costs=Costs.stored(known, latencies_of(known.get("latencies") or known.get("latency") or {}, target)),
        violations=trial.constraints,
        worker=known.get("worker"),
        waits=known.get("waits", False) and not is_lost(trial),
        died=marks.get(LOST) == DIED,
        state="lost" if is_lost(trial) else STATES[trial.state.name] if hasattr(trial, "state") else "running",
        assignment=trial.params,
        reason=known.get("reason") if known else marks.get(IMPOSSIBLE),
        duplicate_of=known.get("duplicate_of"),
        bracket=known.get("bracket", 0),
        continues=marks.get(CONTINUES),
        start=marks.get(START),
        outside=OUTSIDE in marks,
        began=trial.datetime_start,
        ended=getattr(trial, "datetime_complete", None),
        **_training_of(known),
    )


def stored_candidate(trial: "optuna.trial.FrozenTrial", target: str = "") -> Candidate:
    """Returns the candidate of a trial as `candidate_of` does, where a search may have written it so.

    Raises:
        ValueError: a complete trial lacks what each of them has.
        TypeError, LookupError or AttributeError: a value is of another kind.
    """
    found = candidate_of(trial, target)
    if found.state == "complete":
        lacking = [name for name in ("architecture", "trained") if name not in trial.user_attrs.get(CANDIDATE, {})]
        if lacking or not trial.values:
            raise ValueError(f"trial {found.trial} has no {' and no '.join(lacking) or 'values'}")
    for name, kind in KINDS.items():
        if not isinstance(value := getattr(found, name), kind):
            raise TypeError(f"`{name}` of trial {found.trial} is {value!r}")
    return found


def attributes_of(candidate: Candidate) -> dict[str, Any]:
    """Returns the user attributes that tell of a candidate all that Optuna does not."""
    marks: dict[str, Any] = {CONTINUES: candidate.continues, START: candidate.start, OUTSIDE: candidate.outside or None,
                             LOST: candidate.state == "lost" or None}
    if candidate.architecture:
        more = {"reason": candidate.reason, "duplicate_of": candidate.duplicate_of,
                "bracket": candidate.bracket or None, "worker": candidate.worker,
                "waits": candidate.waits or None, **_training(candidate)}
        marks[CANDIDATE] = {"architecture": candidate.architecture, "trained": candidate.trained,
                            **dataclasses.asdict(candidate.costs), **_stated(more)}
    else:
        marks[IMPOSSIBLE] = candidate.reason
    return _stated(marks)


def write(trial: "optuna.Trial", candidate: Candidate) -> None:
    """Writes the candidate of a trial into its attributes and constraints, as far as they have changed."""
    before = trial.user_attrs
    told = trial.constraints if candidate.violations else {}
    with together(trial):
        for name, value in attributes_of(candidate).items():
            if before.get(name) != value:
                trial.set_user_attr(name, value)
        for name, violation in candidate.violations.items():
            if name not in told:
                trial.set_constraint(name, violation)


def is_lost(trial: "optuna.trial.FrozenTrial | optuna.Trial") -> bool:
    """Tells whether a trial counts for nothing, which earlier versions also let fail for trouble of the machine."""
    marks = trial.user_attrs
    reason = marks[CANDIDATE].get("reason") if CANDIDATE in marks else None
    return LOST in marks or (reason is not None and hasattr(trial, "state") and trial.state.name == "FAIL"
                             and tells_of_trouble(reason))


def write_lost(study: "optuna.Study", trial: "optuna.trial.FrozenTrial | optuna.Trial", mark: bool | str = True
               ) -> None:
    """Marks a trial as lost, whose worker may be dead (`DIED`): it counts for nothing and is asked again."""
    study._storage.set_trial_user_attr(trial._trial_id, LOST, mark)  # Optuna has no public way to do so


def start_attributes(start: Start, outside: bool) -> dict[str, Any]:
    """Returns the user attributes of a trial that is to begin with an architecture, in the space or outside of it."""
    taken = {**_training(start.trained), "weights": str(start.weights)} if start.trained else None
    return _stated({START: start.architecture.text, OUTSIDE: outside or None, TAKEN: taken})


def start_of(trial: "optuna.trial.FrozenTrial | optuna.Trial") -> Start | None:
    """Returns the architecture that a trial was to begin with; None where the strategy was asked."""
    marks = trial.user_attrs
    if START not in marks:
        return None
    architecture, taken = Architecture.parse(marks[START]), marks.get(TAKEN)
    if taken is None:
        return Start(architecture)
    return Start(architecture, Candidate(trial.number, architecture.text, **_training_of(taken)),
                 Path(taken["weights"]))


def latencies_of(stored: Mapping[str, Any], target: str = "") -> dict[str, Latency]:
    """Returns stored latencies by target; a bare one, as versions for one target wrote it, is that of `target`."""
    by_target = {target: stored} if "median_ms" in stored else stored
    return {name: Latency.stored(latency) for name, latency in by_target.items()}


def _training(candidate: Candidate) -> dict[str, Any]:
    untrained = Candidate(candidate.trial)
    return {name: getattr(candidate, name) for name in TRAINING
            if getattr(candidate, name) != getattr(untrained, name)}


def _training_of(known: Mapping[str, Any]) -> dict[str, Any]:
    accuracies = tuple((epochs, accuracy) for epochs, accuracy in known.get("accuracies", ()))
    return {name: known[name] for name in TRAINING if name in known} | {"accuracies": accuracies}


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
