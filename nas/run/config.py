"""The configuration of a search, frozen and typed."""

import dataclasses
import json
import math
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.benchmarks.tables import PREFIX, is_table
from evaluators.datasets import DATASETS
from evaluators.datasets.metrics import ACCURACY, require_metric
from evaluators.evaluator import Make
from evaluators.machine.files import at_home, exists
from evaluators.recipe import TEACHING, Recipe, with_parts
from evaluators.registry import EVALUATORS
from evaluators.runtimes import in_precision, parse_target
from evaluators.runtimes.target import FLOAT32, PRECISIONS
from nas.problem.budgets import NONE, Budgets, PerTarget, as_given, for_each_target, with_limits
from nas.problem.candidate import OBJECTIVES
from nas.problem.quantities import QUANTITIES
from nas.strategies import STRATEGIES
from nas.strategies.loading import is_path, load
from search_spaces import SPACES
from search_spaces.blocks.conventions import MOST_PIXELS
from search_spaces.errors import require, unknown
from search_spaces.numbers import make_plain

KINDS: dict[Any, str] = {str: "a text", bool: "True or False", bool | None: "True, False or None",
                         int: "a whole number", int | None: "a whole number or None",
                         int | float | None: "a number or None"}
CHANGEABLE = ("trials", "time_s", "patience", "workers", "trial_time_s", "trial_memory_bytes",
              "compile")  # what a search may be resumed with other values of
PLACES: dict[str, Collection[str]] = {"space": SPACES, "data": DATASETS}  # what may be a path, and the names it may be
FITTED = "fitted"  # the space that is searched by default
AUTO, BY_HAND, FILLED, NOTHING = "auto", "by-hand", "filled", "none"  # words for what to evaluate first
MOST = {"trials": 10**6, "patience": 10**6, "brackets": 100, "workers": 1000, "resolution": MOST_PIXELS,
        "trial_memory_bytes": 2**60}
TRIALS = 20  # where nothing else ends a search
PREDICTOR, TIMING = "predictor", "timing"  # where latencies are from, besides files of predictors
PER_TARGET = ("latency_percentile", *(quantity.field for quantity in QUANTITIES.values() if quantity.of_target))


