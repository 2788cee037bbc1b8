"""Optuna's storage in a relational database, in fewer statements: trials are read as rows, and written all at once.

Optuna makes an object of every row, and a distribution for every parameter of every trial. Here the trials of a study
share their distributions, so that one of 10,000 trials is read in a fraction of the time and of the memory.
"""

import sys
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from json import dumps, loads
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage, _CachedStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.dialects import postgresql, sqlite

from nas.trials.rows import local

_TRIALS: Any = models.TrialModel.__table__
_distribution = lru_cache(maxsize=4096)(json_to_distribution)
_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_KEPT = (  # of a trial in other tables: the columns for the order, the name, the number and the text of a row
    (models.TrialParamModel, "param_id", "param_name", "param_value", "distribution_json"),
    (models.TrialValueModel, "objective", "", "value", "value_type"),
    (models.TrialUserAttributeModel, "", "key", "", "value_json"),
    (models.TrialSystemAttributeModel, "", "key", "", "value_json"),
    (models.TrialIntermediateValueModel, "step", "", "intermediate_value", "intermediate_value_type"))


class Database(RDBStorage):
    """Optuna's storage, which reads and writes trials as the module's text says."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial; raises `KeyError` where there is none."""
        found = self._read(models.TrialModel.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def _get_trials(self, study_id: int, states: Container[TrialState] | None, included_trial_ids: set[int],
                    trial_id_greater_than: int) -> list[FrozenTrial]:
        of, number = models.TrialModel, models.TrialModel.trial_id
        found = self._read(sqlalchemy.and_(of.study_id == study_id, sqlalchemy.or_(
            number > trial_id_greater_than, number.in_(sorted(included_trial_ids)))))
        if not found:
            self.get_study_name_from_id(study_id)  # raises `KeyError` where there is none
        return [trial for trial in found if states is None or trial.state in states]

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Returns a new trial, which runs unless there is a template."""
        if template_trial is not None:
            return super()._create_new_trial(study_id, template_trial)
        before = sqlalchemy.select(sqlalchemy.func.count()).where(_TRIALS.c.study_id == study_id).scalar_subquery()
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session, for_update=True)
            trial = models.TrialModel(study_id=study_id, number=before, state=TrialState.RUNNING)
            trial.datetime_start = datetime.now()
            session.add(trial)
            session.flush()
            return FrozenTrial(
                number=trial.number, state=trial.state, value=None, datetime_start=trial.datetime_start,
                datetime_complete=None, params={}, distributions={}, user_attrs={}, system_attrs={},
                intermediate_values={}, trial_id=trial.trial_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Returns the attributes of a study; raises `KeyError` where there is none."""
        of = models.StudyUserAttributeModel
        with self._reading() as connection:
            found = connection.execute(sqlalchemy.select(of.key, of.value_json).where(of.study_id == study_id)).all()
        return {key: loads(text) for key, text in found} or super().get_study_user_attrs(study_id)

    def _read(self, wanted: Any) -> list[FrozenTrial]:
        """Returns the trials that a condition holds for, in the order of their ids."""
        with self._reading() as connection:
            trials = connection.execute(sqlalchemy.select(_TRIALS).where(wanted).order_by(_TRIALS.c.trial_id)).all()
            if not trials:
                return []
            ids = (trials[0].trial_id,) if len(trials) == 1 else sqlalchemy.select(_TRIALS.c.trial_id).where(wanted)
            kept: list[dict[int, list[Any]]] = [defaultdict(list) for _ in _KEPT]
            for table, trial_id, order, name, value, text in connection.execute(_rows(ids)):
                kept[table][trial_id].append((order, name, value, text))
        return [_trial(trial, *(rows.get(trial.trial_id, ()) for rows in kept)) for trial in trials]

    def _reading(self) -> sqlalchemy.Connection:
        """Returns a connection that begins no transaction, as that takes ways to the server and back of its own."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

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
                if attributes:
                    insert = _INSERTS[self.engine.dialect.name](model)
                    session.execute(insert.on_conflict_do_update(
                        index_elements=["trial_id", "key"], set_={"value_json": insert.excluded.value_json}), [
                        {"trial_id": trial_id, "key": key, "value_json": dumps(attribute)}
                        for key, attribute in attributes.items()])

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Ends a trial with its values, which it has none of before; all else is Optuna's."""
        if not (values and state.is_finished()):
            return super().set_trial_state_values(trial_id, state, values)
        of = models.TrialValueModel
        rows = [{"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind}
                for objective, (stored, kind) in enumerate(map(of.value_to_stored_repr, values))]
        with _create_scoped_session(self.scoped_session) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, trial.state)
            session.execute(sqlalchemy.insert(of), rows)
            trial.state, trial.datetime_complete = state, datetime.now()
        return True


class Cached(_CachedStorage):
    """Optuna's memory of the trials of a database, which is asked for new trials only."""

    _begun: int | None = None  # the id of a trial that was begun here, and that nobody has asked for since

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Returns the id of a new trial."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._begun = trial_id if template_trial is None else None
        return trial_id

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Returns a trial; raises `KeyError` where there is none."""
        if trial_id != self._begun:
            return super().get_trial(trial_id)
        self._begun = None
        study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        return self._studies[study_id].trials[number]

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
                       ) -> list[FrozenTrial]:
        """Returns the trials in the order of their numbers."""
        if deepcopy or states is not None:
            return super().get_all_trials(study_id, deepcopy, states)
        self._read_trials_from_remote_storage(study_id)
        return self.known_trials(study_id)

    def known_trials(self, study_id: int) -> list[FrozenTrial]:
        """Returns the trials as they were last read here, and those that were begun or enqueued here since."""
        with self._lock:
            trials = self._studies[study_id].trials
            return [trials[number] for number in sorted(trials)]


def _rows(ids: Any) -> Any:
    """Returns one statement for all rows of trials in `_KEPT`, as each takes its way to the server and back."""
    kinds: tuple[Any, ...] = sqlalchemy.Integer, sqlalchemy.String, sqlalchemy.Float(precision=53), sqlalchemy.Text
    parts: list[Any] = [sqlalchemy.select(
        sqlalchemy.literal_column(str(table)).label("kept"), model.trial_id, *(
            (sqlalchemy.cast(getattr(model, column), kind) if column.endswith("_type") else getattr(model, column))
            if column else sqlalchemy.cast(sqlalchemy.null(), kind)
            for column, kind in zip(columns, kinds, strict=True))
    ).where(model.trial_id.in_(ids)) for table, (model, *columns) in enumerate(_KEPT)]
    return sqlalchemy.union_all(*parts).order_by(sqlalchemy.text("1, 3, 4"))


def _trial(trial: Any, params: Any, values: Any, user_attrs: Any, system_attrs: Any, reported: Any) -> FrozenTrial:
    distributions = {sys.intern(name): _distribution(text) for _, name, _, text in params}
    told, between = models.TrialValueModel, models.TrialIntermediateValueModel
    return FrozenTrial(
        number=trial.number, state=trial.state, value=None,
        values=[told.stored_repr_to_value(value, told.TrialValueType[kind]) for _, _, value, kind in values] or None,
        datetime_start=local(trial.datetime_start), datetime_complete=local(trial.datetime_complete),
        params={sys.intern(name): distributions[name].to_external_repr(value) for _, name, value, _ in params},
        distributions=distributions,
        user_attrs={sys.intern(key): loads(text) for _, key, _, text in user_attrs},
        system_attrs={sys.intern(key): loads(text) for _, key, _, text in system_attrs},
        intermediate_values={step: between.stored_repr_to_intermediate_value(
            value, between.TrialIntermediateValueType[kind]) for step, _, value, kind in reported},
        trial_id=trial.trial_id)
