"""What a runtime must do: write a network as a model file of its own, and load that file to run it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from evaluators.runtimes.target import Options, Target
from search_spaces.architecture import Architecture

Arrays = Mapping[str, np.ndarray]


class Session(Protocol):
    """A model file that is loaded and ready to run."""

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns logits `[B, classes]` of normalised float32 images `[B, H, W, C]`."""
        ...

    def prepared(self, images: np.ndarray) -> Callable[[], None]:
        """Returns a function that runs these images once and waits for the result: what is timed.

        Whatever a deployed program does once (layout, transfer to the device) is done before it returns.
        """
        ...


class Runtime(Protocol):
    """A kind of model file and the program that runs it. Nothing of it is imported before it is used."""

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
        """What the names of its files end in."""
        ...

    @property
    def module(self) -> str:
        """The import name of the library that runs its files."""
        ...

    @property
    def input_layout(self) -> str:
        """The type and axes of the file's input, in words for whoever runs it."""
        ...

    def bound(self, target: Target) -> Self:
        """Returns the runtime as a target wants it; raises `InvalidInput` where it cannot be so."""
        ...

    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that run the file, by name."""
        ...

    def owns_device(self) -> bool:
        """Tells whether only the process that trains may time, since it owns the device that runs the file."""
        ...

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None) -> None:
        """Writes the network as a model file that runs any number of images.

        Args:
            architecture: the network.
            arrays: its weights and running statistics by name, as `evaluators.networks.weights` makes them.
            path: where the file goes; it appears whole or not at all.
            metadata: texts that travel in the file.
            images: normalised images `[B, H, W, C]` such as the network will see, by which int8 files choose the
                ranges of their values; noise by default.
        """
        ...

    def load(self, path: Path, options: Options) -> Session:
        """Returns the model file, ready to run."""
        ...

