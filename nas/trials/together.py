"""A trial written in few transactions, where Optuna takes one for each parameter, attribute and constraint."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna


class Collected:
    """The storage of a trial, but that what is written to it waits; what is read of the trial has it already."""

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
        """Writes what was kept: all of it or nothing, where the trials are in a relational database."""
        import optuna

        backend, trial_id = getattr(self._storage, "_backend", None), self._trial_id
        if not (self._params or self._user_attrs or self._system_attrs):
            return
        if isinstance(backend, optuna.storages.RDBStorage):
            self._write_to(backend)
            return
        for name, (value, distribution) in self._params.items():
            self._storage.set_trial_param(trial_id, name, value, distribution)
        for key, attribute in self._user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, key, attribute)
        for key, attribute in self._system_attrs.items():
            self._storage.set_trial_system_attr(trial_id, key, attribute)

    def _write_to(self, database: "optuna.storages.RDBStorage") -> None:
        import sqlalchemy
        from optuna.distributions import distribution_to_json
        from optuna.storages._rdb import models
        from optuna.storages._rdb.storage import _create_scoped_session

        trial_id = self._trial_id
        params = [{"trial_id": trial_id, "param_name": name, "param_value": value,
                   "distribution_json": distribution_to_json(distribution)}
                  for name, (value, distribution) in self._params.items()]
        with _create_scoped_session(database.scoped_session) as session:
            stored = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            database.check_trial_is_updatable(trial_id, stored.state)
            if params:
                session.execute(sqlalchemy.insert(models.TrialParamModel), params)
            for model, attributes in ((models.TrialUserAttributeModel, self._user_attrs),
                                      (models.TrialSystemAttributeModel, self._system_attrs)):
                for key, attribute in attributes.items():
                    database._set_trial_attr_without_commit(session, model, trial_id, key, attribute)


@contextlib.contextmanager
def together(trial: "optuna.Trial") -> Iterator[None]:
    """Writes all that a trial is told in the block in one transaction at its end; nothing where the block raises."""
    storage, trial.storage = trial.storage, Collected(trial)
    try:
        yield
        collected = trial.storage
    finally:
        trial.storage = storage
    collected.write()


def ask(study: "optuna.Study") -> "optuna.Trial":
    """Returns the next trial as `Study.ask` does, where one process at a time does so; its sampler reads no more trials.
    """
    import optuna

    trials = study.get_trials(deepcopy=False)
    if any(trial.state is optuna.trial.TrialState.WAITING for trial in trials):
        return study.ask()
    study._thread_local.cached_all_trials = trials
    trial = optuna.Trial(study, study._storage.create_new_trial(study._study_id))
    trials.append(trial._cached_frozen_trial)
    return trial


def tell(study: "optuna.Study", trial: "optuna.Trial", values: Sequence[float] | None) -> None:
    """Ends a trial as `Study.tell` does, but without reading twice the trial that is at hand; without values it failed.
    """
    import optuna

    failed = values is None or any(map(math.isnan, values))
    state = optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE
    values = None if failed else list(values)
    try:
        study.sampler.after_trial(study, trial._get_latest_trial(), state, values)
    finally:
        study._storage.set_trial_state_values(trial._trial_id, state, values)
