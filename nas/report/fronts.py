"""The fronts of several runs compared: hypervolumes and winners with intervals, as far as they can be compared.

Each accuracy is drawn anew as its noise is known: that of its validation images, and that between seeds where the run
knows it; each latency from its interval. The intervals of what follows are those of the basic bootstrap, in which what
redrawing adds to a hypervolume is taken out again. Runs are drawn apart, as if none shared its validation images with
another one, which makes the intervals of differences wide rather than narrow.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluators.benchmarks.tables import is_table
from evaluators.datasets.metrics import METRICS, Metric
from evaluators.recipe import TEACHING, Recipe
from evaluators.runtimes import Place, parse_target, runtime_of
from nas.engine.noise import noise_of
from nas.engine.scores import Noise
from nas.engine.termination import reference_point
from nas.problem.candidate import OBJECTIVES, Candidate, best_by_hand, distinct, front, winner
from nas.run.config import SearchConfig
from nas.run.directory import Resolved, RunDirectory
from search_spaces.errors import InvalidInput, require

DRAWS = 1000
MOST = 6  # runs, for a picture that can be read
ACCURACY, LATENCY, MACS = "accuracy", "latency", "macs"
OF_DATA = ("data_fingerprint", "resolution", "channels", "classes")  # fields of `Resolved`
OF_SCORE = ("metric", "evaluator")  # fields of `SearchConfig`
OF_TRAINING = tuple(field.name for field in dataclasses.fields(Recipe)
                    if field.name not in ("seed", "compile", *TEACHING))
_NORMAL_95 = 1.96


@dataclass(frozen=True)
class Estimate:
    """A value, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def differs(self) -> bool:
        """Tells whether a difference is beyond noise."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class ComparedRun:
    """A run beside others.

    Attributes:
        name: its directory as it was given.
        config, resolved: as its run.toml tells.
        machine: the processors that it was searched on.
        networks: how many distinct ones there are.
        front: of accuracy and the cost of the comparison, the cheapest first.
        winner: the most accurate within its own budgets.
        by_hand: the most accurate of those made by hand, if there are any.
        noise: between seeds, if it is known.
        volume: of the front, as a share of the box from the accuracy of guessing to 1 and from the reference to 0.
        gain: by how much the volume is larger than that of the first run.
        accuracy_gain: likewise of the winners' accuracies.
        cost_gain: by how much the winner costs more than that of the first run, relative to it.
    """

    name: str
    config: SearchConfig
    resolved: Resolved
    machine: tuple[str, ...]
    networks: int
    front: Sequence[Candidate]
    winner: Candidate | None
    by_hand: Candidate | None
    noise: Noise | None
    volume: Estimate | None = None
    gain: Estimate | None = None
    accuracy_gain: Estimate | None = None
    cost_gain: Estimate | None = None


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs with the first of them.

    Attributes:
        runs: the first one first.
        cost: latency or multiply-adds, which the fronts are of beside accuracy.
        reference: the cost at which volumes end.
        remarks: what differs, and what follows from it.
    """

    runs: Sequence[ComparedRun]
    cost: str
    reference: float
    remarks: Sequence[str]

    @property
    def metric(self) -> Metric:
        """The metric that stands for the accuracy in all of them."""
        return METRICS[self.runs[0].config.metric]


def compare_runs(runs: Sequence[RunDirectory]) -> Comparison:
    """Returns runs compared with the first of them.

    Raises:
        InvalidInput: fewer than two, more than `MOST`, or runs whose accuracies are not of the same data.
    """
    require(2 <= len(runs) <= MOST, f"2 to {MOST} runs are compared, but got {len(runs)}")
    configs, resolved = [run.config for run in runs], [run.resolved for run in runs]
    _require_comparable([str(run.path) for run in runs], configs, resolved)
    machines = [tuple(sorted({str(one.get("processor")) for one in run.environments})) for run in runs]
    remarks = list(_differences(configs))
    if len({one.data_split for one in resolved}) > 1:
        remarks.append("the split differs: accuracies are of other validation images of the same data")
    cost, why = _cost_of(configs, machines)
    remarks += why
    read = [_read(run, cost, machine) for run, machine in zip(runs, machines, strict=True)]
    limits = [point for run in runs if (point := reference_point((cost,), run.budgets, 0)[0]) is not None]
    costs = [OBJECTIVES[cost](one) for run in read for one in run.front]
    require(bool(costs), "runs are compared by their fronts, but none of them has one yet")
    reference = min(limits) if limits else max(costs)
    if len(set(limits)) > 1 or 0 < len(limits) < len(runs):
        remarks.append(f"budgets of {cost} differ: volumes are counted up to the least of them")
    unknown = [run.name for run in read if run.noise is None]
    if unknown:
        remarks.append(f"the noise between seeds is not known of {', '.join(unknown)}: intervals are too narrow"
                       + "; `nas correlate` measures it" * (not any(is_table(config.data) for config in configs)))
    return Comparison(_estimated(read, cost, reference), cost, reference, remarks)


def _require_comparable(names: Sequence[str], configs: Sequence[SearchConfig], resolved: Sequence[Resolved]) -> None:
    for name, config, one in zip(names[1:], configs[1:], resolved[1:], strict=True):
        found = [f"{field.replace('_', ' ')} {getattr(resolved[0], field)} and {getattr(one, field)}"
                 for field in OF_DATA if getattr(resolved[0], field) != getattr(one, field)]
        found += [f"{field} {getattr(configs[0], field)} and {getattr(config, field)}"
                  for field in OF_SCORE if getattr(configs[0], field) != getattr(config, field)]
        if found:
            raise InvalidInput("accuracies are compared that are of the same data by one metric and one evaluator, but "
                               f"'{names[0]}' and '{name}' have {', '.join(found)}")


