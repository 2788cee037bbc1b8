"""Trained weights, which lie beside an export until it is there: an export that was stopped goes on from them.

As long as the training lasts, its checkpoint lies there. A damaged file counts as none, and is made anew.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open

from evaluators.networks.checkpoint import arrays_in, load_arrays, save_network
from evaluators.networks.weights import Weights
from evaluators.recipe import MOST_SEED, Recipe
from evaluators.training.teacher import Teacher
from nas.export.entries import Training
from search_spaces.architecture import Architecture
from search_spaces.errors import require

OF, TRAINING = "trained for", "training"  # texts in the file: of what the weights are, and what the certificate says
SPENT = "duration_s"  # text of a checkpoint
MOST_SEEDS = 1000  # of one network; the deviation is known to a few per cent by then
EVERY_S = 30.0  # at least, from one checkpoint to the next


def weights_beside(directory: Path, number: int = 1) -> Path:
    """Returns the file in which the weights of a training of an export, from 1, lie until the export is there."""
    return directory.with_name(f"{directory.name}{f'.{number}' * (number > 1)}.unfinished.safetensors")


def all_beside(directory: Path, seeds: int) -> list[Path]:
    """Returns the files of so many trainings, and those that an export from more seeds, which was stopped, has left."""
    numbered = (weights_beside(directory, number) for number in itertools.count(1))
    return [*itertools.islice(numbered, seeds), *itertools.takewhile(Path.exists, numbered)]


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


def require_seeds(recipe: Recipe, seeds: int) -> None:
    """Raises `InvalidInput` if there are no trainings of a recipe from so many seeds."""
    require(seeds >= 1, f"`seeds` must be at least 1, but got {seeds}")
    require(seeds <= MOST_SEEDS, f"`seeds` must be at most {MOST_SEEDS}, but got {seeds}")
    require(seeds == 1 or recipe.epochs > 0, f"several seeds need a training, but got {seeds} for 0 epochs")
    require(recipe.seed + seeds - 1 <= MOST_SEED,
            f"seeds are numbers up to {MOST_SEED}, but got {seeds} from {recipe.seed} on")


def keep_trained(path: Path, identity: str, architecture: Architecture, arrays: Weights, training: Training) -> None:
    """Writes the weights of a training, whole or not at all."""
    save_network(architecture, arrays, path, {OF: identity, TRAINING: json.dumps(training)})


def keep_pruned(path: Path, identity: str, architecture: Architecture, arrays: Weights) -> None:
    """Writes a network that is to be trained, whole or not at all."""
    save_network(architecture, arrays, path, {OF: identity})


def load_pruned(path: Path, identity: str) -> tuple[Architecture, Weights] | None:
    """Returns the network as `keep_pruned` wrote it; None where there is none, or another one."""
    if _texts(path).get(OF) == identity:
        with contextlib.suppress(ValueError):
            return load_arrays(path)
    return None


def load_trained(path: Path, identity: str) -> tuple[Weights, Training] | None:
    """Returns the weights of a training as `keep_trained` wrote them; None where there are none, or of another one."""
    texts = _texts(path)
    if texts.get(OF) == identity and TRAINING in texts:
        with contextlib.suppress(ValueError):
            return load_arrays(path)[1], json.loads(texts[TRAINING])
    return None


@dataclass
class Checkpoints:
    """The last checkpoint of a training, in the place that its weights will have.

    Attributes:
        path: of the file.
        identity: of the training.
        architecture: that is trained.
        spent_s: seconds of training behind the checkpoint that was found.
    """

    path: Path
    identity: str
    architecture: Architecture
    spent_s: float = 0.0
    _begun: float = field(default_factory=time.monotonic)
    _kept: float = field(default_factory=time.monotonic)

    def found(self) -> Weights:
        """Returns the checkpoint of this training, empty where there is none."""
        texts = _texts(self.path)
        if texts.get(OF) == self.identity and SPENT in texts:
            with contextlib.suppress(ValueError):
                arrays, self.spent_s = arrays_in(self.path.read_bytes()), float(texts[SPENT])
                return arrays
        return {}

    def keep(self, checkpoint: Callable[[], Weights]) -> None:
        """Writes a checkpoint, whole or not at all, where the last one is old enough."""
        now = time.monotonic()
        if now - self._kept >= EVERY_S:
            spent_s = self.spent_s + now - self._begun
            save_network(self.architecture, checkpoint(), self.path, {OF: self.identity, SPENT: f"{spent_s:.1f}"})
            self._kept = time.monotonic()


def require_replaceable(path: Path) -> None:
    """Raises `InvalidInput` where a file would be written over that no export has left."""
    require(not path.is_symlink() and not path.is_dir() and OF in _texts(path), "the trained weights of an export that "
            f"was stopped lie beside it, but '{path}' is another file")


def _texts(path: Path) -> dict[str, str]:
    """Returns the texts in the header of a file; those of one that is missing or damaged say that it is of nothing."""
    try:
        with safe_open(str(path), "numpy") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {OF: ""}
