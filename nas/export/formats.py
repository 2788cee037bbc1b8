"""The kinds of files that a network leaves in. A new one is one entry here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluators.networks.checkpoint import load_network, save_network
from evaluators.runtimes import Arrays, Target, runtime_of
from search_spaces.architecture import Architecture

FLAX = "flax"
Run = Callable[[np.ndarray], np.ndarray]  # normalised float32 images [B, H, W, C] -> logits [B, classes]


class Write(Protocol):
    """A function that writes a network as a file; its arguments are those of `Runtime.write`."""

    def __call__(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
                 images: np.ndarray | None = None) -> None:
        """Writes the network to `path`, whole or not at all."""
        ...


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what users call it; its name in `FORMATS`.
        suffix: what the names of its files end in.
        write: writes a network as such a file.
        load: returns what a file computes.
        runtime: the runtime that shows what a file computes; its latency is that of the file. None where no runtime
            takes such files.
    """

    name: str
    suffix: str
    write: Write
    load: Callable[[Path], Run]
    runtime: str | None = None


def format_of(target: Target) -> Format:
    """Returns the format of the files of a target, written and loaded as its options want it."""
    runtime = runtime_of(target)
    return Format(runtime.format, runtime.suffix, runtime.write,
                  lambda path: runtime.load(path, target.options).run, target.runtime)


def _write_flax(architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
                images: np.ndarray | None = None) -> None:
    save_network(architecture, arrays, path, metadata)


def _load_flax(path: Path) -> Run:
    network = load_network(path)
    return lambda images: np.asarray(network(images))


FORMATS: dict[str, Format] = {
    "onnx": format_of(Target("onnxruntime")),
    "litert": format_of(Target("litert")),
    "stablehlo": format_of(Target("xla")),
    FLAX: Format(FLAX, ".safetensors", _write_flax, _load_flax),
}
