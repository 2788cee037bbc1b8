"""The recipe of a training: all its settings, their bounds and sources stand here, and nowhere else.

The defaults are those of short trainings on small images: few epochs take a high rate and a short memory of squared
gradients. Options of commands, fields of a search and `--recipe FILE.toml` are made from the fields of `Recipe`.
"""

import dataclasses
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from search_spaces.documents import read_toml, refused
from search_spaces.errors import InvalidInput, require, unknown
from search_spaces.numbers import make_plain

NONE, BALANCED = "none", "balanced"
POLICY, POLICY_FLIP = "randaugment", "randaugment-flip"
AUGMENTATIONS = (NONE, "shift", "shift-flip", POLICY, POLICY_FLIP)
COMPILE = AUTO, BLOCKS, NETWORK = "auto", "blocks", "network"  # what is compiled at a time
CLASS_WEIGHTS = (NONE, BALANCED)
MOST_EPOCHS, MOST_BATCH, MOST_SEED = 10**6, 2**16, 2**32 - 1
FINAL_EPOCHS = 20  # of the training of an export
BRIEF_STEPS = 750  # least of a training by which candidates are ranked
_KINDS: dict[Any, tuple[Any, str]] = {int: (int, "a whole number"), float: (int | float, "a number"),
                                      str: (str, "a text")}
_NAMED = {"compile": "way to compile", "class_weights": "way to weight classes"}  # in errors


@dataclass(frozen=True)
class Optimizer:
    """The constants of AdamW (Loshchilov and Hutter 2019, algorithm 2); weight decay is for kernels only.

    Epsilon is larger than usual, so that weights whose gradient is zero but for rounding (a bias that the next batch
    norm takes away again) stay where they are.
    """

    weight_decay: float = 0.05
    momentum: float = 0.9
    second_momentum: float = 0.99
    label_smoothing: float = 0.1
    epsilon: float = 1e-5


def part(default: Any, within: str | tuple[str, ...], what: str, source: str = "") -> Any:
    """Declares a part of a recipe.

    Args:
        default: its value, with which most parts are off.
        within: the interval of its values, with `(` or `)` where the bound is none of them, or its words.
        what: its meaning and unit, as help texts say it.
        source: the paper that it is from.
    """
    return dataclasses.field(default=default, metadata={"within": within, "what": what, "source": source})


@dataclass(frozen=True)
class Recipe:
    """The settings of a training by AdamW. Each field says its bounds, its meaning and the paper that it is from."""

    epochs: int = part(3, f"[0, {MOST_EPOCHS}]", "passes over the training images; 0 leaves a network as it is")
    batch: int = part(32, f"[1, {MOST_BATCH}]", "images in a training step")
    augmentation: str = part("shift", AUGMENTATIONS, "none; shift: by up to 4 % of the side; randaugment: shifts, "
                             "rotations, shears, brightness, contrast, cutout; with -flip also mirror images",
                             "Cubuk et al. 2020, RandAugment; DeVries and Taylor 2017, cutout")
    compile: str = part(AUTO, COMPILE, "what is compiled at a time: the same numbers but for rounding, in another time",
                        "docs/decisions/0002-compiled-pieces.md")
    seed: int = part(0, f"[0, {MOST_SEED}]", "of the data split, the initial weights, and what is random in a training")
    peak_rate: float = part(6e-3, "(0, 1]", "highest learning rate; it falls to 0 by a cosine",
                            "Smith 2018, one cycle; Loshchilov and Hutter 2017, equation 5")
    warm_up: float = part(0.25, "[0, 1)", "share of the steps in which the rate rises to it", "Goyal et al. 2017, 2.2")
    weight_decay: float = part(Optimizer.weight_decay, "[0, 1]",
                               "decay of kernels in a step, times the learning rate",
                               "Loshchilov and Hutter 2019, algorithm 2")
    label_smoothing: float = part(Optimizer.label_smoothing, "[0, 1)",
                                  "share of each label that all classes have alike", "Szegedy et al. 2016, section 7")
    mixup: float = part(0.0, "[0, 10]", "alpha of Beta(alpha, alpha), by which pairs of images are blended; 0 is off",
                        "Zhang et al. 2018, equation 2")
    cutmix: float = part(0.0, "[0, 10]", "alpha of the areas of rectangles that come from another image; 0 is off; a "
                         "batch takes mixup or this, where both are on", "Yun et al. 2019, equation 2")
    magnitude: float = part(0.5, "(0, 1]", "strength of randaugment, as a share of its largest", "Cubuk et al. 2020, M")
    operations: int = part(2, "[1, 8]", "operations of randaugment on an image", "Cubuk et al. 2020, N")
    average: float = part(0.0, "[0, 1)", "share that an exponential moving average of the weights keeps in a step, and "
                          "which is then delivered; 0 is off", "Polyak and Juditsky 1992; Tarvainen and Valpola 2017")
    stochastic_depth: float = part(0.0, "[0, 1)", "probability that an image skips the last residual branch; it grows "
                                   "from the first on; 0 is off", "Huang et al. 2016, equation 4")
    class_weights: str = part(NONE, CLASS_WEIGHTS, "balanced: each class counts alike, however many images it has",
                              "King and Zeng 2001, equation 9")
    distillation_weight: float = part(0.5, "(0, 1]", "share of the loss that is the divergence from a teacher, where "
                                      "there is one; labels have the rest", "Hinton et al. 2015, section 2")
    distillation_temperature: float = part(4.0, "[1, 100]", "by which the logits of a teacher and of its pupil are "
                                           "divided", "Hinton et al. 2015, equation 1")

    def __post_init__(self) -> None:
        make_plain(self)
        for field in fields(self):
            _require_allowed(field, getattr(self, field.name))
            if field.type is float:
                object.__setattr__(self, field.name, float(getattr(self, field.name)))
        for name in ("magnitude", "operations"):
            require(self.policy or getattr(self, name) == _FIELDS[name].default, f"`{name}` is of the augmentations "
                    f"{POLICY} and {POLICY_FLIP}, but got {getattr(self, name)} with {self.augmentation}")

    def require_training(self) -> None:
        """Raises `InvalidInput` for a recipe that trains nothing."""
        require(self.epochs >= 1, f"`epochs` must be at least 1, but got {self.epochs}")

    @property
    def teaching(self) -> dict[str, float]:
        """The parts by name that say how far teachers count."""
        return {name: getattr(self, name) for name in TEACHING}

    @property
    def untaught(self) -> "Recipe":
        """The recipe of the same training without a teacher."""
        return dataclasses.replace(self, distillation_weight=Recipe.distillation_weight,
                                   distillation_temperature=Recipe.distillation_temperature)

    @property
    def optimizer(self) -> Optimizer:
        """The constants of AdamW."""
        return Optimizer(weight_decay=self.weight_decay, label_smoothing=self.label_smoothing)

    @property
    def policy(self) -> bool:
        """Tells whether images are augmented by operations drawn for each."""
        return self.augmentation in (POLICY, POLICY_FLIP)

    @property
    def changed(self) -> dict[str, Any]:
        """The parts by name that are not as they are by default; records of earlier versions know only such ones."""
        return {name: getattr(self, name) for name in PARTS if getattr(self, name) != _FIELDS[name].default}

    def rate(self, progress: float) -> float:
        """Returns the learning rate after a share of the steps: linear up, cosine down (Smith 2018, one cycle)."""
        if progress < self.warm_up:
            return self.peak_rate * (progress / self.warm_up)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up)))

    def kept(self, step: int) -> float:
        """Returns the share that the average of the weights keeps in a step, from 1; less at first (as in TensorFlow).

        So the average soon forgets the weights that the training began with.
        """
        return min(self.average, (1 + step) / (10 + step))


