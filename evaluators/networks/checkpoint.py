"""A trained network in one safetensors file: its arrays by name, and its architecture's text in the metadata.

What a training that was stopped goes on from is a file of arrays only.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from evaluators.machine.files import write_whole
from evaluators.networks.weights import read_tensors
from search_spaces.architecture import Architecture
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput

if TYPE_CHECKING:
    from evaluators.networks.network import Network


_HEADER = 8  # bytes in front of the header, which hold its length, and to which it is filled up


def save_network(architecture: Architecture, arrays: Mapping[str, np.ndarray], path: Path,
                 metadata: Mapping[str, str] | None = None) -> None:
    """Writes the architecture and its arrays, with texts of your own, to a file that appears whole or not at all."""
    _save(arrays, path, {**(metadata or {}), "architecture": architecture.text})


def save_checkpoint(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes the checkpoint of a score to a file that appears whole or not at all; an empty one needs no file."""
    if arrays:
        _save(arrays, path, {})


def load_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays that `save_checkpoint` wrote, none where there is no file."""
    with refused(f"a checkpoint must be a readable safetensors file, but got '{path}'", SafetensorError):
        return load_file(path) if path.exists() else {}


def _save(arrays: Mapping[str, np.ndarray], path: Path, metadata: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_whole(path, _in_order(save(contiguous, dict(metadata))))


def _in_order(content: bytes) -> bytes:
    """Returns a safetensors file with the keys of its header in order, which the library leaves to chance."""
    begin = _HEADER + int.from_bytes(content[:_HEADER], "little")
    header = json.dumps(json.loads(content[_HEADER:begin]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _HEADER)  # so that arrays lie at multiples of their sizes
    return len(header).to_bytes(_HEADER, "little") + header + content[begin:]


def load_arrays(path: str | Path) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Returns the architecture and the arrays by name that `save_network` wrote.

    Raises:
        InvalidInput: as `read_tensors`, or no architecture in it, or arrays that do not fit the architecture.
    """
    texts, arrays = read_tensors(Path(path))
    text = texts.get("architecture")
    if text is None:
        raise InvalidInput(f"the file of a network names its architecture, but '{path}' does not")
    architecture = Architecture.parse(text)
    for name, shape in architecture.program.arrays.items():
        found = arrays[name].shape if name in arrays else "nothing"
        if found != shape:
            raise InvalidInput(f"`{name}` must have the shape {shape}, but '{path}' has {found}")
    return architecture, arrays


def load_network(path: str | Path) -> "Network":
    """Returns the Flax NNX module of a file that `save_network` wrote, ready to evaluate; raises as `load_arrays`."""
    from evaluators.networks.network import Network

    architecture, arrays = load_arrays(path)
    return Network(architecture, arrays=arrays)
