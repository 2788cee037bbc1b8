"""Trained weights, which lie beside an export until it is there: an export that was stopped goes on from them."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from evaluators.networks.checkpoint import load_arrays, save_network
from evaluators.networks.weights import Weights
from evaluators.recipe import Recipe
from evaluators.training.teacher import Teacher
from nas.export.certificate import Training
from search_spaces.architecture import Architecture
from search_spaces.documents import refused
from search_spaces.errors import require

OF, TRAINING = "trained for", "training"  # texts in the file: of what the weights are, and what the certificate says


def weights_beside(directory: Path) -> Path:
    """Returns the file in which the trained weights of an export lie until it is there."""
    return directory.with_name(f"{directory.name}.unfinished.safetensors")


def pruned_beside(directory: Path) -> Path:
    """Returns the file in which a pruned network lies until its export is there."""
    return directory.with_name(f"{directory.name}.pruned.safetensors")


def training_id(architecture: Architecture, fingerprint: str, recipe: Recipe, initial: Weights,
                teachers: Sequence[Teacher] = ()) -> str:
    """Returns the identity of a training: network, data, settings that matter, arrays it begins with, teachers."""
    settings = {"epochs": recipe.epochs, "batch": recipe.batch, "augmentation": recipe.augmentation,
                "seed": recipe.seed, "peak_rate": recipe.peak_rate, "warm_up": recipe.warm_up,
                "optimizer": dataclasses.asdict(recipe.optimizer)} | recipe.changed  # as earlier versions wrote it
    digest = hashlib.sha256(json.dumps([architecture.text, fingerprint, settings]).encode())
    for name in sorted(initial):
        digest.update(name.encode() + initial[name].tobytes())
    if teachers:
        digest.update(json.dumps([[teacher.sha256 for teacher in teachers], recipe.teaching]).encode())
    return digest.hexdigest()


def keep_trained(path: Path, identity: str, architecture: Architecture, arrays: Weights, training: Training) -> None:
    """Writes the weights of a training, whole or not at all."""
    save_network(architecture, arrays, path, {OF: identity, TRAINING: json.dumps(training)})


def keep_pruned(path: Path, identity: str, architecture: Architecture, arrays: Weights) -> None:
    """Writes a network that is to be trained, whole or not at all."""
    save_network(architecture, arrays, path, {OF: identity})


def load_pruned(path: Path, identity: str) -> tuple[Architecture, Weights] | None:
    """Returns the network as `keep_pruned` wrote it; None where there is none, or another one."""
    return load_arrays(path) if path.exists() and _texts(path).get(OF) == identity else None


def load_trained(path: Path, identity: str) -> tuple[Weights, Training] | None:
    """Returns the weights of a training as `keep_trained` wrote them; None where there are none, or of another one."""
    texts = _texts(path) if path.exists() else {}
    if texts.get(OF) != identity:
        return None
    with refused(f"trained weights must be as an export has left them, but got '{path}'"):
        training: Training = json.loads(texts[TRAINING])
    return load_arrays(path)[1], training


def require_replaceable(path: Path) -> None:
    """Raises `InvalidInput` where a file would be written over that no export has left."""
    require(not path.is_symlink() and (not path.exists() or OF in _texts(path)), "the trained weights of an export "
            f"that was stopped lie beside it, but '{path}' is another file")


def _texts(path: Path) -> dict[str, str]:
    with (refused(f"trained weights must be a readable safetensors file, but got '{path}'", SafetensorError),
          safe_open(str(path), "numpy") as file):
        return file.metadata() or {}
