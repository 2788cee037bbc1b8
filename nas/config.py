"""SearchConfig: everything that defines a search, frozen and typed."""

import dataclasses
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

from evaluators.evaluator import AUGMENTATIONS, EVALUATORS, Evaluator
from nas.budget import Budgets
from nas.candidate import OBJECTIVES
from nas.strategies import STRATEGIES
from search_spaces.errors import InvalidInput, unknown
from search_spaces.layers import require


@dataclass(frozen=True)
class SearchConfig:
    """What a search is asked to do. Two runs of equal configurations ask for the same candidates.

    Attributes:
        space: name of a ready space, or a TOML file.
        data: name of an embedded data set, or a path.
        resolution: pixels to which images are resized; None takes what the space or the data have.
        target: runtime that the winner is shipped on, with options: `onnxruntime:threads=2`.
        latency_ms: budget of the measured latency, in milliseconds.
        latency_percentile: instead of `latency_ms`, a percentile of the latencies of the space, in [0, 100].
        macs: budget of multiply-adds.
        params: budget of trainable parameters.
        memory_bytes: budget of live activations at their peak.
        size_bytes: budget of the model file.
        objectives: `accuracy`, or `accuracy` and `latency`.
        start: names of published networks, or texts of architectures, to evaluate first; see `nas.engine.starts`.
        strategy: name of a sampler.
        evaluator: `training`, or a function of your own as `module:function`.
        trials: distinct candidates to train.
        epochs: epochs that each is trained for.
        batch: images in a training step.
        augmentation: one of `AUGMENTATIONS`.
        seed: of the data split, the strategy and the training.
    """

    space: str = "mobile"
    data: str = "fashion-mnist"
    resolution: int | None = None
    target: str = "onnxruntime"
    latency_ms: float | None = None
    latency_percentile: float | None = None
    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    objectives: tuple[str, ...] = ("accuracy", "latency")
    start: tuple[str, ...] = ()
    strategy: str = "tpe"
    evaluator: str = "training"
    trials: int = 20
    epochs: int = 3
    batch: int = 64
    augmentation: str = "shift"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("objectives", "start"):
            require(not isinstance(getattr(self, name), str), f"`{name}` is a sequence of texts, but got "
                    f"{getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list would do as well
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        for objective in self.objectives:
            if objective not in OBJECTIVES:
                raise unknown("objective", objective, OBJECTIVES)
        require(self.objectives[:1] == ("accuracy",) and len(set(self.objectives)) == len(self.objectives),
                f"`objectives` must be accuracy or accuracy,latency, but got {','.join(self.objectives) or 'none'}")
        if self.augmentation not in AUGMENTATIONS:
            raise unknown("augmentation", self.augmentation, AUGMENTATIONS)
        if self.evaluator not in EVALUATORS and ":" not in self.evaluator:
            raise unknown("evaluator", self.evaluator, [*EVALUATORS, "module:function"])
        for name in ("trials", "epochs", "batch"):
            require(getattr(self, name) >= 1, f"`{name}` must be at least 1, but got {getattr(self, name)}")
        require(self.seed >= 0, f"`seed` must not be negative, but got {self.seed}")
        require(self.resolution is None or self.resolution >= 1,
                f"`resolution` must be at least 1, but got {self.resolution}")
        require(self.latency_ms is None or self.latency_percentile is None,
                "a latency budget is given in milliseconds or as a percentile, but got both")
        require(self.latency_percentile is None or 0 < self.latency_percentile <= 100,
                f"a latency percentile must lie in (0, 100], but got p{self.latency_percentile}")
        Budgets(self.latency_ms, self.macs, self.params, self.memory_bytes, self.size_bytes)

    def budgets(self, latency_ms: float | None) -> Budgets:
        """Returns the budgets, with the latency budget that a percentile came to."""
        return Budgets(latency_ms, self.macs, self.params, self.memory_bytes, self.size_bytes)

    def differences(self, other: "SearchConfig") -> list[str]:
        """Returns a line for each field, but `trials`, that differs from the other's."""
        return [f"{field.name} is {getattr(self, field.name)!r} there, {getattr(other, field.name)!r} here"
                for field in dataclasses.fields(self)
                if field.name != "trials" and getattr(self, field.name) != getattr(other, field.name)]


def load_evaluator(name: str) -> Evaluator:
    """Returns the evaluator of a name, or the function that `module:function` names.

    The current directory is searched first, as Python does for a script.
    """
    if name in EVALUATORS:
        return EVALUATORS[name]
    module_name, _, function_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, SyntaxError, ValueError) as error:
        raise InvalidInput(f"an evaluator must name a module that can be imported, but got '{name}': {error}") from None
    except AttributeError:
        raise InvalidInput(f"an evaluator must name a function, but '{module_name}' has no '{function_name}'") from None
    require(callable(function), f"an evaluator must name a function, but '{name}' is a {type(function).__name__}")
    return function
