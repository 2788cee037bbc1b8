"""A trial written in few transactions, where Optuna takes one for each parameter, attribute and constraint."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna


class Collected:
    """The storage of a trial, in which parameters and attributes wait to be written together."""

    def __init__(self, trial: "optuna.Trial") -> None:
        """Takes a trial that is running."""
        self._storage, self._trial_id = trial.storage, trial._trial_id
        self._params: dict[str, tuple[float, optuna.distributions.BaseDistribution]] = {}
        self._user_attrs: dict[str, Any] = {}
        self._system_attrs: dict[str, Any] = {}

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns the attributes of Optuna's, of which a sampler may have written some itself."""
        return {**self._storage.get_trial_system_attrs(trial_id), **self._system_attrs}

    def set_trial_param(self, trial_id: int, name: str, value: float,
                        distribution: "optuna.distributions.BaseDistribution") -> None:
        """Keeps a parameter."""
        self._params[name] = value, distribution

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keeps an attribute."""
        self._user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keeps an attribute of Optuna's, such as a constraint."""
        self._system_attrs[key] = value

    def write(self) -> None:
        """Writes the kept parameters and attributes: all or nothing, where the storage can."""
        if not (self._params or self._user_attrs or self._system_attrs):
            return
        write_together = getattr(getattr(self._storage, "_backend", None), "write_together", None)
        if write_together is not None:
            write_together(self._trial_id, self._params, self._user_attrs, self._system_attrs)
            return
        for name, (value, distribution) in self._params.items():
            self._storage.set_trial_param(self._trial_id, name, value, distribution)
        for key, attribute in self._user_attrs.items():
            self._storage.set_trial_user_attr(self._trial_id, key, attribute)
        for key, attribute in self._system_attrs.items():
            self._storage.set_trial_system_attr(self._trial_id, key, attribute)


@contextlib.contextmanager
def together(trial: "optuna.Trial") -> Iterator[None]:
    """Writes the parameters and attributes of a block in one transaction at its end; none where the block raises."""
    storage, trial.storage = trial.storage, Collected(trial)
    try:
        yield
        collected = trial.storage
    finally:
        trial.storage = storage
    collected.write()


def ask(study: "optuna.Study") -> "optuna.Trial":
    """Returns the next trial as `Study.ask` does, once the trials were read by the only worker that asks.

    Neither are they read anew here, nor by the sampler, where the storage knows them as they were read.
    """
    import optuna

    known = getattr(study._storage, "known_trials", None)
    trials = known(study._study_id) if known else study.get_trials(deepcopy=False)
    if any(trial.state is optuna.trial.TrialState.WAITING for trial in trials):
        return study.ask()
    study._thread_local.cached_all_trials = trials
    trial = optuna.Trial(study, study._storage.create_new_trial(study._study_id))
    trials.append(trial._cached_frozen_trial)
    return trial


def take_up(study: "optuna.Study", number: int) -> "optuna.Trial":
    """Returns a trial that another worker has begun, to go on with."""
    import optuna

    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def as_begun(trial: "optuna.Trial") -> "optuna.trial.FrozenTrial":
    """Returns a trial as it was when `ask` or `take_up` returned it, without reading it again."""
    return trial._cached_frozen_trial


def tell(study: "optuna.Study", trial: "optuna.Trial", values: Sequence[float] | None) -> None:
    """Ends a trial, failed without values, as `Study.tell` does, but without reading it again."""
    import optuna

    if values is not None and any(map(math.isnan, values)):
        values = None
    state = optuna.trial.TrialState.FAIL if values is None else optuna.trial.TrialState.COMPLETE
    try:
        study.sampler.after_trial(study, trial._get_latest_trial(), state, values)
    finally:
        study._storage.set_trial_state_values(trial._trial_id, state, values)
