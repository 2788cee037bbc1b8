"""The kinds of files that a network leaves in. A new one is one entry here."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluators.networks.checkpoint import load_network, save_network
from evaluators.runtimes import RUNTIMES, Arrays, Options, Target, runtime_of
from evaluators.runtimes.runtime import BYTES_LAYOUT
from evaluators.runtimes.target import FLOAT32
from nas.export.source import nnx, pytorch
from nas.export.source.file import weights_beside
from search_spaces.architecture import Architecture

FLAX = "flax"
LAYOUT = "float32 [batch, height, width, channels]"
CHANNELS_FIRST = "float32 [batch, channels, height, width]"
Run = Callable[[np.ndarray], np.ndarray]  # images [B, H, W, C], normalised or bytes as the file takes them -> logits


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
        layout: the type and axes of the input of its files, in words.
        module: the import name of the library that shows what its files compute, where that is not among our own needs.
        beside: returns the path of a second file that each of its files needs beside itself; None where it needs none.
    """

    name: str
    suffix: str
    write: Write
    load: Callable[[Path], Run]
    runtime: str | None = None
    layout: str = LAYOUT
    module: str = ""
    beside: Callable[[Path], Path] | None = None

    @property
    def takes_bytes(self) -> bool:
        """Tells whether files of the format normalise images themselves."""
        return self.layout == BYTES_LAYOUT

    def names(self, precision: str) -> list[str]:
        """Returns the name of its file of a precision in an export, and of that which is needed beside it."""
        path = Path(f"model{'' if precision == Options.precision else f'-{precision}'}{self.suffix}")
        return [path.name, *([self.beside(path).name] if self.beside else [])]


def format_of(target: Target, preprocess_inside: bool = False) -> Format:
    """Returns the format of the files of a target, written and loaded as its options want it.

    `preprocess_inside` says whether files normalise images themselves.
    """
    runtime = runtime_of(target)
    return Format(runtime.format, runtime.suffix,
                  functools.partial(runtime.write, inside=True) if preprocess_inside else runtime.write,
                  lambda path: runtime.load(path, target.options).run, target.runtime,
                  BYTES_LAYOUT if preprocess_inside else runtime.input_layout)


def _write_flax(architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
                images: np.ndarray | None = None) -> None:
    save_network(architecture, arrays, path, metadata)


def _load_flax(path: Path) -> Run:
    from evaluators.networks.network import logits_of

    network = load_network(path)
    return lambda images: np.asarray(logits_of(network, images))


FORMATS: dict[str, Format] = {
    "onnx": format_of(Target("onnxruntime")),
    "litert": format_of(Target("litert")),
    "stablehlo": format_of(Target("xla")),
    FLAX: Format(FLAX, ".safetensors", _write_flax, _load_flax),
    "python": Format("python", ".py", nnx.write, nnx.load, beside=weights_beside),
    "torch": Format("torch", "_torch.py", pytorch.write, pytorch.load, layout=CHANNELS_FIRST, module="torch",
                    beside=weights_beside),
}


def formats_for(targets: Sequence[Target], further: Sequence[str], inside: bool = False
                ) -> list[tuple[Format, Target | None]]:
    """Returns the formats of targets and further ones of `FORMATS`, each with the target that it is timed on.

    A further one has the precision of the first target where its runtime has it. `inside` says whether files of
    runtimes normalise images themselves.
    """
    found: list[tuple[Format, Target | None]] = [(format_of(target, inside), target) for target in targets]
    names = {form.name for form, _ in found}
    for form in (FORMATS[name] for name in dict.fromkeys(further) if name not in names):
        target = _beside(targets[0], form.runtime) if form.runtime else None
        found.append((format_of(target, inside) if target else form, target))
    return found


def _beside(first: Target, runtime: str) -> Target:
    """Returns the target of another runtime that is timed as the first one is, as far as it has the options."""
    options = Options(first.options.threads, first.options.batch)  # what all runtimes heed
    if "precision" in RUNTIMES[runtime].options:
        options = dataclasses.replace(options, precision=first.options.precision)
    return Target(runtime, options)


def precision_of(target: Target | None) -> str:
    """Returns the precision of the files of a target; formats without one are in float32."""
    return target.options.precision if target else FLOAT32
