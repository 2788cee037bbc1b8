"""The files of an export, timed again: for a verdict over more timings, or on another machine."""

import time
from pathlib import Path

from evaluators.latency import MeasurementFailed
from evaluators.machine.files import require_writable
from evaluators.runtimes import is_predicting, parse_target, runtime_of
from nas.export.certificate import Exported, assessed, latencies_of, read_export, time_files, write_certificate
from nas.export.entries import Certificate
from nas.run.environment import environment
from nas.run.monitor import Monitor, Silent
from nas.run.trust import require_trusted
from search_spaces.architecture import Architecture
from search_spaces.errors import require


def certify(directory: Path, *, times: int = 2, apart_s: float = 0.0, trust: bool = False,
            monitor: Monitor | None = None) -> Exported:
    """Times the files of an export again, and returns it; each timing is written to its certificate at once.

    Args:
        directory: where the export is.
        times: how often to time.
        apart_s: how long to wait in between.
        trust: whether to run the commands of an export that was not made here, see `nas.run.trust`.
        monitor: what to report to.

    Raises:
        InvalidInput: no export is there, a file is not the one that was exported, or none can be timed here.
        MeasurementFailed: a file cannot be timed; earlier timings are kept.
    """
    monitor = monitor or Silent()
    require(times >= 1, f"`times` must be at least 1, but got {times}")
    targets = (export := read_export(directory)).certificate["targets"]
    require(not all(is_predicting(runtime_of(parse_target(target))) for target in targets),
            f"files are timed where they run, but what is known of {', '.join(targets)} is a table")
    require_trusted(directory, *export.named, trust)
    require_writable(directory, "the directory of an export")
    for number in range(times):
        _wait(apart_s if number else 0.0, monitor)
        monitor.progress("timing the files, pass", number, times)
        certificate = read_export(directory).certificate
        timing = time_files(directory, Architecture.parse(certificate["architecture"]), certificate["files"],
                            _quiet_ms(certificate))
        for target, reason in timing.get("untimed", {}).items():
            raise MeasurementFailed(f"{target}: {reason}")
        certificate["timings"].append(timing)
        write_certificate(directory, assessed(certificate))
    return read_export(directory)


def _quiet_ms(certificate: Certificate) -> dict[str, float]:
    """Returns the time of the reference model on each target when this machine was quiet, where that is known."""
    here, found = environment()["processor"], dict[str, float]()
    for timing in certificate["timings"]:
        if timing["environment"]["processor"] == here:
            for target, latency in latencies_of(timing).items():
                if latency.quiet_reference_ms:
                    found[target] = min(latency.quiet_reference_ms, found.get(target, latency.quiet_reference_ms))
    return found


def _wait(seconds: float, monitor: Monitor) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        monitor.progress("waiting, seconds", round(seconds - left), round(seconds))
        time.sleep(min(left, 1.0))
