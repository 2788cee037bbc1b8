"""The metrics by which networks are compared and chosen, each a pure function of logits and labels.

A new one is one line in `METRICS`. Where classes count alike, images of small classes count more, and the metric of so
many images is known less well than their accuracy. An effective number of images says how well: of so many a share has
the same error. Wilson's interval and the errors of differences are then those of a share of so many images, as is usual
for surveys (Franco et al. 2019, "Comparative study of confidence intervals for proportions in complex sample surveys").
The error is that of the balanced accuracy, by a stratified approximation. The macro F1 has the same number: an F1
changes by less than the recall in it, so that the interval is rather too wide.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search_spaces.errors import require, unknown

ACCURACY = "accuracy"
SHARPENING = -3.0, 3.0  # bounds of the logarithm of what logits are multiplied by for the log loss


@dataclass(frozen=True)
class Metric:
    """A metric in [0, 1], to be maximised.

    Attributes:
        title: its name in tables and plots.
        of: gives it for logits `[N, classes]` and labels `[N]`.
        balanced: whether classes count alike, instead of images.
        top: how many classes may be named for an image.
    """

    title: str
    of: Callable[[np.ndarray, np.ndarray], float]
    balanced: bool = False
    top: int = 1

    @property
    def heading(self) -> str:
        """The title of a picture of it."""
        return self.title[:1].upper() + self.title[1:]

    def guessing(self, classes: int) -> float:
        """Returns an upper bound of the metric that guessing reaches."""
        return self.top / classes

    def measured(self, logits: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
        """Returns the metric, and of how many images a share is known as well."""
        return self.of(logits, labels), _effective(logits, labels) if self.balanced else len(labels)

    def log_loss(self, logits: np.ndarray, labels: np.ndarray) -> float | None:
        """Returns the mean cross-entropy of the images, or of the classes where these count alike; None if infinite.

        It uses how sure a network is of each image, and so tells networks apart that the metric cannot. Logits are
        divided by the temperature that makes it least (Guo et al. 2017, "On calibration of modern neural networks",
        section 4.2), since that a network is too sure of all images alike changes no class.
        """
        from scipy.optimize import minimize_scalar

        with np.errstate(invalid="ignore"):  # infinite logits
            shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
        if not np.isfinite(shifted).all():
            return None
        of_label = shifted[np.arange(len(labels)), labels]
        _, of_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
        weights = 1 / (len(counts) * counts[of_class]) if self.balanced else np.full(len(labels), 1 / len(labels))

        def loss(logarithm: float) -> float:
            factor = np.exp(logarithm)
            return float(weights @ (np.log(np.exp(factor * shifted).sum(-1)) - factor * of_label))

        return float(minimize_scalar(loss, bounds=SHARPENING, method="bounded", options={"xatol": 1e-4}).fun)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of images that are classified rightly."""
    return float(np.mean(logits.argmax(-1) == labels))


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the classes that have images of the share of these that is classified rightly.

    Brodersen et al. 2010, "The balanced accuracy and its posterior distribution", for any number of classes.
    """
    right, actual, _ = _of_classes(logits, labels)
    return float(np.mean(right[actual > 0] / actual[actual > 0]))


def macro_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean F1 of the classes, the harmonic mean of precision and recall; of those that any image has or is put to.

    Opitz and Burst 2019, "Macro F1 and macro F1", equation 3: the averaged F1.
    """
    right, actual, predicted = _of_classes(logits, labels)
    both = actual + predicted
    return float(np.mean(2 * right[both > 0] / both[both > 0]))


def top5(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose class is among the five of largest logit."""
    best = np.argsort(-logits, axis=-1, kind="stable")[:, :5]
    return float(np.mean((best == labels[:, None]).any(-1)))


def _effective(logits: np.ndarray, labels: np.ndarray) -> int:
    """Returns the number of images, at least 1, a share of which has the error of the balanced accuracy.

    Its variance is that of a mean over strata, which the classes are (Cochran 1977, "Sampling techniques", 5.3). At
    most (sum of weights)^2 / sum of squared weights (Kish 1965, "Survey sampling", 11.7) of images with the weights 1 /
    (images of their class), which also holds where a class has no errors that a variance could be told from.
    """
    right, actual, _ = _of_classes(logits, labels)
    right, actual = right[actual > 0], actual[actual > 0]
    recalls, classes = right / actual, len(actual)
    mean, most = recalls.mean(), classes**2 / np.sum(1 / actual)
    variance = np.sum(recalls * (1 - recalls) / actual) / classes**2
    return max(1, int(min(most, mean * (1 - mean) / variance) if variance else most))


def _of_classes(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns three counts for each class: images put to it rightly, images of it, and images put to it."""
    predicted, classes = logits.argmax(-1), logits.shape[-1]
    right, actual, put = (np.bincount(which, minlength=classes)
                          for which in (labels[predicted == labels], labels, predicted))
    return right, actual, put


METRICS: dict[str, Metric] = {
    ACCURACY: Metric("accuracy", accuracy),
    "balanced-accuracy": Metric("balanced accuracy", balanced_accuracy, balanced=True),
    "macro-f1": Metric("macro F1", macro_f1, balanced=True),
    "top5": Metric("top-5 accuracy", top5, top=5),
}


def require_metric(name: str, classes: int | None = None) -> None:
    """Raises `InvalidInput` for a metric that is not there, or that says nothing about so few classes."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    least = METRICS[name].top
    require(classes is None or least < classes,
            f"the metric '{name}' is for data of more than {least} classes, but got {classes}")
