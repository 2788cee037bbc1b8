"""The comparison of files with the network that they are of: in the logits and the accuracy, and in time."""

import dataclasses
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.datasets import Dataset
from evaluators.datasets.metrics import ACCURACY, METRICS
from evaluators.latency import Precision
from evaluators.networks.weights import Weights
from evaluators.runtimes import Target
from evaluators.timing.meter import LatencyMeter
from nas.export.certificate import WAIT_S
from nas.export.entries import Accuracy, Comparison
from nas.export.formats import Run
from nas.measuring.inputs import batches_of, logits_for, prepared, random_images
from nas.problem.candidate import Interval, accuracy_interval
from search_spaces.architecture import Architecture

TURNS, IN_TURN = 3, Precision(half_width=0.03, at_least_s=0.3, at_most_s=1.5)


@dataclass(frozen=True, eq=False)
class Reference:
    """A network's logits `[N, classes]` on all test images, or on some random images without data.

    Attributes:
        batches: yields the images as files take them, normalised or as bytes, `[B, H, W, C]`, all batches of one size;
            the last one is filled up.
        logits: the Flax module's.
        labels: `[N]` of the images; None without data.
        metric: of the data, a name of `evaluators.datasets.metrics.METRICS`.
    """

    batches: Callable[[], Iterator[np.ndarray]]
    logits: np.ndarray
    labels: np.ndarray | None
    metric: str = ACCURACY

    @classmethod
    def of(cls, architecture: Architecture, arrays: Weights, dataset: Dataset | None, seed: int,
           as_bytes: bool = False) -> "Reference":
        """Returns the logits that the Flax module of a network computes, also for images that files take as bytes."""
        from evaluators.networks.network import Network, logits_of

        network = Network(architecture, arrays=arrays)
        if dataset is None:
            images = random_images(architecture, seed)
            return cls(lambda: iter((images,)), np.asarray(logits_of(network, images)), None)

        def batches() -> Iterator[np.ndarray]:
            return batches_of(architecture, dataset, dataset.test, as_bytes)

        def run(images: np.ndarray) -> np.ndarray:
            return np.asarray(logits_of(network, prepared(architecture, dataset, images) if as_bytes else images))

        logits = logits_for(run, batches(), len(dataset.test))
        return cls(batches, logits, dataset.test.labels, dataset.metric)

    def compared(self, run: Run) -> Comparison:
        """Returns the difference of a file's logits from the network's, and its accuracy on images that have labels."""
        found = logits_for(run, self.batches(), len(self.logits))
        comparison: Comparison = {
            "compared_images": len(found),
            "max_abs_difference": float(np.abs(found - self.logits).max()),
            "largest_logit": float(np.abs(self.logits).max()),
            "top_class_agreement": float(np.mean(found.argmax(-1) == self.logits.argmax(-1)))}
        if self.labels is not None:
            comparison["test_accuracy"], comparison["test_accuracy_ci"] = self._score(ACCURACY, found)
            if self.metric != ACCURACY:
                comparison["test_metric"], comparison["test_metric_ci"] = self._score(self.metric, found)
        return comparison

    @property
    def network_score(self) -> float:
        """The metric of the network itself on test images."""
        return self._score(self.metric, self.logits)[0]

    def accuracy(self, shipped: Comparison, dataset: Dataset) -> Accuracy:
        """Returns the accuracy of a file, with that of the network and of a simple rival beside it, and the metric."""
        from evaluators.training.logistic_regression import easy_accuracy

        plain = dataclasses.replace(dataset, metric=ACCURACY)
        found: Accuracy = {
            "test": shipped["test_accuracy"], "test_ci": shipped["test_accuracy_ci"], "images": len(dataset.test),
            "network": self._score(ACCURACY, self.logits)[0], "logistic_regression": easy_accuracy(plain)}
        if self.metric != ACCURACY:
            found["metric"] = {
                "name": self.metric, "test": shipped["test_metric"], "test_ci": shipped["test_metric_ci"],
                "network": self.network_score, "logistic_regression": easy_accuracy(dataset)}
        return found

    def _score(self, name: str, logits: np.ndarray) -> tuple[float, Interval]:
        """Returns a metric for logits `[N, classes]`, and its 95 % interval."""
        assert self.labels is not None
        score, images = METRICS[name].measured(logits, self.labels)
        return score, accuracy_interval(score * images, images)


def relative_latency(target: Target, model: Path, other: Path, shape: tuple[int, int, int]) -> float:
    """Returns the latency of a model file as a multiple of that of another one, timed in turns in one process.

    Raises:
        MeasurementFailed: one of them cannot be timed.
    """
    with LatencyMeter(target, wait_s=WAIT_S) as meter:
        return statistics.median(
            meter.measure(model, shape, IN_TURN).median_ms / meter.measure(other, shape, IN_TURN).median_ms
            for _ in range(TURNS))
