"""A worker that joins a search: beside the process that has begun it, or when that has ended early."""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluators.runtimes import parse_target, runtime_of
from nas.engine.search import run_search
from nas.measuring.meters import Gauge, Gauges
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.environment import environment
from nas.run.monitor import Monitor
from nas.run.server import StudyDatabase, is_url
from nas.run.sharing import BOTH, Role, outlasting
from nas.run.trust import Trust
from search_spaces.errors import InvalidInput, require

ALL = "all"
TRAINING = ("jax", "jaxlib", "flax", "optax")  # other versions of these give the same accuracies but for rounding


def join_search(where: str, study: str, path: Path, given: Mapping[str, Any], monitor: Monitor, trust: Trust = False,
                gauge: Gauge | Gauges | None = None, times: Sequence[str] = (), trains: bool = False) -> RunDirectory:
    """Returns the run directory of a search that has come to its end, having worked on it.

    Args:
        where: the run directory, or the URL of the storage.
        study: which study of the storage; empty for the only one.
        path: the directory of this worker, where the study is in a storage.
        given: fields of the configuration that are elsewhere on this machine, or code that is given again.
        monitor: what to report to.
        trust, gauge: as `run_search` has them.
        times: the targets of the search, or `ALL`, where this worker proposes and times but does not train.
        trains: whether it trains what others have timed, but neither proposes nor times.

    Raises:
        InvalidInput: a search that this worker does not fit; names the difference.
    """
    require(not (times and trains), "a worker that times and trains has neither `--times` nor `--trains`, but got both")
    role = Role(times=not trains, trains=not times)
    if not is_url(where):
        run = RunDirectory.existing(where)
        return run_search(_fitting(run, given, monitor, times, role), run.path, monitor, gauge, trust,
                          complete=role == BOTH, role=role)
    database = StudyDatabase(where, study)
    was_there, run = path.exists(), RunDirectory(path, database)
    try:
        if not run.exists:
            outlasting(lambda error: database.outlasts(error, monitor.say), run.join)
        return run_search(_fitting(run, given, monitor, times, role), path, monitor, gauge, trust, database,
                          complete=False, role=role)
    except InvalidInput:
        if not was_there:
            shutil.rmtree(path, ignore_errors=True)
        raise


def _fitting(run: RunDirectory, given: Mapping[str, Any], monitor: Monitor, times: Sequence[str], role: Role
             ) -> SearchConfig:
    """Returns the configuration of a run on this machine, where versions let their results be compared."""
    targets = run.config.targets
    require(not times or times == [ALL] or {parse_target(one).text for one in times} == set(targets),
            f"a worker that times does so on all targets of its search, {', '.join(targets)}, as no other one times "
            f"the rest, but got {', '.join(times)}")
    here = environment()
    begun = run.environments[0] if run.environments else {}
    libraries = {name for target in targets if role.times for name in runtime_of(parse_target(target)).versions()}
    for name in ("paretonas", *sorted(libraries)):
        before, now = (str(one.get(name, "")) for one in (begun, here))
        if name == "paretonas":
            before, now = _format(before), _format(now)
        require(not before or before == now, "a worker has the version of the search of what its records and "
                f"latencies depend on, but {name} is {before} there, {now or 'missing'} here")
    differing = [f"{name} is {begun[name]} there, {here.get(name)} here" for name in TRAINING
                 if name in begun and begun[name] != here.get(name)]
    if differing:
        monitor.say("accuracies may differ by rounding: " + "; ".join(differing))
    return dataclasses.replace(run.config, **given)


def _format(version: str) -> str:
    """Returns the part of our version that says how trials are recorded.

    >>> _format("0.1.3"), _format("2.3.0")
    ('0.1', '2')
    """
    major, _, rest = version.partition(".")
    return f"0.{rest.partition('.')[0]}" if major == "0" else major
