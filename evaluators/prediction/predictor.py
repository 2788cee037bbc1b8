"""Latency predicted from few measured networks, with intervals.

The latency of a network is the sum of what its operations take, which nobody has measured one by one. Each kind of
operation takes some time for being there, for each multiply-add, for each byte of activations moved and for each byte
of weights: these costs are non-negative and fitted to the measured networks. What they leave unexplained is a Gaussian
process (Rasmussen and Williams 2006, chapter 2): the sum of deviations of every operation, alike for operations of one
kind and similar shape, and one deviation of the whole network. Measured sums then tell of their parts. The variances of
the deviations are those of largest marginal likelihood (section 5.4.1), under a wide prior.

What this model says of its own errors is not believed: costs that were fitted to few rows leave little of them
unexplained. All is fitted again without a part of the networks, each part in turn (cross-validation), and intervals are
as many times wider as what was left out is missed by in the mean, with the quantile of Student's distribution instead
of the normal one, since few rows know their own errors badly.

All errors are relative to the latency, since that is how measurements err.

The clock of a processor moves by several per cent within minutes and stays there, for all networks alike. Measurements
of this project come with the time of a reference model that ran beside them: they are learned at one speed of the
machine, and predicted for another.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from evaluators.machine.files import at_home, write_whole
from evaluators.prediction.rows import LONGEST_MS, Measured, Row, checked
from evaluators.prediction.workload import EFFORTS, Workload
from search_spaces.architecture import Architecture
from search_spaces.documents import read_json, refused
from search_spaces.errors import require

FORMAT = 1
FEWEST = 10  # measured networks
LEVEL = 0.9
SHAPE_SCALE = 2.0  # factors of two over which the deviations of operations of one kind are alike
NETWORK_SCALE = 2.0  # standard deviations over which those of networks are
LEAST_SHARE = 0.05  # of the average cost, which the prior gives every kind: none is known to be free
SHRINKAGE = 0.02  # of the costs towards zero, relative to the errors
PRIOR = {  # standard deviations, relative to the cost that they are of, before anything is measured
    "all": 0.3, **dict.fromkeys(EFFORTS, 0.2), "shape": 0.2, "operation": 0.1, "network": 0.05, "noise": 0.02}
OF_JOBS = (*EFFORTS, "shape", "operation")  # the deviations that each operation has
PRIOR_WIDTH = 3.0  # standard deviation of the logarithm of a variance
LARGEST_VARIANCE, SMALLEST_VARIANCE = 20.0, 1e-6
FOLDS = 10  # parts that networks are left out in
LEAST_WIDENING = 0.1  # of intervals: rows without any errors are not believed either
DRIFT = 0.01  # standard deviation of measurements in another process, beside the reference; as in `latency`
CHUNK = 200  # networks predicted at a time, to bound memory


@dataclass(frozen=True)
class Prediction:
    """A predicted latency. Its logarithm has a normal distribution."""

    median_ms: float
    deviation: float  # standard deviation, relative to the median

    def interval_ms(self, level: float = LEVEL) -> tuple[float, float]:
        """Returns the interval that holds the measured latency with this probability, in ms."""
        half = NormalDist().inv_cdf((1 + level) / 2) * self.deviation
        return self.median_ms * math.exp(-half), self.median_ms * math.exp(half)


@dataclass(frozen=True)
class Predictor:
    """A predictor of latencies on a target, learned from measured networks.

    Attributes:
        target: what they were measured on.
        rows: the measured networks.
        costs_ms: for each kind of operation, the ms that it takes for each of `EFFORTS`; the kind `""` stands for those
            that no measured network has.
        variances: of the deviations, by the names of `PRIOR`.
        widening: how many times larger errors are than `variances` tell.
        space: the text of the space that the networks are members of; empty where they are from anywhere.
        reference_ms: the time of the reference model at the speed of the machine that was learned; 0 if it is unknown.
    """

    target: str
    rows: tuple[Row, ...]
    costs_ms: Mapping[str, tuple[float, ...]]
    variances: Mapping[str, float]
    widening: float = 1.0
    space: str = ""
    reference_ms: float = 0.0

    def predict(self, architectures: Sequence[Architecture], reference_ms: float = 0.0) -> list[Prediction]:
        """Returns the latency predicted for each architecture.

        Args:
            architectures: the networks.
            reference_ms: the time of the reference model now. By default the machine is as fast as it was.
        """
        slowdown = self.slowdown(reference_ms)
        return [found for first in range(0, len(architectures), CHUNK)
                for found in self._predict(Workload.of(architectures[first:first + CHUNK]), slowdown)]

    def slowdown(self, reference_ms: float) -> float:
        """Returns the slowdown of the machine since the measurements, given the time of the reference model now."""
        return reference_ms / self.reference_ms if reference_ms and self.reference_ms else 1.0

    def updated(self, rows: Iterable[Measured]) -> "Predictor":
        """Returns the predictor that knows further measurements too; all else stays as it was fitted."""
        return dataclasses.replace(self, rows=(*self.rows, *checked(rows)))

    def save(self, path: str | Path) -> None:
        """Writes the predictor as JSON, whole or not at all."""
        stored = {"format": FORMAT, "target": self.target, "space": self.space, "costs_ms": self.costs_ms,
                  "variances": self.variances, "widening": self.widening,
                  "reference_ms": self.reference_ms, "rows": [[row.architecture.text, *row[1:]] for row in self.rows]}
        write_whole(at_home(path), (json.dumps(stored, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> "Predictor":
        """Returns the predictor in a file; raises `InvalidInput` where it is not one that `save` has written."""
        with refused(f"a predictor must be as `save` has written it, but '{path}' is not"):
            stored = read_json(at_home(path))
            require(stored["format"] == FORMAT, f"`format` must be {FORMAT}, but got {stored['format']!r}")
            rows = checked(Row(Architecture.parse(text), *times_ms) for text, *times_ms in stored["rows"])
            require(len(rows) >= FEWEST, f"`rows` must be at least {FEWEST}, but got {len(rows)}")
            costs = {str(kind): tuple(map(float, values)) for kind, values in stored["costs_ms"].items()}
            require("" in costs and all(len(values) == len(EFFORTS) and all(0 <= one <= LONGEST_MS for one in values)
                                        for values in costs.values()),
                    f"`costs_ms` must give {len(EFFORTS)} costs for each kind of operation")
            variances = {name: float(stored["variances"][name]) for name in PRIOR}
            require(all(0 < value < math.inf for value in variances.values()), "`variances` must be positive")
            reference_ms = float(stored["reference_ms"])
            require(0 <= reference_ms < math.inf, f"`reference_ms` must be finite, but got {reference_ms:g}")
            # earlier versions did not store it
            widening = float(stored["widening"]) if "widening" in stored else _widening(rows, reference_ms)
            require(0 < widening < math.inf, f"`widening` must be positive, but got {widening:g}")
            found = cls(str(stored["target"]), rows, costs, variances, widening, str(stored["space"]), reference_ms)
            return found.require_finite()

    def require_finite(self) -> Self:
        """Returns this predictor; raises `InvalidInput` where it tells no finite latency of a network that it knows."""
        with np.errstate(all="ignore"):  # which is found out below
            known = self.predict([row.architecture for row in self.rows])
        require(all(0 < one.median_ms < math.inf and 0 <= one.deviation < math.inf for one in known),
                "a predictor must tell finite latencies of the networks that it was learned from")
        return self

    @cached_property
    def _prior(self) -> "_Prior":
        return _Prior(self.costs_ms, _network_scale(self._measured, self.costs_ms))

    @cached_property
    def _measured(self) -> Workload:
        return Workload.of([row.architecture for row in self.rows])

    @cached_property
    def _latencies_ms(self) -> np.ndarray:
        return _latencies_ms(self.rows, self.reference_ms)

    @cached_property
    def _posterior(self) -> "_Posterior":
        prior, scale = self._prior, self._latencies_ms
        parts = prior.parts(self._measured, self._measured)
        covariance = sum(self.variances[name] * part for name, part in parts.items()) / np.outer(scale, scale)
        inverse = np.linalg.inv(covariance + self.variances["noise"] * np.eye(len(scale)))
        weights = inverse @ (1 - prior.mean_ms(self._measured) / scale)
        return _Posterior(inverse, weights)

    def _predict(self, workload: Workload, slowdown: float) -> list[Prediction]:
        prior, posterior = self._prior, self._posterior
        mean = prior.mean_ms(workload)
        across = sum(self.variances[name] * part for name, part in prior.parts(workload, self._measured).items())
        across = across / self._latencies_ms
        own = sum(self.variances[name] * part for name, part in prior.own_parts(workload).items())
        # a sum of deviations may come out negative for a network far from all measured ones, a latency may not
        median = np.maximum(mean + across @ posterior.weights, LEAST_SHARE * mean)
        variance = np.maximum(own - np.einsum("ij,jk,ik->i", across, posterior.inverse, across), 0) / median**2
        deviation = self.widening * np.sqrt(variance + self.variances["noise"])
        if self.reference_ms:  # rows of one process do not tell how much others differ from it
            deviation = np.hypot(deviation, DRIFT)
        return [Prediction(float(m), float(d)) for m, d in zip(slowdown * median, deviation, strict=True)]


def fit(rows: Iterable[Measured], target: str = "", *, intervals: bool = True) -> Predictor:
    """Returns the predictor that measured networks give.

    Args:
        rows: networks with their latencies in ms, from anywhere. Those that were measured beside the reference model
            are learned at the speed that the machine had in the median.
        target: what they were measured on.
        intervals: whether intervals are to be right, which takes ten times as long.

    Raises:
        InvalidInput: fewer than `FEWEST` rows, a latency that nothing has, or rows of which nothing can be learned.
    """
    known = checked(rows)
    require(len(known) >= FEWEST, f"a predictor needs at least {FEWEST} measured networks, but got {len(known)}")
    references_ms = [row.reference_ms for row in known if row.reference_ms]
    reference_ms = float(np.median(references_ms)) if references_ms else 0.0
    with refused("measured networks must be such that costs can be told from them", RuntimeError):
        return dataclasses.replace(_fitted(known, reference_ms), target=target,
                                   widening=_widening(known, reference_ms) if intervals else 1.0).require_finite()


def _fitted(rows: tuple[Row, ...], reference_ms: float) -> Predictor:
    """Returns the predictor that rows give, as far as it believes itself."""
    from scipy.optimize import minimize

    workload, latencies_ms = Workload.of([row.architecture for row in rows]), _latencies_ms(rows, reference_ms)
    costs = _fitted_costs(workload, latencies_ms)
    prior = _Prior(costs, _network_scale(workload, costs))
    pairs_ms2 = np.outer(latencies_ms, latencies_ms)
    parts = {name: part / pairs_ms2 for name, part in prior.parts(workload, workload).items()}
    grams = np.stack([*parts.values(), np.eye(len(rows))])
    errors = 1 - prior.mean_ms(workload) / latencies_ms
    start = np.log([PRIOR[name]**2 for name in (*parts, "noise")])
    found = minimize(_negative_log_posterior, start, (grams, errors, start), jac=True, method="L-BFGS-B",
                     bounds=[(math.log(SMALLEST_VARIANCE), math.log(LARGEST_VARIANCE))] * len(start))
    variances = dict(zip((*parts, "noise"), np.exp(found.x).tolist(), strict=True))
    return Predictor("", rows, costs, variances, reference_ms=reference_ms)


def _widening(rows: Sequence[Row], reference_ms: float) -> float:
    """Returns the factor by which intervals must widen to hold held-out networks, by `FOLDS`-fold cross-validation."""
    from scipy.stats import t as student

    latencies_ms = _latencies_ms(rows, reference_ms).tolist()
    at_one_speed = [Row(row.architecture, time_ms) for row, time_ms in zip(rows, latencies_ms, strict=True)]
    networks = list(dict.fromkeys(row.architecture for row in rows))
    if len(networks) < 2:
        return 1.0
    order = np.random.default_rng(0).permutation(len(networks))
    missed: list[float] = []  # by how many standard deviations
    for part in range(min(FOLDS, len(networks))):
        out = {networks[index] for index in order[part::FOLDS]}
        held = [row for row in at_one_speed if row.architecture in out]
        found = _fitted(tuple(row for row in at_one_speed if row.architecture not in out), 0.0).predict(
            [row.architecture for row in held])
        missed += [abs(math.log(row.latency_ms / one.median_ms)) / one.deviation
                   for row, one in zip(held, found, strict=True)]
    # the standard deviation of normal errors is by so much larger than their mean size (Geary 1935)
    deviation = float(np.mean(missed)) * math.sqrt(math.pi / 2)
    # a prediction interval for one more of them, in units of the normal one
    own = float(student.ppf((1 + LEVEL) / 2, len(missed) - 1)) * math.sqrt(1 + 1 / len(missed))
    return max(deviation * own / NormalDist().inv_cdf((1 + LEVEL) / 2), LEAST_WIDENING)


def chosen(architectures: Sequence[Architecture], count: int) -> list[int]:
    """Returns the indices of the architectures that tell most about all of them, the most telling first.

    Each is the one that those before it leave most uncertain, under the prior that holds before any measurement. This
    is the greedy D-optimal design, and the pivoting of a Cholesky factorisation.
    """
    workload = Workload.of(architectures)
    totals = (workload.counts @ workload.efforts).mean(0)
    costs = {"": tuple(np.divide(1, totals * len(EFFORTS), out=np.zeros(len(EFFORTS)), where=totals > 0).tolist())}
    prior = _Prior(costs, _network_scale(workload, costs))
    mean = prior.mean_ms(workload)
    covariance = sum(PRIOR[name]**2 * part for name, part in prior.parts(workload, workload).items())
    covariance = covariance / np.outer(mean, mean)
    left, factor = np.diag(covariance).copy(), np.zeros((len(mean), min(count, len(mean))))
    found: list[int] = []
    for step in range(factor.shape[1]):
        best = int(np.argmax(left))
        found.append(best)
        factor[:, step] = (covariance[:, best] - factor[:, :step] @ factor[best, :step]) / math.sqrt(
            left[best] + PRIOR["noise"]**2)
        left -= factor[:, step]**2
        left[best] = -math.inf
    return found


@dataclass(frozen=True)
class _Posterior:
    inverse: np.ndarray  # of the covariance of the relative errors, [N, N]
    weights: np.ndarray  # [N]


@dataclass(frozen=True)
class _Prior:
    """The prior of latencies, before the measured networks tell of their deviations."""

    costs_ms: Mapping[str, tuple[float, ...]]
    network_scale: tuple[np.ndarray, np.ndarray]  # centre and standard deviation of the features of networks

    def mean_ms(self, workload: Workload) -> np.ndarray:
        """Returns the sum of the costs of each network, `[N]`."""
        return workload.counts @ _job_costs(workload, self.costs_ms).sum(1)

    def parts(self, left: Workload, right: Workload) -> dict[str, np.ndarray]:
        """Returns the covariance of the networks' latencies that each deviation of unit variance makes, `[N, M]`."""
        found = {name: np.zeros((len(left.counts), len(right.counts))) for name in OF_JOBS}
        for ours, theirs, alike in self._by_kind(left, right):
            for name, one, other in zip(EFFORTS, ours.sum(2), theirs.sum(2), strict=True):
                found[name] += np.outer(one, other)
            for name, part in alike.items():
                found[name] += ours.sum(0) @ part @ theirs.sum(0).T
        means = self.mean_ms(left)[:, None] * self.mean_ms(right)
        apart = self._features(left)[:, None] - self._features(right)
        return {"all": means, **found, "network": means * np.exp(-(apart**2).sum(-1) / (2 * NETWORK_SCALE**2))}

    def own_parts(self, workload: Workload) -> dict[str, np.ndarray]:
        """Returns the diagonals of `parts` of networks with themselves, `[N]`."""
        found = {name: np.zeros(len(workload.counts)) for name in OF_JOBS}
        for ours, _, alike in self._by_kind(workload, workload):
            for name, one in zip(EFFORTS, ours.sum(2), strict=True):
                found[name] += one**2
            for name, part in alike.items():
                found[name] += (ours.sum(0) @ part * ours.sum(0)).sum(1)
        means = self.mean_ms(workload)**2
        return {"all": means, **found, "network": means}

    def _by_kind(self, left: Workload, right: Workload
                 ) -> Iterable[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
        """Yields the costs of both sides' jobs of each kind of operation, `[4, N, J]`, and their likeness, `[J, J]`."""
        ours, theirs = (workload.counts * _job_costs(workload, self.costs_ms).T[:, None] for workload in (left, right))
        kinds, shapes = (left.kinds, right.kinds), (left.shapes, right.shapes)
        for kind in np.intersect1d(*kinds):
            one, other = kinds[0] == kind, kinds[1] == kind
            apart = ((shapes[0][one][:, None] - shapes[1][other])**2).sum(-1)
            yield ours[..., one], theirs[..., other], {"shape": np.exp(-apart / (2 * SHAPE_SCALE**2)),
                                                       "operation": (apart == 0).astype(float)}

    def _features(self, workload: Workload) -> np.ndarray:
        centre, scale = self.network_scale
        return (_network_features(workload, self.costs_ms) - centre) / scale


def _job_costs(workload: Workload, costs_ms: Mapping[str, tuple[float, ...]]) -> np.ndarray:
    """Returns the cost of each job in ms for each effort, `[J, 4]`."""
    return workload.efforts * np.array([costs_ms.get(job.kind, costs_ms[""]) for job in workload.jobs])


def _network_features(workload: Workload, costs_ms: Mapping[str, tuple[float, ...]]) -> np.ndarray:
    """Returns the logarithms of what each effort costs in each network, `[N, 4]`."""
    return np.log(workload.counts @ _job_costs(workload, costs_ms) + 1e-12)


def _network_scale(workload: Workload, costs_ms: Mapping[str, tuple[float, ...]]) -> tuple[np.ndarray, np.ndarray]:
    features = _network_features(workload, costs_ms)
    return features.mean(0), np.maximum(features.std(0), 1e-3)


def _fitted_costs(workload: Workload, latencies_ms: np.ndarray) -> dict[str, tuple[float, ...]]:
    """Returns non-negative costs by kind of operation, and for the kind `""` those that all kinds have in common."""
    from scipy.optimize import nnls

    totals = workload.counts @ workload.efforts / latencies_ms[:, None]
    unit = 1 / np.maximum(totals.mean(0), 1e-12)  # one that alone would explain everything
    common = np.maximum(nnls(totals * unit, np.ones(len(totals)))[0], LEAST_SHARE) * unit
    kinds = sorted(set(workload.kinds))
    by_kind = np.stack([workload.counts @ (workload.efforts * (workload.kinds == kind)[:, None]) for kind in kinds], 1)
    scaled = (by_kind * common / latencies_ms[:, None, None]).reshape(len(totals), -1)
    shrinking = SHRINKAGE * math.sqrt(np.mean(scaled.sum(1)**2)) * np.eye(scaled.shape[1])
    shares = nnls(np.concatenate([scaled, shrinking]), np.concatenate([np.ones(len(totals)), np.zeros(len(shrinking))]))
    costs = np.maximum(shares[0].reshape(len(kinds), -1), LEAST_SHARE) * common
    sums = (by_kind * costs).sum((1, 2)) / latencies_ms
    costs, common = costs / np.median(sums), common / np.median(sums)
    by_name = {str(kind): tuple(row) for kind, row in zip(kinds, costs.tolist(), strict=True)}
    return {"": tuple(common.tolist())} | by_name


def _negative_log_posterior(logarithms: np.ndarray, grams: np.ndarray, errors: np.ndarray, centre: np.ndarray
                            ) -> tuple[float, Any]:
    """Returns minus the logarithm of the posterior of the variances, up to a constant, and its gradient.

    Source: Rasmussen and Williams 2006, equations 5.8 and 5.9, with a normal prior of the logarithms.
    """
    variances = np.exp(logarithms)
    covariance = np.tensordot(variances, grams, 1)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ errors
    away = (logarithms - centre) / PRIOR_WIDTH
    value = (errors @ weights + np.linalg.slogdet(covariance)[1] + away @ away) / 2
    slope = variances * (np.tensordot(grams, inverse, 2) - np.einsum("i,kij,j->k", weights, grams, weights)) / 2
    return float(value), slope + away / PRIOR_WIDTH


def _latencies_ms(rows: Sequence[Row], reference_ms: float) -> np.ndarray:
    """Returns the latencies `[N]` at the speed at which the reference model takes so long, as far as that is known."""
    return np.array([row.latency_ms * (reference_ms / row.reference_ms if reference_ms and row.reference_ms else 1.0)
                     for row in rows])
