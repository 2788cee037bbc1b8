"""Every entry of every registry keeps its contract, and the contract checks find what breaks it."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import optuna
import pytest

from evaluators.evaluator import Context, Score
from evaluators.recipe import Recipe
from evaluators.registry import EVALUATORS
from evaluators.runtimes import RUNTIMES, Argument, Place, is_installed
from nas.export.formats import FORMATS
from nas.testing import SPACE, check_evaluator, check_runtime, check_strategy, random_arrays, two_classes


@pytest.mark.parametrize("name", EVALUATORS)
def test_every_evaluator_keeps_the_contract(name, tmp_path):
    check_evaluator(EVALUATORS[name](Context(SPACE, two_classes(), tmp_path, Recipe(epochs=1, batch=8))))


@pytest.mark.parametrize("name", [*filter(is_installed, RUNTIMES)])
def test_every_runtime_keeps_the_contract(name):
    check_runtime(RUNTIMES[name])


def test_the_format_of_every_runtime_can_be_exported():
    assert {runtime.format for runtime in RUNTIMES.values()} <= FORMATS.keys()


def by_size(architecture, data, fidelity):
    return 1 / (1 + architecture.params)


def peeping(architecture, data, fidelity):
    return float(data.test.images.mean() / 255)


def forgetful(architecture, data, fidelity, calls=iter(range(100))):  # noqa: B008 - shared on purpose
    return next(calls) / 100


def partial(architecture, data, fidelity):
    return Score(0.5, 3)


def strange_arrays(architecture, data, fidelity):
    arrays = random_arrays(architecture, 0)
    return Score(0.5, arrays={**arrays, next(iter(arrays)): np.zeros(1, np.float32)})


def scribbling(architecture, data, fidelity):
    data.train.images[0] = 0
    return 0.5


def amnesic(architecture, data, fidelity):
    done = int(fidelity.checkpoint.get("epochs", 0))
    return Score((fidelity.epochs - done) / 10, checkpoint={"epochs": np.array(fidelity.epochs)})


def test_a_function_of_a_user_that_keeps_the_contract_passes():
    check_evaluator(by_size)
    check_evaluator(forgetful, deterministic=False)


@pytest.mark.parametrize(("evaluate", "rule"), [
    (forgetful, "equal scores"),
    (peeping, "test images"),
    (amnesic, "as one that was not stopped"),
    (partial, "share of `total`"),
    (strange_arrays, "those of the architecture"),
    (scribbling, "leave the images"),
    (lambda architecture, data, fidelity: "high", "Score or a float"),
    (lambda architecture, data, fidelity: 95.0, r"in \[0, 1\]"),
])
def test_an_evaluator_that_breaks_a_rule_is_found(evaluate, rule):
    with pytest.raises((AssertionError, ValueError), match=rule):
        check_evaluator(evaluate)


class Stubborn(optuna.samplers.RandomSampler):
    """Fails where no trial has succeeded."""

    def sample_relative(self, study, trial, search_space):
        assert trial.number < 5 or study.best_trials
        return super().sample_relative(study, trial, search_space)


class Outside(optuna.samplers.RandomSampler):
    """Proposes what the space lacks."""

    def sample_relative(self, study, trial, search_space):
        return {"stage1.layer0.kernel": 9}


class Counting:
    """Proposes another member each time that it is asked, whatever the history."""

    continues_stopped = False

    def __init__(self, problem):
        self.members, self.asked = problem.space.enumerated(100), -1

    def propose(self, history, running, generator):
        self.asked += 1
        return self.members[self.asked % len(self.members)]


class Collecting(Counting):
    """Remembers the candidates that it was shown, so that a new instance proposes others."""

    def __init__(self, problem):
        super().__init__(problem)
        self.shown = set()

    def propose(self, history, running, generator):
        self.shown.update(candidate.trial for candidate in history[-1:])
        return self.members[len(self.shown) % len(self.members)]


@pytest.mark.parametrize(("strategy", "error"), [
    (lambda seed, problem: optuna.samplers.RandomSampler(), "one seed"), (lambda seed, problem: Outside(seed), ""),
    (lambda seed, problem: Stubborn(seed), ""), (Counting, "from history, running candidates and generator alone"),
    (Collecting, "whether the strategy is new or old")])
def test_a_strategy_that_breaks_a_rule_is_found(strategy, error):
    with pytest.raises((AssertionError, ValueError, KeyError), match=error or None):
        check_strategy(strategy, trials=10)


@dataclasses.dataclass(frozen=True)
class Changed:
    """ONNX Runtime, except for what a test changes."""

    writes: object = None
    place: Place = Place.APART
    argument: Argument = Argument.NONE
    suffix: str = ".onnx"
    module: str = "onnxruntime"
    options: tuple[str, ...] = ("threads", "batch")
    format: str = "onnx"
    input_layout: str = "float32 [batch, channels, height, width]"

    def bound(self, target):
        return self

    def versions(self):
        return {"mine": "1"}

    def write(self, architecture, arrays, path, metadata, images=None, *, inside=False):
        (self.writes or RUNTIMES["onnxruntime"].write)(architecture, arrays, path, metadata, inside=inside)

    def load(self, path, options):
        return RUNTIMES["onnxruntime"].load(path, options)


def other_weights(architecture, arrays, path, metadata, inside):
    scaled = {name: array * 1.01 if name.endswith("/kernel") else array for name, array in arrays.items()}
    RUNTIMES["onnxruntime"].write(architecture, scaled, path, metadata)


def untidy(architecture, arrays, path: Path, metadata, inside):
    path.with_suffix(".tmp").touch()
    RUNTIMES["onnxruntime"].write(architecture, arrays, path, metadata)


def half_written(architecture, arrays, path: Path, metadata, inside):
    path.write_bytes(b"half")
    RUNTIMES["onnxruntime"].write(architecture, arrays, path, metadata)


def with_the_time(architecture, arrays, path, metadata, inside):
    RUNTIMES["onnxruntime"].write(architecture, arrays, path, metadata | {"time": str(time.time_ns())})


def without_normalisation(architecture, arrays, path, metadata, inside):
    RUNTIMES["onnxruntime"].write(architecture, arrays, path, metadata)


def test_a_runtime_of_a_user_that_keeps_the_contract_passes():
    check_runtime(Changed())


@pytest.mark.parametrize(("runtime", "rule"), [
    (Changed(other_weights), "those of the Flax module"),
    (Changed(untidy), "one file"),
    (Changed(half_written), "old file whole"),
    (Changed(with_the_time), "the same bytes"),
    (Changed(without_normalisation), "those of the Flax module"),
    (Changed(suffix="onnx"), "begin with a dot"),
    (Changed(module="onnxruntimes"), "installed library"),
    (Changed(options=("threds",)), "names of `Options`, but got threds"),
])
def test_a_runtime_that_breaks_a_rule_is_found(runtime, rule):
    with pytest.raises(AssertionError, match=rule):
        check_runtime(runtime)