def brief_epochs(images: int, batch: int) -> int:
    """Returns the epochs after which candidates are ranked: three, or more where few images make few steps.

    They are at most half of those of an export: a training that is as long is not brief.

    >>> [brief_epochs(images, batch=32) for images in (240, 1_100, 2_580, 5_000, 50_000)]
    [10, 10, 10, 5, 3]
    """
    steps = math.ceil(images / batch)  # of an epoch
    return max(Recipe.epochs, min(FINAL_EPOCHS // 2, math.ceil(BRIEF_STEPS / steps)))


_FIELDS = {field.name: field for field in fields(Recipe)}
_FIRST = ("epochs", "batch", "augmentation", "compile", "seed")
PARTS = tuple(name for name in _FIELDS if name not in _FIRST)  # settings besides those that each command describes
TEACHING = ("distillation_weight", "distillation_temperature")  # parts of a training that has a teacher
UNTAUGHT = tuple(name for name in PARTS if name not in TEACHING)  # parts of any other, such as those of a search


def with_parts(declared: type) -> type:
    """Adds a field for each part of the recipe of candidates to a class, before it becomes a dataclass."""
    for name in UNTAUGHT:
        declared.__annotations__[name] = _FIELDS[name].type
        setattr(declared, name, _FIELDS[name].default)
    return declared


def load_recipe(path: Path) -> dict[str, Any]:
    """Returns the settings that a TOML file gives, by the names of `Recipe`.

    Raises:
        InvalidInput: an unreadable file, an unknown key, a value of a wrong type or out of its bounds; names the file.
    """
    with refused(f"a recipe must be a readable TOML file, but got '{path}'"):
        settings = read_toml(path)
    for name, value in settings.items():
        if name not in _FIELDS:
            raise unknown(f"setting in '{path}'", name, _FIELDS)
        try:
            _require_allowed(_FIELDS[name], value)
        except InvalidInput as error:
            raise InvalidInput(f"{error} in '{path}'") from None
    return settings


def _require_allowed(field: dataclasses.Field, value: Any) -> None:
    """Raises `InvalidInput` for a value of another type than the field's, or one that lies outside its bounds."""
    name, within, (kind, words) = field.name, field.metadata["within"], _KINDS[field.type]
    require(isinstance(value, kind) and not isinstance(value, bool), f"`{name}` must be {words}, but got {value!r}")
    if isinstance(within, tuple):
        if value not in within:
            raise unknown(_NAMED.get(name, name), value, within)
        return
    low, high = map(float, within[1:-1].split(","))
    if field.type is int:
        least = f"be at least {low:.0f}" if low else "not be negative"
        require(value >= low, f"`{name}` must {least}, but got {value}")
        require(value <= high, f"`{name}` must be at most {high:.0f}, but got {value}")
        return
    inside = (low <= value if within[0] == "[" else low < value) and (value <= high if within[-1] == "]" else
                                                                      value < high)
    require(inside, f"`{name}` must lie in {within}, but got {value}")
