"""The entries of a certificate, as `certificate.json` has them."""

from typing import Any, NotRequired, TypedDict


class Comparison(TypedDict):
    """The agreement of a file with the network."""

    compared_images: int
    max_abs_difference: float  # of a logit
    largest_logit: float  # of the network
    top_class_agreement: float  # the share of images, in [0, 1]
    test_accuracy: NotRequired[float]  # of the file itself, on all test images
    test_accuracy_ci: NotRequired[tuple[float, float]]
    test_metric: NotRequired[float]  # likewise, by the metric of the data where that is another one
    test_metric_ci: NotRequired[tuple[float, float]]


class RunBy(TypedDict, total=False):
    """The runtime that a file is for, if it is for one."""

    target: str
    input: str  # type and axes, in words
    versions: dict[str, str]  # of the libraries that have run it
    processors: str  # on which an int8 file computes the same, in words
    relative_latency: float  # of a file of another precision, as a multiple of that of its float32 form, timed in turns
    remarks: list[str]


class Written(TypedDict):
    """A file as it was written."""

    file: str  # its name in the directory
    size_bytes: int
    sha256: str


class File(Comparison, RunBy, Written):
    """A file of an export."""

    format: str
    beside: NotRequired[Written]  # what it needs beside itself
    verdict: NotRequired[str]


class BudgetEntry(TypedDict):
    """A limit, and the median over all timings that is compared with it."""

    quantity: str
    target: NotRequired[str]
    limit: float
    unit: str
    measured: NotRequired[float]  # or, where the latency is no more than that,
    predicted: NotRequired[float]
    met: NotRequired[bool]


class Timing(TypedDict):
    """One pass over the files."""

    environment: dict[str, Any]
    latencies: dict[str, dict[str, Any]]  # the fields of a `Latency` and its raw times, by target
    untimed: NotRequired[dict[str, str]]  # the reason, by target


class OverSeeds(TypedDict):
    """The metric that decides, on test images, of one network after trainings from several seeds, in [0, 1]."""

    count: int
    mean: float
    deviation: float  # the standard deviation of one training from another, estimated from `count - 1` of freedom
    each: list[float]  # in the order of the seeds; the first is that of the network that is delivered


class OnTest(TypedDict):
    """A metric of test images, in [0, 1]."""

    test: float  # of the first target's file; once that of the network
    test_ci: tuple[float, float]
    network: NotRequired[float]  # as it was trained, before it became files
    over_seeds: NotRequired[OverSeeds]
    logistic_regression: float  # of a simple rival


class Decisive(OnTest):
    """The metric that has chosen the network and judges its files, where that is not the accuracy."""

    name: str


class Accuracy(OnTest):
    """The accuracy on test images, and the metric that decides in its place."""

    images: int
    metric: NotRequired[Decisive]


class TaughtBy(TypedDict):
    """A teacher."""

    name: str
    sha256: str  # of its file


class Training(TypedDict):
    """The training to the end; of 0 epochs where there was none."""

    images: int
    epochs: int
    duration_s: float
    compiled: NotRequired[str]
    recipe: NotRequired[dict[str, Any]]  # batch, augmentation, and what is not by default
    teachers: NotRequired[list[TaughtBy]]


class Data(TypedDict):
    """The images that the network was trained and tested on."""

    name: str
    fingerprint: str
    split: str


class Finalist(TypedDict):
    """A candidate of the finals in its longest training, on training images only."""

    trial: int
    epochs: int
    validation_accuracy: float
    validation_log_loss: NotRequired[float | None]  # by which the best of the longest trained was chosen,
    validation_log_loss_in_search: NotRequired[float | None]  # and by this one, where all have it
    by_hand: bool  # whether it is a published network that was made to fill the budget or a share of it
    latency_ms: NotRequired[float | None]  # on the first target of the search, as it was last timed before


class Origin(TypedDict, total=False):
    """The origin of a network: a trial of a search, or its name."""

    trial: int
    validation_accuracy_in_search: float | None
    finals: list[Finalist]  # the winner first; missing where the winner of the search was taken
    network: str
    uncompressed: str  # the text of the network that it was made of


class Certificate(Origin):
    """The content of `certificate.json`, in its order but for the verdict."""

    budgets: dict[str, BudgetEntry]
    targets: list[str]
    architecture: str
    id: str
    accuracy: Accuracy | None
    accuracy_loss_points: NotRequired[float]  # that a file may have less than the network, in percentage points
    costs: dict[str, int]  # those that follow from the text of the architecture, by their fields in `Costs`
    files: list[File]
    preprocessing: dict[str, str]
    training: Training
    data: Data | None
    timings: list[Timing]
    verdict: NotRequired[str]
