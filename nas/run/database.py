"""Optuna's storage in a relational database, in fewer statements: trials are read as rows, and written all at once.

Optuna makes an object of every row, and a distribution for every parameter of every trial. Here the trials of a study
share their distributions, so that one of 10,000 trials is read in a fraction of the time and of the memory.
"""

import sys
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from json import loads
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

_distribution = lru_cache(maxsize=4096)(json_to_distribution)


class Database(RDBStorage):
    """Optuna's storage, which reads and writes trials as the module's text says."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial; raises `KeyError` where there is none."""
        with _create_scoped_session(self.scoped_session) as session:
            found = _read(session, models.TrialModel.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def _get_trials(self, study_id: int, states: Container[TrialState] | None, included_trial_ids: set[int],
                    trial_id_greater_than: int) -> list[FrozenTrial]:
        of, number = models.TrialModel, models.TrialModel.trial_id
        with _create_scoped_session(self.scoped_session) as session:
            found = _read(session, sqlalchemy.and_(of.study_id == study_id, sqlalchemy.or_(
                number > trial_id_greater_than, number.in_(sorted(included_trial_ids)))))
            if not found:
                models.StudyModel.find_or_raise_by_id(study_id, session)
        return [trial for trial in found if states is None or trial.state in states]

    def write_together(self, trial_id: int, params: Mapping[str, tuple[float, BaseDistribution]],
                       user_attrs: Mapping[str, Any], system_attrs: Mapping[str, Any]) -> None:
        """Writes parameters, in Optuna's internal form, and attributes of a running trial: all of them or nothing."""
        rows = [{"trial_id": trial_id, "param_name": name, "param_value": value,
                 "distribution_json": distribution_to_json(distribution)}
                for name, (value, distribution) in params.items()]
        with _create_scoped_session(self.scoped_session) as session:
            stored = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, stored.state)
            if rows:
                session.execute(sqlalchemy.insert(models.TrialParamModel), rows)
            for model, attributes in ((models.TrialUserAttributeModel, user_attrs),
                                      (models.TrialSystemAttributeModel, system_attrs)):
                for key, attribute in attributes.items():
                    self._set_trial_attr_without_commit(session, model, trial_id, key, attribute)


def _read(session: Session, wanted: Any) -> list[FrozenTrial]:
    """Returns the trials that a condition holds for, in the order of their ids."""
    trials = session.scalars(sqlalchemy.select(models.TrialModel).where(wanted).order_by(
        models.TrialModel.trial_id)).all()
    if not trials:
        return []
    ids = (trials[0].trial_id,) if len(trials) == 1 else sqlalchemy.select(models.TrialModel.trial_id).where(wanted)

    def rows(model: Any, order: str, *columns: str) -> Iterable[Any]:
        return session.execute(sqlalchemy.select(model.trial_id, *(getattr(model, column) for column in columns)).where(
            model.trial_id.in_(ids)).order_by(getattr(model, order)))

    params: dict[int, dict[str, Any]] = defaultdict(dict)
    distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    for trial_id, name, value, text in rows(models.TrialParamModel, "param_id", "param_name", "param_value",
                                            "distribution_json"):
        distribution, key = _distribution(text), sys.intern(name)
        params[trial_id][key], distributions[trial_id][key] = distribution.to_external_repr(value), distribution
    values: dict[int, list[float]] = defaultdict(list)
    for trial_id, value, kind in rows(models.TrialValueModel, "objective", "value", "value_type"):
        values[trial_id].append(models.TrialValueModel.stored_repr_to_value(value, kind))
    attributes: list[dict[int, dict[str, Any]]] = [defaultdict(dict), defaultdict(dict)]
    for found, model in zip(attributes, (models.TrialUserAttributeModel, models.TrialSystemAttributeModel),
                            strict=True):
        for trial_id, key, text in rows(model, "key", "key", "value_json"):
            found[trial_id][sys.intern(key)] = loads(text)
    reported: dict[int, dict[int, float]] = defaultdict(dict)
    of = models.TrialIntermediateValueModel
    for trial_id, step, value, kind in rows(of, "step", "step", "intermediate_value", "intermediate_value_type"):
        reported[trial_id][step] = of.stored_repr_to_intermediate_value(value, kind)
    user_attrs, system_attrs = attributes
    return [FrozenTrial(number=trial.number, state=trial.state, value=None, values=values.get(own),
                        datetime_start=trial.datetime_start, datetime_complete=trial.datetime_complete,
                        params=params.get(own, {}), distributions=distributions.get(own, {}),
                        user_attrs=user_attrs.get(own, {}), system_attrs=system_attrs.get(own, {}),
                        intermediate_values=reported.get(own, {}), trial_id=own)
            for trial in trials for own in (trial.trial_id,)]
