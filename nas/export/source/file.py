"""The common ground of source files in any library: their heading, their data, and the weights beside them."""

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.networks.checkpoint import save_checkpoint
from evaluators.runtimes import Arrays
from evaluators.runtimes.enclosed import classes_of
from nas.export.source.classes import Outline
from nas.export.source.writing import WIDTH, code_of, places
from search_spaces.architecture import SEPARATOR, Architecture
from search_spaces.program import Operation

WEIGHTS_SUFFIX = "_weights.safetensors"  # instead of that of the source
Source = Callable[[Outline, Path, Mapping[str, str]], str]  # of a network in a file of that path, with its texts
Translate = Callable[[Operation, str, np.ndarray], tuple[str, np.ndarray]]  # an array to the library's name and form


def write_source(source: Source, translate: Translate, reserved: Sequence[str], architecture: Architecture,
                 arrays: Arrays, path: Path, metadata: Mapping[str, str], images: np.ndarray | None = None) -> None:
    """Writes a network as a source file, and its weights beside it by the names that they have in the source.

    Attributes have no `reserved` names.
    """
    outline = Outline(architecture, reserved)
    named: dict[str, np.ndarray] = {}
    for block, operation, place in places(outline):
        for name in operation.arrays:
            key, array = translate(operation, name.rpartition("/")[2], arrays[f"{block}/{name}"])
            named[f"{place}.{key}"] = array
    save_checkpoint(named, weights_beside(path))
    write_whole(path, source(outline, path, metadata).encode())


def weights_beside(path: Path) -> Path:
    """Returns the file of the weights of a source file."""
    return path.with_name(path.stem + WEIGHTS_SUFFIX)


def run_source(path: Path) -> dict[str, Any]:
    """Returns the namespace of a source file; nothing is left beside it, as an import would."""
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_bytes(), path, "exec"), names)
    return names


def heading(outline: Outline, path: Path, library: str) -> str:
    """Returns the docstring of a source file."""
    architecture, lines = outline.architecture, [""]
    for token in architecture.text.split(SEPARATOR):
        if len(lines[-1]) + len(token) >= WIDTH - 4:
            lines.append("")
        lines[-1] += token + SEPARATOR
    text = "\n    ".join(lines).removesuffix(SEPARATOR)
    return f'''"""A {library} network of {architecture.params:,} parameters and {architecture.macs:,} multiply-adds.

    import {path.stem}

    network = {path.stem}.load()
    probabilities = {path.stem}.predict(network, images)

The network in words:

    {text}
"""'''


def constants(outline: Outline, path: Path, metadata: Mapping[str, str]) -> str:
    """Returns the statements on the weights, the images and, where there are data, on classes and preprocessing."""
    lines = [f'WEIGHTS = Path(__file__).with_name("{weights_beside(path).name}")',
             f"SHAPE = {outline.architecture.program.input_shape}  # height, width and channels of an image"]
    if "mean" in metadata:
        lines += [*_listed("CLASSES", classes_of(metadata)),
                  *(f"{name.upper()} = {json.loads(metadata[name])!r}" for name in ("mean", "std"))]
    return "\n".join(lines)


def _listed(name: str, texts: Sequence[str]) -> list[str]:
    """Returns the statement that gives texts a name, in lines that break between them."""
    lines = [f"{name} = ["]
    for text in texts:
        piece = f"{code_of(text)}, "
        if len(lines[-1]) + len(piece) > WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * len(f"{name} = ["))
        lines[-1] += piece
    lines[-1] = lines[-1].removesuffix(", ") + "]"
    return lines


def images_taken(shape: str, metadata: Mapping[str, str]) -> str:
    """Returns the words of a docstring on images as bytes, and how they were prepared."""
    prepared = textwrap.fill(f"Their preprocessing: {metadata['preprocessing']}", WIDTH, initial_indent="    ",
                             subsequent_indent="    ")
    return f"images `{shape}` of uint8.\n\n{prepared}"
