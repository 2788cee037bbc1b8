"""What a runtime must do: write a network as a model file of its own, and load that file to run it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.errors import InvalidInput, unknown

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Options:
    """How a model file is run, whatever the runtime."""

    threads: int = field(default=1, metadata={"what": "threads that share one run"})
    batch: int = field(default=1, metadata={"what": "images in one run"})

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            value = getattr(self, option.name)
            if value < 1:
                raise InvalidInput(f"`{option.name}` must be at least 1, but got {option.name}={value}")


@dataclass(frozen=True)
class Target:
    """A runtime and the options under which latency counts."""

    runtime: str
    options: Options = Options()

    @property
    def text(self) -> str:
        """The canonical text: options in the order of their fields, defaults left out."""
        given = [f"{option.name}={value}" for option in dataclasses.fields(Options)
                 if (value := getattr(self.options, option.name)) != option.default]
        return f"{self.runtime}:{','.join(given)}" if given else self.runtime

    def __str__(self) -> str:
        return self.text


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

    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that run the file, by name."""
        ...

    def owns_device(self) -> bool:
        """Tells whether only the process that trains may time, since it owns the device that runs the file."""
        ...

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str]) -> None:
        """Writes the network as a model file that runs any number of images.

        Args:
            architecture: the network.
            arrays: its weights and running statistics by name, as `evaluators.weights` makes them.
            path: where the file goes; it appears whole or not at all.
            metadata: texts that travel in the file.
        """
        ...

    def load(self, path: Path, options: Options) -> Session:
        """Returns the model file, ready to run."""
        ...


def parse_options(text: str) -> Options:
    """Returns the options that a text such as `threads=2,batch=8` gives.

    Raises:
        InvalidInput: an unknown or repeated option, or a value that is no whole number from 1 on.
    """
    known = [option.name for option in dataclasses.fields(Options)]
    values: dict[str, int] = {}
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            raise InvalidInput(f"an option of a target is written name=value, but got '{part}' in '{text}'")
        if name not in known:
            raise unknown("option of a target", name, known)
        if name in values:
            raise InvalidInput(f"an option is given once, but '{text}' gives `{name}` again")
        if not (value.isascii() and value.isdigit()):
            raise InvalidInput(f"`{name}` takes whole numbers, but got '{value}' in '{text}'")
        values[name] = int(value)
    return Options(**values)
