"""The findings of a run: all that a report tells of it, read once."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evaluators.datasets.metrics import METRICS, Metric
from nas.engine.correlation import CORRELATION, FEWEST, Ranking, rankings
from nas.engine.noise import noise_of
from nas.engine.scores import Noise, known_sample
from nas.export.certificate import CERTIFICATE, Exported, read_export
from nas.export.finals import FINALS, Standing, recorded
from nas.measuring.blocks import BLOCKS, BlockTimes, recorded_times
from nas.measuring.calibration import Check, held_out
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate, Outcome, distinct, front, winner
from nas.run.config import SearchConfig
from nas.run.directory import Resolved, RunDirectory
from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput
from search_spaces.search_space import Assignment, Value
from search_spaces.space import Space

MOST = 1000  # networks, for a page that opens at once


@dataclass(frozen=True)
class Findings:
    """The findings of a run.

    Attributes:
        name: the run directory as it was given.
        config, resolved, budgets: as its run.toml tells.
        told: a candidate of each trial, as it was told.
        candidates: the candidates of known architecture, as later timings judge them.
        environments: the versions and the machine of each process that searched, the first one first.
        exports: the exports in the run directory, by the names of their folders.
        unreadable: why other folders with a certificate are no exports, by their names.
        standings: the trainings of finals.
        noise: between seeds, if it is known.
        rankings: how far scores rank networks as whole trainings do, if that is known.
        final_epochs: the length of these whole trainings.
        block_times: of the network of `shown`, on the first target on which they were timed.
        held_out: on targets with enough timings, how a predictor of the earlier ones does on the later ones.
        most: how many networks are drawn and listed at most.
    """

    name: str
    config: SearchConfig
    resolved: Resolved
    budgets: Budgets
    told: Sequence[Candidate]
    candidates: Sequence[Candidate]
    environments: Sequence[Mapping[str, Any]] = ()
    exports: Mapping[str, Exported] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    standings: Sequence[Standing] = ()
    noise: Noise | None = None
    rankings: Sequence[Ranking] = ()
    final_epochs: int = 0
    block_times: BlockTimes | None = None
    held_out: Mapping[str, Check] = field(default_factory=dict)
    most: int = MOST

    @property
    def metric(self) -> Metric:
        """The metric that stands for the accuracy."""
        return METRICS[self.config.metric]

    @cached_property
    def networks(self) -> list[Candidate]:
        """A candidate of each architecture, in the order of their trials."""
        return distinct(self.candidates)

    @cached_property
    def drawn(self) -> list[Candidate]:
        """The networks that are drawn and listed: of too many every so many, the dominated and rejected ones first."""
        plain: list[Candidate] = []
        others: list[Candidate] = []
        for one in self.networks:
            (plain if self.roles(one)[0] in ("dominated", "rejected") else others).append(one)
        kept = _thinned(others, self.most)
        trials = {one.trial for one in (*kept, *_thinned(plain, self.most - len(kept)), *filter(None, (self.winner,)))}
        return [one for one in self.networks if one.trial in trials]

    @cached_property
    def front(self) -> list[Candidate]:
        """The members of the front, fastest first."""
        return distinct(front(self.candidates, self.config.objectives))

    @cached_property
    def winner(self) -> Candidate | None:
        """The most accurate candidate within the budgets."""
        return winner(self.candidates, self.config.objectives)

    @cached_property
    def exported(self) -> Candidate | None:
        """The candidate of the first export, which finals may have chosen."""
        trials = [one.certificate.get("trial") for one in self.exports.values()]
        return next((one for trial in trials for one in self.candidates if one.trial == trial), None)

    @property
    def shown(self) -> Candidate | None:
        """The candidate that is drawn block by block: the exported one, or else the winner."""
        return self.exported or self.winner

    @cached_property
    def finalists(self) -> frozenset[str]:
        """The texts of the architectures that came to finals."""
        return frozenset(standing.architecture for standing in self.standings)

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """The architecture of each text."""
        return {one.architecture: Architecture.parse(one.architecture) for one in self.networks}

    @cached_property
    def choices(self) -> dict[int, Assignment]:
        """The choices that matter in each network of the space, by its trial."""
        try:
            active = Space.parse(self.resolved.space).active
        except InvalidInput:  # the name of a table, all of whose choices always matter
            def active(assignment: Mapping[str, Value]) -> Assignment:
                return dict(assignment)
        return {one.trial: active(one.assignment) for one in self.networks if one.assignment}

    def roles(self, candidate: Candidate) -> tuple[str, ...]:
        """Returns the roles of a candidate in the search."""
        found = []
        if self.winner and candidate.architecture == self.winner.architecture:
            found.append("winner")
        if candidate.by_hand and candidate.eligible:
            found.append("made by hand")
        if candidate.architecture in self._on_front:
            found.append("on the front")
        if candidate.architecture in self.finalists:
            found.append("finalist")
        if self.exported and candidate.architecture == self.exported.architecture:
            found.append("exported")
        return (*found, *(() if "on the front" in found else (self._fate(candidate),)))

    def _fate(self, candidate: Candidate) -> str:
        if candidate.eligible:
            return "dominated"
        trained = candidate.outcome in (Outcome.TRAINED, Outcome.TAKEN_OVER)
        return "over a budget" if trained else str(candidate.outcome)

    @cached_property
    def _on_front(self) -> frozenset[str]:
        return frozenset(one.architecture for one in self.front)


def _thinned(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """Returns at most `count` of the candidates, evenly spread."""
    if len(candidates) <= count:
        return list(candidates)
    return [candidates[index * len(candidates) // count] for index in range(count)]


def findings_of(run: RunDirectory) -> Findings:
    """Returns the findings of a run, finished or not.

    Raises:
        InvalidInput: a file of the run that is not as the search has written it.
    """
    told = run.told()
    exports, unreadable = {}, {}
    for path in sorted(run.path.glob(f"*/{CERTIFICATE}")):
        try:
            exports[path.parent.name] = read_export(path.parent)
        except InvalidInput as error:
            unreadable[path.parent.name] = str(error)
    checks = {target: held_out(run.timings.rows(target)) for target in run.config.targets}
    sample = known_sample(run.place(CORRELATION), FEWEST)
    lengths = sample.lengths if sample else []
    found = Findings(
        name=str(run.path), config=run.config, resolved=run.resolved, budgets=run.budgets, told=told,
        candidates=run.candidates(told), environments=run.environments, exports=exports, unreadable=unreadable,
        held_out={target: check for target, check in checks.items() if check},
        standings=recorded(run.place(FINALS)), noise=noise_of(run),
        rankings=rankings(sample, lengths) if sample else (), final_epochs=lengths[-1] if lengths else 0)
    if found.shown is None:
        return found
    architecture = Architecture.parse(found.shown.architecture)
    timed = (recorded_times(run.place(BLOCKS), architecture, target) for target in run.config.targets)
    return dataclasses.replace(found, block_times=next(filter(None, timed), None))