@dataclass(frozen=True)
@with_limits
@with_parts
class SearchConfig:
    """The definition of a search. Two runs of equal ones with one worker ask for the same candidates.

    Attributes:
        space: name of a ready space, or a TOML file.
        data: name of an embedded data set, or a path; or a table of a benchmark, see `evaluators.benchmarks.tables`.
        skip_broken: whether image files that are broken are left out; the split names them.
        metric: what stands for the accuracy, a name of `evaluators.datasets.metrics.METRICS`.
        resolution: pixels to which images are resized; None takes what the space or the data have.
        target: runtime that the winner is shipped on, with options: `onnxruntime:threads=2`; or several of them. The
            latency on the first is the objective.
        precision: of the files by which candidates are timed and scored: one of `PRECISIONS`, which all targets then
            have; with targets of another precision alone candidates are timed so, and scored in float32.
        latency_ms: budget of the measured latency, in milliseconds: one value, or one (or None) for each target.
        latency_percentile: instead of `latency_ms`, a percentile of the latencies of the space, in (0, 100].
        latency_p95_ms: budget of the 95th percentile of single runs, in milliseconds, for each target.
        images_per_s: lower limit of the images per second at the target's batch, for each target.
        macs: budget of multiply-adds.
        params: budget of trainable parameters.
        memory_bytes: budget of live activations at their peak.
        size_bytes: budget of the model file.
        objectives: `accuracy`, alone or with one of `latency`, `macs` and `params`.
        start: what to evaluate first: names of published networks, texts of architectures, or directories of runs,
            whose trained candidates are measured anew and not trained again; `by-hand`, published networks that fill
            the budgets; `filled`, members of the space that do; `none`; `auto`: the latter two in the space `fitted`,
            none in others; see `nas.engine.warm_start`.
        latency_from: where latencies are from. By default all that may be trained is timed, on a target that a command
            reaches only what earlier timings leave in doubt. `predictor`: members of the space are timed first, and
            candidates that are surely over a budget of time are not; files of predictors: the same with what they know;
            `timing`: everything is timed. See `nas.measuring.screening`.
        strategy: name of a strategy, or one of your own as `module:Name`, also an Optuna sampler; see
            `nas.strategies.loading`.
        evaluator: `training`, or a function of your own as `module:function`.
        trials: distinct candidates to train; None for `TRIALS`, or for no limit if there is one of time or patience.
        time_s: seconds that the search may take, interruptions left out; no training begins after them, and after a
            quarter of them no more members are drawn that fill the budgets.
        patience: trained candidates after which the search ends, if the front has not moved; see
            `nas.engine.termination`.
        epochs: epochs that each is trained for; None for as many as `evaluators.recipe.brief_epochs`
            says, with early stopping `nas.engine.successive_halving.longer`.
        early_stopping: whether candidates are compared on the way, and only the best go on; see
            `nas.engine.successive_halving`. By default where a limit of time alone ends a search by the evaluator
            `training`, but not of few epochs or images, see `nas.engine.setting`.
        rungs: the epochs after which they are; by default a ninth of the training.
        brackets: at how many rungs, counted from the first, candidates may be judged first; above 1 as in Hyperband.
        batch, augmentation, compile: of the training, see `evaluators.recipe.Recipe`, whose further fields are those
            of a search too.
        seed: of the data split, the strategy and the training.
        workers: candidates that are trained at a time, each in a process with its share of the cores. With more than
            one, what a search proposes depends on which training ends first. By default one; with a limit of time, by
            which that depends on the machine anyway, and the evaluator `training` as many as
            `nas.engine.pool.training_processes` says.
        trial_time_s: seconds that the training of a candidate may take in one trial; it fails after them.
        trial_memory_bytes: of the process that trains it, at its peak, with all that it has loaded.
    """

    space: str = FITTED
    data: str = "fashion-mnist"
    skip_broken: bool = False
    metric: str = ACCURACY
    resolution: int | None = None
    target: str | tuple[str, ...] = "onnxruntime"
    precision: str = FLOAT32
    latency_ms: PerTarget = None
    latency_percentile: PerTarget = None
    latency_p95_ms: PerTarget = None
    images_per_s: PerTarget = None
    macs: int | None = None
    params: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    objectives: tuple[str, ...] = ("accuracy", "latency")
    start: tuple[str, ...] = (AUTO,)
    latency_from: tuple[str, ...] = ()
    strategy: str = "surrogate"
    evaluator: str = "training"
    trials: int | None = None
    time_s: int | float | None = None
    patience: int | None = None
    epochs: int | None = None
    early_stopping: bool | None = None
    rungs: tuple[int, ...] = ()
    brackets: int = 1
    batch: int = Recipe.batch
    augmentation: str = Recipe.augmentation
    compile: str = Recipe.compile
    seed: int = Recipe.seed
    workers: int | None = None
    trial_time_s: int | float | None = None
    trial_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        make_plain(self)
        self._normalise_sequences()
        self._normalise_names()
        self._normalise_start()
        self._check_kinds()
        self._normalise_targets()
        self._check_plugins()
        self._check_objectives()
        self.recipe.require_training()
        self._check_early_stopping()
        self._check_numbers()
        require(not of_script(self.evaluator) or (self.workers in (None, 1) and not self.limited),
                "other processes find an evaluator in its module, but got "
                f"'{self.evaluator}' of a script or notebook: put it into a module")
        self._check_budgets()
        if self.trials is None and self.time_s is None and self.patience is None:
            object.__setattr__(self, "trials", TRIALS)

    def _normalise_sequences(self) -> None:
        """Makes tuples of lists."""
        for name, of in (("objectives", "texts"), ("start", "texts"), ("latency_from", "texts"),
                         ("rungs", "whole numbers")):
            value = getattr(self, name)
            require(isinstance(value, list | tuple), f"`{name}` is a sequence of {of}, but got {value!r}")
            object.__setattr__(self, name, tuple(value))

    def _normalise_names(self) -> None:
        """Makes paths absolute, so that a run is resumed from anywhere, and puts names in the place of plug-ins."""
        for name, known in PLACES.items():
            value = getattr(self, name)
            if isinstance(value, str | Path) and value not in known and exists(path := at_home(value)):
                object.__setattr__(self, name, str(path.absolute()))
        if isinstance(self.data, str) and is_table(self.data):
            head, file = head_and_path(self.data)
            if file:
                object.__setattr__(self, "data", f"{head}{at_home(file).absolute()}")
        object.__setattr__(self, "start", tuple(str(at_home(name).absolute()) if is_run(at_home(name)) else name
                                                for name in self.start))
        object.__setattr__(self, "latency_from", tuple(
            name if name in (PREDICTOR, TIMING) else str(at_home(name).absolute()) for name in self.latency_from))
        for field, rule in (("evaluator", "an evaluator must be a function"), ("strategy", "a strategy must be")):
            if callable(given := getattr(self, field)):
                named = f"{given.__module__}:{getattr(given, '__qualname__', '')}"
                require(not named.endswith(":") and "<" not in named and "." not in named.partition(":")[2],
                        f"{rule} of a module, so that it is found on resuming, but got '{named}'")
                object.__setattr__(self, field, named)

    def _normalise_start(self) -> None:
        """Puts networks that fill the budgets in the place of `auto`, and nothing in that of `none`."""
        tabulated = isinstance(self.data, str) and is_table(self.data)
        start = tuple(name for name in self.start if name != NOTHING)
        if AUTO in start:
            fills = self.space == FITTED and not tabulated
            start = tuple(dict.fromkeys(name for one in start for name in (
                (one,) if one != AUTO else (BY_HAND, FILLED) if fills else ())))
        filling = [name for name in (BY_HAND, FILLED) if name in start]
        require(not filling or not tabulated, f"`start` may be {' and '.join(filling)} where networks are trained, but "
                f"the data are '{self.data}'")
        object.__setattr__(self, "start", start)

    def _normalise_targets(self) -> None:
        """Puts targets, and the values that each of them has, into canonical form."""
        given = (self.target,) if isinstance(self.target, str) else self.target
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        targets = tuple(parse_target(text).text if self.precision == FLOAT32 else in_precision(text, self.precision)
                        for text in given)
        require(0 < len(targets) == len(set(targets)),
                f"targets are different ones, at least one, but got {', '.join(targets) or 'none'}")
        object.__setattr__(self, "target", targets[0] if len(targets) == 1 else targets)
        for name in PER_TARGET:
            value = getattr(self, name)
            numbers = value if isinstance(value, list | tuple) else (value,)
            require(all(one is None or isinstance(one, int | float) for one in numbers),
                    f"`{name}` must be a number, or one or None for each target, but got {value!r}")
            object.__setattr__(self, name, as_given(getattr(self, name)))

    def _check_kinds(self) -> None:
        for field in dataclasses.fields(self):
            if field.type in KINDS:
                kind: Any = field.type
                value = getattr(self, field.name)
                require(isinstance(value, kind) and (not isinstance(value, bool) or kind in (bool, bool | None)),
                        f"`{field.name}` must be {KINDS[kind]}, but got {value!r}")

    def _check_plugins(self) -> None:
        for kind, known, own in (("strategy", STRATEGIES, "module:Name"),
                                 ("evaluator", EVALUATORS, "module:function")):
            name = getattr(self, kind)
            if name not in known and not is_path(name):
                raise unknown(kind, name, [*known, own])

        for name, trains in (("evaluator", self.evaluator == SearchConfig.evaluator),
                             ("data", not is_table(self.data))):
            require(self.precision == FLOAT32 or trains, f"files of {self.precision} are scored of networks that are "
                    f"trained here, but `{name}` is '{getattr(self, name)}'")

    def _check_objectives(self) -> None:
        require_metric(self.metric)
        require(self.metric == ACCURACY or not is_table(self.data),
                f"a metric is of trainings, but got {self.metric} and the data '{self.data}'")
        for objective in self.objectives:
            if objective not in OBJECTIVES:
                raise unknown("objective", objective, OBJECTIVES)
        first, *others = self.objectives or ("",)
        require(first == "accuracy" and "accuracy" not in others and len(others) <= 1,
                f"`objectives` must be accuracy, alone or with one of {', '.join(list(OBJECTIVES)[1:])}, but got "
                f"{','.join(self.objectives) or 'none'}")

    def _check_early_stopping(self) -> None:
        require(all(type(rung) is int for rung in self.rungs),
                f"`rungs` are whole numbers of epochs, but got {', '.join(map(str, self.rungs))}")
        judged = bool(self.rungs) or self.brackets > 1
        require(self.early_stopping is not False or not judged,
                "`rungs` and `brackets` are of early stopping, but got them without it")
        if judged:
            object.__setattr__(self, "early_stopping", True)

    def _check_numbers(self) -> None:
        for name, most in MOST.items():
            value = getattr(self, name)
            require(value is None or value >= 1, f"`{name}` must be at least 1, but got {value}")
            require(value is None or value <= most, f"`{name}` must be at most {most}, but got {value}")
        for name in ("time_s", "trial_time_s"):
            value = getattr(self, name)
            require(value is None or 0 < value < math.inf, f"`{name}` must be positive and finite, but got {value}")
        require(not self.limited or not is_table(self.data),
                f"a limit of a trial is for trainings, but the data are '{self.data}'")

    def _check_budgets(self) -> None:
        for percentile, latency_ms in zip(self.percentiles, self.latencies_ms, strict=True):
            require(latency_ms is None or percentile is None,
                    "a latency budget is given in milliseconds or as a percentile, but got both")
            require(percentile is None or 0 < percentile <= 100,
                    f"a latency percentile must lie in (0, 100], but got p{percentile}")
        timed = bool(self.budgets(self.latency_ms).timed) or self.latency_percentile is not None
        require(timed or not {*self.latency_from} - {TIMING},
                "`latency_from` is for budgets of time, but got none of them")
        require(TIMING not in self.latency_from or len(self.latency_from) == 1,
                f"`latency_from` is {TIMING} or something else, but got {', '.join(self.latency_from)}")

    @property
    def limited(self) -> bool:
        """Tells whether trainings have limits, for which they need a process of their own."""
        return self.trial_time_s is not None or self.trial_memory_bytes is not None

    @property
    def in_turn(self) -> bool:
        """Tells whether candidates are trained one after the other, so that proposals follow from what is measured."""
        return self.workers == 1 or (self.workers is None and not self._trains_by_time)

    @property
    def stops_early(self) -> bool:
        """Tells whether candidates are compared on the way, as far as it does not depend on epochs and images."""
        by_default = self._trains_by_time and self.trials is None and self.patience is None
        return by_default if self.early_stopping is None else self.early_stopping

    @property
    def _trains_by_time(self) -> bool:
        """Tells whether networks are trained for as long as a limit of time allows, so that speed counts."""
        return self.time_s is not None and self.evaluator == SearchConfig.evaluator and not is_table(self.data)

    @property
    def recipe(self) -> Recipe:
        """The training of a candidate, from its first epoch to its last; of the usual length where that is open."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(Recipe)
                    if field.name not in TEACHING}
        return Recipe(**settings | {"epochs": Recipe.epochs if self.epochs is None else self.epochs})

    def _each(self, name: str) -> tuple[float | None, ...]:
        return for_each_target(name, getattr(self, name), len(self.targets))

    @property
    def targets(self) -> tuple[str, ...]:
        """The canonical texts of the targets."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def latencies_ms(self) -> tuple[float | None, ...]:
        """The budget of the latency on each target, where it is given in milliseconds."""
        return self._each("latency_ms")

    @property
    def percentiles(self) -> tuple[float | None, ...]:
        """The percentile that limits the latency on each target."""
        return self._each("latency_percentile")

    def budgets(self, latency_ms: PerTarget) -> Budgets:
        """Returns the budgets, with the latency budgets that percentiles came to."""
        limits = {quantity.field: getattr(self, quantity.field) for quantity in QUANTITIES.values()}
        return Budgets(**{**limits, "latency_ms": latency_ms}, targets=self.targets)

    def differences(self, other: "SearchConfig", alike: Collection[str] = ()) -> list[str]:
        """Returns a line for each field, but those of `CHANGEABLE` and `alike`, that differs from the other's."""
        return [f"{field.name} is {getattr(self, field.name)!r} there, {getattr(other, field.name)!r} here"
                for field in dataclasses.fields(self) if field.name not in (*CHANGEABLE, *alike)
                and getattr(self, field.name) != getattr(other, field.name)]

    def moved(self, before: str, now: str) -> "SearchConfig":
        """Returns the configuration of a run whose directory has moved, with the new places of files that moved along.

        A path that lies to the directory as it lay before counts; one that does not exist there stays as it is.
        """
        def found(text: str) -> str:
            head, path = head_and_path(text)
            if not path.startswith(os.sep):
                return text
            there = os.path.normpath(f"{now}/{os.path.relpath(path, before)}")
            return head + there if exists(there) else text

        return dataclasses.replace(
            self, space=found(self.space), data=found(self.data), start=tuple(map(found, self.start)),
            latency_from=tuple(map(found, self.latency_from)))


