"""Devices that are not this machine: their model files are written here, and run here only to be compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluators.runtimes.litert import LiteRt
from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.runtime import Arrays, Runtime, Session
from evaluators.runtimes.target import Options, Target
from search_spaces.architecture import Architecture
from search_spaces.errors import unknown

FILES: dict[str, Runtime] = {"onnx": OnnxRuntime(), "litert": LiteRt()}  # and what runs them here


@dataclass(frozen=True)
class Elsewhere:
    """The shared part of the runtimes of such devices. Without options they take ONNX files."""

    target: Target

    @property
    def file(self) -> Runtime:
        """The runtime of the files that the device is given, which also runs them here."""
        return FILES[self.target.options.format].bound(self.target)

    @property
    def format(self) -> str:
        """The name of the kind of file."""
        return self.file.format

    @property
    def suffix(self) -> str:
        """The end of the names of the files."""
        return self.file.suffix

    @property
    def module(self) -> str:
        """The import name of the library that writes the files."""
        return self.file.module

    @property
    def input_layout(self) -> str:
        """The type and axes of the file's input."""
        return self.file.input_layout

    def versions(self) -> dict[str, str]:
        """Returns the versions of the libraries that write the file and run it here; the device's are not known."""
        return self.file.versions()

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None, *, inside: bool = False) -> None:
        """Writes the network as a model file of the format that the device is given."""
        self.file.write(architecture, arrays, path, metadata, images, inside=inside)

    def load(self, path: Path, options: Options) -> Session:
        """Returns the model file, ready to run here on the runtime of its format, so that it can be compared."""
        return self.file.load(path, Options(options.threads, options.batch))


def require_writable_format(options: Options, of: str) -> None:
    """Raises `InvalidInput` unless files of a runtime, named by `of`, can be written as options want them."""
    if options.format not in FILES:
        raise unknown(f"format of {of} files", options.format, FILES)
