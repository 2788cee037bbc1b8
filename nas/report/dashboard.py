"""optuna-dashboard on a copy of the trials of a run, in memory: what is done there is never written into the run.

Optuna 5 keeps the constraints of a trial under a name for each of them; the dashboard looks for a list under one name,
finds none, and takes every trial for feasible. The copy has that list too, so that it shows what breaks a budget.
"""

import math
import threading
import warnings
from collections.abc import Iterable
from typing import Any
from wsgiref.simple_server import WSGIServer

from nas.problem.candidate import directions
from nas.report.loopback import Application, Environ, Start, loopback_server
from nas.run.directory import RunDirectory
from search_spaces.errors import InvalidInput

CONSTRAINTS = "constraints"  # where the dashboard looks for them
SHOWN = """\
It shows a copy of the trials: what is changed there is lost, and the run stays as it is.
Trials that break a budget are infeasible in its plots, rejected ones at accuracy 0 and, where a cost is not known, at
the largest. Its list of best trials heeds no budget, and trials that were stopped early count as others do: what may
win is told by `nas pareto`."""


def dashboard_server(run: RunDirectory, port: int | None = None) -> tuple[WSGIServer, str]:
    """Returns a server of optuna-dashboard for a run, and the address at which it answers.

    Raises:
        InvalidInput: the package is missing, there is no such port, or the trials cannot be read.
        OSError: the port is taken.
    """
    try:
        import optuna_dashboard
    except ImportError:
        raise InvalidInput("a dashboard is that of optuna-dashboard, but it is not here; `pip install "
                           "paretonas[dashboard]` brings it") from None
    lock = threading.Lock()
    shown: list[Any] = []  # the trials that the dashboard was made of, and the dashboard

    def current() -> Application:
        with lock:
            trials = run.trials()
            if not shown or shown[0] != trials:
                shown[:] = trials, optuna_dashboard.wsgi(_copy(run, trials))
            return shown[1]

    def answer(environ: Environ, start: Start) -> Iterable[bytes]:
        return current()(environ, start)

    current()  # raises before anything is told
    return loopback_server(answer, port, remembered="/dashboard/studies/0")


def _copy(run: RunDirectory, trials: Iterable[Any]) -> Any:
    """Returns a storage in memory with the trials of a run, and what they exceed where the dashboard looks for it."""
    import optuna

    storage = optuna.storages.InMemoryStorage()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objectives = run.config.objectives
    study = optuna.create_study(storage=storage, study_name=run.path.name or "run", directions=directions(objectives))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(objectives))
    trials = list(trials)
    columns = zip(*(trial.values for trial in trials if trial.values), strict=True)
    largest = [max(filter(math.isfinite, column), default=0.0) for column in columns]
    for trial in trials:  # an infinite value would make an axis of words
        values = trial.values and list(map(min, trial.values, largest))
        study.add_trial(optuna.trial.FrozenTrial(
            number=trial.number, state=trial.state, value=None, values=values,
            datetime_start=trial.datetime_start, datetime_complete=trial.datetime_complete, params=trial.params,
            distributions=trial.distributions, user_attrs=trial.user_attrs,
            system_attrs={**trial.system_attrs, CONSTRAINTS: list(trial.constraints.values())},
            intermediate_values=trial.intermediate_values, trial_id=trial._trial_id))
    return storage
