"""A trained network in one safetensors file: its arrays by name, and its architecture's text in the metadata.

What a training that was stopped goes on from is a file of arrays only. A file that is kept until it is needed bears the
hash of all the rest of it among the texts of its header: it is whole or known to be damaged wherever it comes from, and
still a plain safetensors file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from evaluators.machine.files import write_whole
from evaluators.networks.weights import read_tensors
from search_spaces.architecture import Architecture
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput, require

if TYPE_CHECKING:
    from evaluators.networks.network import Network


_HEADER = 8  # bytes in front of the header, which hold its length, and to which it is filled up
_TEXTS, _HASH = "__metadata__", "sha256"  # of the header


def save_network(architecture: Architecture, arrays: Mapping[str, np.ndarray], path: Path,
                 metadata: Mapping[str, str] | None = None) -> None:
    """Writes the architecture and its arrays, with texts of your own, to a file that appears whole or not at all."""
    _write(path, network_file(architecture, arrays, metadata))


def save_checkpoint(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes arrays to a file that appears whole or not at all; none need no file."""
    if arrays:
        _write(path, checkpoint_file(arrays))


def network_file(architecture: Architecture, arrays: Mapping[str, np.ndarray],
                 metadata: Mapping[str, str] | None = None) -> bytes:
    """Returns the file of an architecture and its arrays, with texts of your own."""
    return _file(arrays, {**(metadata or {}), "architecture": architecture.text})


def checkpoint_file(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns the file of the checkpoint of a score."""
    return _file(arrays, {})


def arrays_in(content: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays in a file that `checkpoint_file` or `network_file` made; raises as `require_whole`."""
    require_whole(content)
    return load(content)


def sealed(content: bytes) -> bytes:
    """Returns a safetensors file with its hash in its header."""
    header, arrays = _parts(content)
    texts = {name: text for name, text in header.get(_TEXTS, {}).items() if name != _HASH}
    return _joined({**header, _TEXTS: {**texts, _HASH: _hash({**header, _TEXTS: texts}, arrays)}}, arrays)


def require_whole(content: bytes) -> None:
    """Raises `InvalidInput` for a file that is no safetensors file, or not as `sealed` made it.

    Files of earlier versions bear no hash.
    """
    with refused("a kept network must be a safetensors file as it was written, but this one is not", SafetensorError):
        load(content)
        header, arrays = _parts(content)
        stated = header.get(_TEXTS, {}).pop(_HASH, None)
        found = _hash(header, arrays)
        require(stated in (None, found), f"its sha256 is {found}, and should be {stated}")


def network_in(content: bytes) -> Architecture | None:
    """Returns the architecture that a safetensors file is of, None where it tells of none; raises `InvalidInput`."""
    with refused("a kept network names its architecture, but this one does not", SafetensorError):
        text = _parts(content)[0].get(_TEXTS, {}).get("architecture")
        return Architecture.parse(text) if text else None


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the header of a safetensors file and its arrays."""
    begin = _HEADER + int.from_bytes(content[:_HEADER], "little")
    return json.loads(content[_HEADER:begin]), content[begin:]


def _joined(header: Mapping[str, Any], arrays: bytes) -> bytes:
    """Returns a safetensors file with the keys of its header in order, which the library leaves to chance."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER)  # so that arrays lie at multiples of their sizes
    return len(text).to_bytes(_HEADER, "little") + text + arrays


def _hash(header: Mapping[str, Any], arrays: bytes) -> str:
    return hashlib.sha256(_joined(header, arrays)).hexdigest()


def _file(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> bytes:
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return _joined(*_parts(save(contiguous, dict(texts))))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def load_arrays(path: str | Path) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Returns the architecture and the arrays by name that `save_network` wrote; raises as `load_with_texts`."""
    return load_with_texts(path)[:2]


def load_with_texts(path: str | Path) -> tuple[Architecture, dict[str, np.ndarray], dict[str, str]]:
    """Returns the architecture, the arrays by name and the texts that `save_network` wrote.

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
    return architecture, arrays, texts


def load_network(path: str | Path) -> "Network":
    """Returns the Flax NNX module of a file that `save_network` wrote, ready to evaluate; raises as `load_arrays`."""
    from evaluators.networks.network import Network

    architecture, arrays = load_arrays(path)
    return Network(architecture, arrays=arrays)