def head_and_path(text: str) -> tuple[str, str]:
    """Returns the prefix before the path in a text, and the path: `table:NAME:` and that of its file."""
    kind, _, path = text.removeprefix(PREFIX).partition(":")
    return (f"{PREFIX}{kind}:", path) if is_table(text) else ("", text)


def is_run(name: str | Path) -> bool:
    """Tells whether a search was begun in a directory of this name."""
    return os.path.isfile(os.path.join(name, "run.toml"))  # noqa: PTH113, PTH118 - false for a text too long for a path


def of_script(evaluator: str) -> bool:
    """Tells whether an evaluator is of a script or notebook, where no other process finds it."""
    return evaluator.startswith("__main__:")


def evaluator_named(name: str) -> Make:
    """Returns the factory of a named evaluator; the function that `module:function` names is an evaluator already."""
    if name in EVALUATORS:
        return EVALUATORS[name]
    function = load(name, "an evaluator", "a function")
    require(callable(function), f"an evaluator must name a function, but '{name}' is a {type(function).__name__}")
    return lambda context: function


def toml_lines(values: Mapping[str, Any]) -> str:
    """Returns lines of TOML for texts, numbers, booleans and lists of them; None is left out, or `none` in a list."""
    plain = {name: [NONE if one is None else one for one in value] if isinstance(value, tuple) else value
             for name, value in values.items()}
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in plain.items()
                   if value is not None)
