"""Timing anew: a front at the end of its search, a winner before it leaves.

The fastest of many noisy timings is partly lucky, and one process draws the layout of its memory once. So what is shown
is judged by a later timing in a process that has timed nothing else, and what is shipped by the slowest of several.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from evaluators.latency import Latency, MeasurementFailed, Source
from evaluators.prediction.rows import Row
from nas.measuring.meters import DECIDING, Gauges, file_gauges
from nas.measuring.screening import screened_targets
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, distinct, front
from nas.run.directory import RunDirectory
from search_spaces.architecture import Architecture

CONFIRMING = 3  # processes that time a winner before it leaves
MORE = 4  # one candidate for each so many that were asked for may be trained in the place of those that fell out

Retime = Callable[[Architecture], Mapping[str, Latency]]


def in_fresh_processes(run: RunDirectory, processes: int = 1, wait_s: float = math.inf) -> Retime:
    """Returns a function that times an architecture anew on the targets of a run, see `slowest`."""
    return lambda architecture: slowest(architecture, run.config.targets, run.quiet_ms(), processes, wait_s)


def slowest(architecture: Architecture, targets: Sequence[str], quiet_ms: Mapping[str, float] | None = None,
            processes: int = CONFIRMING, wait_s: float = math.inf) -> dict[str, Latency]:
    """Returns the latency of an architecture on each target, timed in fresh processes, of which the slowest counts.

    `wait_s` is how long each measurement waits for its turn; `NoTurn` is raised after that.
    """
    found: list[dict[str, Latency]] = []
    while len(found) < processes and (not found or _are_measured(found[-1])):
        with file_gauges(targets, quiet_ms, wait_s) as gauges:
            found.append(decided(gauges, architecture))
    return {target: max((latencies[target] for latencies in found), key=lambda latency: latency.raw_high_ms)
            for target in targets}


def decided(gauges: Gauges, architecture: Architecture) -> dict[str, Latency]:
    """Returns the latency of an architecture on each target, as exactly as decisions need it."""
    return {target: gauge.latency(architecture, DECIDING) for target, gauge in gauges.items()}


def retime_front(run: RunDirectory, retime: Retime, say: Callable[[str], None],
                 progress: Callable[[str, int, int], None]) -> None:
    """Times the front of a run anew, and the candidates that rise into it as others fall out.

    Every timing is recorded beside its trial; one that was timed anew before is left as it is, and so is one that
    cannot be timed now.
    """
    objectives, budgets = run.config.objectives, run.budgets
    failed = set()
    while True:
        members = distinct(front(run.candidates(), objectives))
        waiting = [member for member in members
                   if not member.retimed and member.trial not in failed and _are_measured(member.costs.latencies)]
        for index, member in enumerate(waiting):
            progress("timing the front again", index, len(waiting))
            try:
                later = retimed(run, member, budgets, retime)
            except MeasurementFailed as error:
                failed.add(member.trial)
                say(f"trial {member.trial} could not be timed again: {error}")
                continue
            if not later.feasible:
                say(f"trial {member.trial} was timed again: {budgets.excess(later.costs)}, so it falls out")
        if not waiting:
            return


def _are_measured(latencies: Mapping[str, Latency]) -> bool:
    """Tells whether timing anew can change anything."""
    return any(latency.source is Source.MEASURED for latency in latencies.values())


def retimed(run: RunDirectory, candidate: Candidate, budgets: Budgets, retime: Retime) -> Candidate:
    """Returns a candidate as a new timing judges it, which is recorded beside its trial."""
    architecture = Architecture.parse(candidate.architecture)
    latencies = retime(architecture)
    run.note_latencies(candidate.trial, latencies)
    for target in screened_targets(run.config) if run.writable else ():
        found = latencies[target]
        run.timings.add(target, Row(architecture, found.median_ms, found.quiet_reference_ms))
    return candidate.with_latencies(latencies, budgets)


def wanted_trials(trials: int | None, candidates: Sequence[Candidate]) -> int | None:
    """Returns the number of candidates that a search is to train, having been asked for `trials`; None for no limit.

    Each that has fallen out as it was timed anew is made up for by another one, within the bound of `MORE`.
    """
    if trials is None:
        return None
    fallen = [candidate for candidate in distinct(candidates)
              if candidate.retimed and candidate.trained and not candidate.feasible]
    return trials + min(len(fallen), -(-trials // MORE))
