"""A search that is fast and exact: a tiny space, a gauge that computes, an evaluator that is a hash."""

import functools
import itertools
import os
import sys

import alembic.util
import numpy as np
import pytest

from evaluators.evaluator import Score
from evaluators.latency import Latency
from evaluators.machine.memory import TUNABLES
from evaluators.registry import EVALUATORS
from nas import cli
from nas.engine.search import run_search
from nas.run.config import SearchConfig
from nas.run.monitor import Silent
from nas.strategies import STRATEGIES
from search_spaces import load_space

SPACE = """\
scale = "scale_w0.5/1"
stages = [
    "conv_k3_c8_s2_relu",
    "mb_k3/5_e3_c8/16_s1_se0/0.25_relu_x1/2",
    "head_c16_relu",
]
"""


@pytest.fixture(scope="session", autouse=True)
def revisions_loaded_once():
    """Alembic executes all scripts of Optuna's schema anew for each storage, a third of the time of a short search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alembic.util, "load_python_file", functools.cache(alembic.util.load_python_file))
        yield


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A directory with `space.toml` and `data.npz`: 12x12 images of two classes that are easy to tell apart."""
    directory = tmp_path_factory.mktemp("inputs")
    (directory / "space.toml").write_text(SPACE)
    generator, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 120), ("val", 40), ("test", 40)):
        labels = np.arange(count) % 2
        images = generator.integers(0, 128, (count, 12, 12)) + 100 * labels[:, None, None]
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels}
    np.savez(directory / "data.npz", **arrays)
    return directory


@pytest.fixture(scope="session")
def table_run(tmp_path_factory):
    """The directory of a search of a published table, in which nothing is to be written."""
    config = SearchConfig(space="learning-curves", data="table:learning-curves", objectives=("accuracy", "macs"),
                          strategy="random", trials=12)
    return run_search(config, tmp_path_factory.mktemp("table") / "run").path


@pytest.fixture(scope="session")
def bound_space(inputs):
    """The space of `space.toml` on the data of `data.npz`."""
    return load_space(str(inputs / "space.toml")).bind(12, 1, 2)


@pytest.fixture(scope="session")
def all_members(bound_space):
    """Every architecture of the space, by its id."""
    names = bound_space.parameters
    found = (bound_space.decode(dict(zip(names, values, strict=True)))
             for values in itertools.product(*names.values()))
    return {architecture.id: architecture for architecture in found}


class Lines(Silent):
    """A monitor that keeps its lines."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


class ComputedGauge:
    """A latency of a microsecond for each thousand MACs, known to 2 %; a file of the weights and a kilobyte."""

    def __init__(self):
        self.timed = []

    def size_bytes(self, architecture):
        return 4 * architecture.params + 1000

    def latency(self, architecture, precision=None):
        self.timed.append(architecture.id)
        latency_ms = architecture.macs / 1e6
        return Latency(latency_ms, 0.98 * latency_ms, 1.02 * latency_ms, latency_ms, 10, 0.0, 0.1, 0.1, 0.0)


class HashEvaluator:
    """An accuracy out of 1,000 images that is a hash of the architecture, and an array to keep."""

    def __init__(self):
        self.trained = []

    def __call__(self, architecture, data, fidelity):
        self.trained.append(architecture.id)
        return Score(self.accuracy(architecture), 1000, {"hash": np.array([int(architecture.id[:6], 16)])})

    @staticmethod
    def accuracy(architecture):
        return int(architecture.id, 16) % 1001 / 1000


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in STRATEGIES])
def strategy(request):
    """The name of each strategy; that which needs PyTorch is slow."""
    if request.param == "gp":
        pytest.importorskip("torch")
    return request.param


@pytest.fixture
def gauge():
    return ComputedGauge()


@pytest.fixture
def evaluator(monkeypatch):
    """The evaluator of `make_config`, which notes what it is asked."""
    made = HashEvaluator()
    monkeypatch.setitem(EVALUATORS, "hash", lambda context: made)
    return made


@pytest.fixture
def make_config(inputs, evaluator):
    """Makes configurations of the fast search."""
    def make(**changes):
        return SearchConfig(**({"space": str(inputs / "space.toml"), "data": str(inputs / "data.npz"),
                                "evaluator": "hash", "epochs": 3, "trials": 8, "strategy": "random"} | changes))
    return make


@pytest.fixture
def nas(monkeypatch, capfd):
    """Runs the command line in this process: `nas(*arguments)` are the exit status, the output and the errors."""
    monkeypatch.setenv(TUNABLES, os.environ.get(TUNABLES, ""))  # so that the process is not replaced

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return ended.value.code, out, err
    return call
