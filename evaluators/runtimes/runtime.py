"""The contract of a runtime: it writes a network as a model file of its own, and loads that file to run it."""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, Self, TypeGuard

import numpy as np

from evaluators.latency import Latency, Precision
from evaluators.prediction.predictor import Predictor
from evaluators.runtimes.target import Options, Target
from search_spaces.architecture import Architecture

Arrays = Mapping[str, np.ndarray]
BYTES_LAYOUT = "uint8 [batch, height, width, channels]"  # of the input of files that normalise images themselves


class Place(Enum):
    """The place where the files of a runtime are timed."""

    HERE = "here"  # in the process that trains, which owns the device
    APART = "apart"  # in a process of its own on this machine
    ELSEWHERE = "elsewhere"  # on a device that the runtime reaches; as that is slow, candidates are screened
    NOWHERE = "nowhere"  # not at all: the runtime predicts


class Argument(Enum):
    """The meaning of the text of its own that a target has for its runtime."""

    NONE = "none"  # there is none
    TEXT = "text"  # only the runtime knows
    PATH = "path"  # a file, whose path is made absolute


class Session(Protocol):
    """A model file that is loaded and ready to run."""

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns logits `[B, classes]` of images `[B, H, W, C]`, normalised or bytes as the file takes them."""
        ...

    def prepared(self, images: np.ndarray) -> Callable[[], None]:
        """Returns a function that runs these images once and waits for the result; its calls are timed.

        Whatever a deployed program does once (layout, transfer to the device) is done before it returns.
        """
        ...


class Runtime(Protocol):
    """A kind of model file and the program that runs it. Nothing of it is imported before it is used."""

    @property
    def place(self) -> Place:
        """The place where its files are timed."""
        ...

    @property
    def argument(self) -> Argument:
        """The meaning of the argument of its targets."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that it heeds; others are refused. Without `precision` it runs float32 only."""
        ...

    @property
    def format(self) -> str:
        """The name of its kind of file."""
        ...

    @property
    def suffix(self) -> str:
        """The end of the names of its files."""
        ...

    @property
    def module(self) -> str:
        """The import name of the library that runs its files."""
        ...

    @property
    def input_layout(self) -> str:
        """The type and axes of the input of a file that is given normalised images, in words for a person."""
        ...

    def bound(self, target: Target) -> Self:
        """Returns the runtime as a target wants it; raises `InvalidInput` where it cannot be so."""
        ...

    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that run the file, by name."""
        ...

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None, *, inside: bool = False) -> None:
        """Writes the network as a model file that runs any number of images: of equal arguments, equal bytes.

        Args:
            architecture: the network.
            arrays: its weights and running statistics by name, as `evaluators.networks.weights` makes them.
            path: where the file goes; it appears whole or not at all.
            metadata: texts that travel in the file. Those named `classes`, `mean` and `std` are lists in JSON: names,
                and for each channel the moments of images scaled to [0, 1]; some formats have a place for them.
            images: normalised images `[B, H, W, C]` such as the network will see, by which int8 files choose the
                ranges of their values; noise by default.
            inside: whether the file normalises images itself, by `mean` and `std`: its input is then `BYTES_LAYOUT`.
        """
        ...

    def load(self, path: Path, options: Options) -> Session:
        """Returns the model file, ready to run."""
        ...


class Remote(Runtime, Protocol):
    """A runtime of the place `ELSEWHERE`: it has its files timed on another device."""

    def measure(self, path: Path, precision: Precision) -> Latency:
        """Returns the latency of a model file as the device tells it; raises `MeasurementFailed`."""
        ...


class Predicting(Runtime, Protocol):
    """A runtime of the place `NOWHERE`: it predicts from networks that somebody has timed."""

    def predictor(self) -> Predictor:
        """Returns the predictor; raises `InvalidInput` where it cannot be read."""
        ...

    def latency(self, architecture: Architecture) -> Latency:
        """Returns the latency that is predicted for a network; raises as `predictor`."""
        ...


def moments(metadata: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation `[C]` of images scaled to [0, 1], as the texts of a file have them."""
    mean, std = (np.asarray(json.loads(metadata[name]), np.float32) for name in ("mean", "std"))
    return mean, std


def as_taken(images: np.ndarray, kind: Any) -> np.ndarray:
    """Returns images, or the noise that stands for them in timings, in the type that a file takes."""
    return np.ascontiguousarray(np.clip(images, 0, 255) if np.dtype(kind) == np.uint8 else images, kind)


def is_remote(runtime: Runtime) -> TypeGuard[Remote]:
    """Tells whether the files of a runtime are timed on another device."""
    return runtime.place is Place.ELSEWHERE


def is_predicting(runtime: Runtime) -> TypeGuard[Predicting]:
    """Tells whether a runtime predicts latencies instead of timing files."""
    return runtime.place is Place.NOWHERE
