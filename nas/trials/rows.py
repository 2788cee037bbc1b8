"""The trials of a study as they stand in Optuna's tables of a SQLite file, read without what Optuna reads them with.

Optuna makes them of SQLAlchemy's objects, whose import alone takes longer than all else that shows a run. What is read
here is equal; tables of another version of Optuna are left to it.
"""

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

TABLES = "v3.2.0.a"  # the version of Optuna's tables that are read here
_INFINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf}


@dataclass
class StoredStudy:
    """A study as it was when it was read, with the methods of Optuna's that its readers use."""

    trials: "Sequence[optuna.trial.FrozenTrial]"
    user_attrs: dict[str, Any]

    def get_trials(self, deepcopy: bool = False) -> "Sequence[optuna.trial.FrozenTrial]":
        """Returns the trials in the order of their numbers."""
        return self.trials

    def set_user_attr(self, key: str, value: Any) -> None:
        """Sets an attribute in memory."""
        self.user_attrs[key] = value


def read_study(database: sqlite3.Connection, name: str) -> StoredStudy | None:
    """Returns the study of a name, None where the tables are those of another version of Optuna.

    Intermediate values and attributes of the study that Optuna sets are left out: no search has any that count.

    Raises:
        sqlite3.Error, ValueError, TypeError or LookupError: the database is damaged.
    """
    if database.execute("SELECT version_num FROM alembic_version").fetchall() != [(TABLES,)]:
        return None
    (study,) = database.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchone()
    user, system = (_by_trial(database, f"trial_{kind}_attributes", "key, value_json") for kind in ("user", "system"))
    values = _by_trial(database, "trial_values", "value, value_type", "objective")
    parameters = _by_trial(database, "trial_params", "param_name, param_value, distribution_json", "param_id")
    trials = [_trial(row, values[row[0]], parameters[row[0]], user[row[0]], system[row[0]]) for row in database.execute(
        "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials WHERE study_id = ? "
        "ORDER BY trial_id", (study,))]
    if [trial.number for trial in trials] != list(range(len(trials))):
        raise ValueError("trials are missing")
    return StoredStudy(trials, _attributes(database.execute(
        "SELECT key, value_json FROM study_user_attributes WHERE study_id = ?", (study,))))


def _by_trial(database: sqlite3.Connection, table: str, columns: str, order: str = "key") -> dict[int, list[Any]]:
    """Returns the rows of a table of each trial."""
    found: dict[int, list[Any]] = defaultdict(list)
    for trial_id, *row in database.execute(f"SELECT trial_id, {columns} FROM {table} ORDER BY {order}"):
        found[trial_id].append(row)
    return found


def _trial(row: Sequence[Any], values: list[Any], parameters: list[Any], user: list[Any], system: list[Any]
           ) -> "optuna.trial.FrozenTrial":
    from optuna.trial import FrozenTrial, TrialState

    trial_id, number, state, start, complete = row
    distributions = {name: _distribution(text) for name, _, text in parameters}
    return FrozenTrial(
        trial_id=trial_id, number=number, state=TrialState[state], value=None,
        values=[_INFINITE[kind] if kind in _INFINITE else float(value) for value, kind in values] or None,
        datetime_start=local(_read(start)), datetime_complete=local(_read(complete)),
        params={name: distributions[name].to_external_repr(value) for name, value, _ in parameters},
        distributions=distributions, user_attrs=_attributes(user), system_attrs=_attributes(system),
        intermediate_values={})


@lru_cache(maxsize=4096)
def _distribution(text: str) -> Any:
    from optuna.distributions import json_to_distribution

    return json_to_distribution(text)


def _attributes(rows: Any) -> dict[str, Any]:
    return {key: json.loads(text) for key, text in rows}


def local(utc: datetime | None) -> datetime | None:
    """Returns a stored time as Optuna does, in the zone of the machine and without naming it."""
    return utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) if utc else None


def _read(time: str | None) -> datetime | None:
    return datetime.fromisoformat(time) if time else None
