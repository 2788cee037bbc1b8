import os
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.machine.memory import TUNABLES
from nas.cli import search
from nas.cli.app import app
from nas.report.command import command_of
from nas.run.config import SearchConfig

TARGETS = ("onnxruntime", "litert:threads=2")


def repeated(config, monkeypatch):
    """Returns the configuration that the command line makes of a command."""
    made = []
    monkeypatch.setenv(TUNABLES, os.environ.get(TUNABLES, ""))  # so that the process is not replaced
    monkeypatch.setattr(search, "_search", lambda config, *others: made.append(config))
    app(shlex.split(command_of(config))[1:], standalone_mode=False)
    return made[0]


configs = st.builds(
    SearchConfig, latency_ms=st.none() | st.floats(1e-6, 1e3), macs=st.none() | st.integers(1, 10**15),
    size_bytes=st.none() | st.integers(1, 10**12), images_per_s=st.none() | st.floats(1, 10**6).map(int),
    latency_p95_ms=st.none() | st.floats(1e-6, 1e3), seed=st.integers(0, 2**31),
    objectives=st.sampled_from([("accuracy",), ("accuracy", "macs")]), workers=st.integers(1, 4),
    trials=st.none() | st.integers(1, 10**6), time_s=st.none() | st.integers(1, 99) | st.floats(1e-3, 1e6),
    patience=st.none() | st.integers(1, 99), resolution=st.none() | st.integers(1, 500), epochs=st.integers(1, 99),
    strategy=st.sampled_from(["random", "surrogate"]), augmentation=st.sampled_from(["none", "shift"]),
    start=st.sampled_from([("auto",), (), ("by-hand",), ("mobilenet_v1", "filled")]))


@settings(deadline=None, max_examples=25)
@given(configs)
def test_the_command_line_makes_the_configuration_of_its_command_again(config):
    with pytest.MonkeyPatch.context() as patch:
        assert repeated(config, patch) == config


@pytest.mark.parametrize("changes", [
    {"target": TARGETS, "latency_ms": (0.1, None), "latency_percentile": (None, 30.5), "latency_from": ("predictor",)},
    {"target": TARGETS, "latency_ms": (0.1, 1e-5), "latency_p95_ms": (None, 2.0)},
    {"early_stopping": False, "time_s": 60},
    {"early_stopping": True, "rungs": (1, 2), "brackets": 2, "skip_broken": True, "compile": "blocks", "batch": 32},
    {"data": "table:learning-curves", "start": (), "space": "mobile", "evaluator": "mine:score", "memory_bytes": 1}])
def test_what_few_searches_have_is_in_the_command_too(changes, monkeypatch):
    config = SearchConfig(**changes)
    assert repeated(config, monkeypatch) == config


def test_what_is_by_default_is_left_out():
    assert command_of(SearchConfig()) == "nas search"
    assert command_of(SearchConfig(early_stopping=False)) == "nas search"
    assert command_of(SearchConfig(early_stopping=False, time_s=60)) == "nas search --time 60s --no-early-stopping"
    assert command_of(SearchConfig(data="/my photos", trials=30)) == "nas search --data '/my photos' --trials 30"