def _differences(configs: Sequence[SearchConfig]) -> Iterator[str]:
    for field in dataclasses.fields(SearchConfig):
        values = [getattr(config, field.name) for config in configs]
        texts = [" and ".join(map(str, value)) if isinstance(value, tuple) else str(value) for value in values]
        if len(set(texts)) > 1:
            follows = "; accuracies are of different trainings" if field.name in OF_TRAINING else ""
            yield f"different {field.name.replace('_', ' ')}: {', '.join(text or 'none' for text in texts)}{follows}"


def _cost_of(configs: Sequence[SearchConfig], machines: Sequence[tuple[str, ...]]) -> tuple[str, list[str]]:
    """Returns the cost that all runs have found in the same way, and why it is not the latency where some sought it."""
    wanted = {name for config in configs for name in config.objectives if name != ACCURACY}
    if wanted in ({MACS}, {"params"}):
        return wanted.pop(), []
    targets = [config.targets[0] for config in configs]
    why = ""
    if len(set(targets)) > 1:
        why = f"latencies are of different targets ({', '.join(targets)})"
    elif len(set(machines)) > 1 and runtime_of(parse_target(targets[0])).place in (Place.HERE, Place.APART):
        why = f"latencies are of different machines ({'; '.join(' and '.join(one) for one in machines)})"
    elif any(LATENCY not in config.objectives for config in configs):
        why = "not every run sought a low latency"
    return (MACS, [f"{why}: they are not compared, multiply-adds are"]) if why else (LATENCY, [])


def _read(run: RunDirectory, cost: str, machine: tuple[str, ...]) -> ComparedRun:
    candidates = [one for one in run.candidates() if not one.eligible or np.isfinite(OBJECTIVES[cost](one))]
    members = sorted(distinct(front(candidates, (ACCURACY, cost))), key=OBJECTIVES[cost])
    return ComparedRun(str(run.path), run.config, run.resolved, machine, len(distinct(candidates)), members,
                       winner(candidates, run.config.objectives), best_by_hand(candidates), noise_of(run))


def _estimated(runs: Sequence[ComparedRun], cost: str, reference: float) -> list[ComparedRun]:
    """Returns the runs with their estimates, each drawn `DRAWS` times."""
    found: list[ComparedRun] = []
    first: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    generator = np.random.default_rng(0)
    for run in runs:
        if run.winner is None:
            found.append(run)
            continue
        floor = METRICS[run.config.metric].guessing(run.resolved.classes)
        accuracies, costs = _draws([*run.front, run.winner], run.noise, cost, generator)
        volumes = _volumes(accuracies[:, :-1] - floor, costs[:, :-1], reference) / ((1 - floor) * reference)
        own = volumes, accuracies[:, -1], costs[:, -1]
        changes: dict[str, Any] = {"volume": _estimate(volumes)}
        if first is not None:
            changes |= {"gain": _estimate(own[0] - first[0]), "accuracy_gain": _estimate(own[1] - first[1]),
                        "cost_gain": _estimate(own[2] / first[2] - 1)}
        elif run is runs[0]:
            first = own
        found.append(dataclasses.replace(run, **changes))
    return found


def _draws(candidates: Sequence[Candidate], noise: Noise | None, cost: str, generator: np.random.Generator
           ) -> tuple[np.ndarray, np.ndarray]:
    """Returns accuracies and costs `[1 + DRAWS, N]`, first as they were found and then as their noise may have them."""
    accuracies, costs = [], []
    for one in candidates:
        accuracy, spent = one.accuracy or 0.0, OBJECTIVES[cost](one)
        drawn = generator.binomial(one.total, accuracy, DRAWS) / one.total if one.total else np.full(DRAWS, accuracy)
        drawn = drawn + (noise.deviation if noise else 0.0) * generator.standard_normal(DRAWS)
        accuracies.append(np.concatenate([[accuracy], drawn.clip(0, 1)]))
        low, high = (one.latency_ci_ms if cost == LATENCY else None) or (spent, spent)
        deviation = (high - low) / (2 * _NORMAL_95 * spent)
        costs.append(spent * np.concatenate([[1.0], np.exp(deviation * generator.standard_normal(DRAWS))]))
    return np.stack(accuracies, axis=1), np.stack(costs, axis=1)


def _volumes(heights: np.ndarray, costs: np.ndarray, reference: float) -> np.ndarray:
    """Returns the hypervolumes `[D]` of points `[D, N]`: the best height so far, over all costs up to the reference."""
    order = np.argsort(costs, axis=1)
    best = np.maximum.accumulate(np.take_along_axis(heights, order, axis=1), axis=1).clip(min=0)
    ends = np.take_along_axis(costs, order, axis=1).clip(max=reference)
    return np.sum(best * np.diff(ends, axis=1, append=reference), axis=1)


def _estimate(values: np.ndarray) -> Estimate:
    """Returns the first of some values with the interval of the basic bootstrap that the others give."""
    low, high = np.percentile(values[1:], (2.5, 97.5))
    found = float(values[0])
    return Estimate(found, 2 * found - float(high), 2 * found - float(low))
