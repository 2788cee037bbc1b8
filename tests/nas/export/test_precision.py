"""Searches and exports of files of int8."""

import dataclasses
import json

import numpy as np
import onnxruntime
import pytest

import evaluators.training.logistic_regression
import nas.export.certificate
import nas.export.delivery
import nas.export.winner
from evaluators.datasets import load_dataset
from evaluators.latency import Latency
from evaluators.networks.checkpoint import load_network
from evaluators.runtimes import parse_target, runtime_of
from evaluators.runtimes.target import STORED
from evaluators.training.train import evaluate
from nas.api import Run
from nas.engine.prepare import prepare
from nas.engine.search import run_search
from nas.engine.workers import TrainingProcess
from nas.export.finals import play, recorded
from nas.export.train import train
from nas.measuring.inputs import calibration_images
from nas.measuring.scoring import ScoredAsFile, as_shipped
from nas.problem.budgets import Budgets
from nas.run.config import SearchConfig
from nas.run.monitor import Silent
from nas.testing import random_arrays
from search_spaces import InvalidInput
from tests.nas.conftest import ComputedGauge, Lines

INT8 = "onnxruntime:precision=int8"


@pytest.fixture(scope="module")
def run(inputs, tmp_path_factory):
    """A search by files of int8."""
    place = tmp_path_factory.mktemp("int8")
    (place / "space.toml").write_text('scale = "scale_w0.5/1"\nstages = ["conv_k3_c8_s2_relu", "fc"]\n')
    config = SearchConfig(space=str(place / "space.toml"), data=str(inputs / "data.npz"), precision="int8", epochs=2,
                          batch=16, trials=1, strategy="random", objectives=("accuracy", "macs"))
    return Run(run_search(config, place / "run", gauge=ComputedGauge()))


@pytest.fixture
def untrained(monkeypatch):
    """Exports without training and timing, whose files of int8 take 1.3 times as long."""
    once = Latency(1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0)
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", lambda order, *others: (
        random_arrays(order.architecture, seed=0), {"images": 160, "epochs": order.recipe.epochs}))
    monkeypatch.setattr(nas.export.winner, "confirmed", lambda run, candidate, budgets, monitor: candidate)
    monkeypatch.setattr(evaluators.training.logistic_regression, "easy_accuracy", lambda dataset: 0.5)
    monkeypatch.setattr(nas.export.certificate, "measure_once", lambda *arguments, **named: once)
    monkeypatch.setattr(nas.export.delivery, "relative_latency", lambda *arguments: 1.3)


def right(architecture, arrays, data, path):
    """Returns the share of validation images that a file of int8 gets right in onnxruntime."""
    runtime_of(parse_target(INT8)).write(architecture, arrays, path, {}, calibration_images(architecture, data, 0))
    images = ((data.validation.images / 255 - data.mean) / data.std).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.mean(session.run(None, {"image": images.transpose(0, 3, 1, 2)})[0].argmax(-1) == data.validation.labels)


def test_candidates_are_timed_and_scored_as_files_of_int8(run, inputs, tmp_path, nas):
    assert run.config.targets == (INT8,)
    data = load_dataset(str(inputs / "data.npz"))
    images = ((data.validation.images / 255 - data.mean) / data.std).astype(np.float32)
    for candidate in run.candidates():
        network = load_network(run.path / "weights" / f"{candidate.architecture_id}.safetensors")
        assert candidate.accuracy == right(network.architecture, network.arrays(), data, tmp_path / "model.onnx")
        assert candidate.float32_accuracy == np.mean(
            np.asarray(network(images)).argmax(-1) == data.validation.labels)
        assert set(candidate.costs.latencies) == {INT8}
    status, out, _ = nas("pareto", run.path, "--json")
    assert status == 0
    assert {row["float32_accuracy"] for row in json.loads(out)} == {one.float32_accuracy for one in run.candidates()}


def test_each_of_several_workers_scores_files_of_int8(run, gauge, tmp_path):
    config = dataclasses.replace(run.config, workers=2)
    with prepare(config, tmp_path / "run", Silent(), gauge) as search:
        assert {(type(one), type(one.evaluate), one.target.text) for one in search.evaluators} == {
            (ScoredAsFile, TrainingProcess, INT8)}
        assert len(search.evaluators) == 2


def test_finals_judge_files_of_int8_too(run, inputs, tmp_path):
    data = load_dataset(str(inputs / "data.npz"))
    entrant = run.candidates()[0]
    record = tmp_path / "finals.json"
    recipe = dataclasses.replace(run.config.recipe, epochs=2)
    for target, precision in ((INT8, "int8"), ("onnxruntime", "float32")):
        standing = play([entrant], data, recipe, record, Silent(), [as_shipped(evaluate, target, precision)],
                        precision)[entrant.trial]
        assert (standing.precision, standing.accuracy) == (
            precision, entrant.accuracy if precision == "int8" else entrant.float32_accuracy)
    assert [standing.precision for standing in recorded(record)] == ["int8", "float32"], "none takes another's place"


def test_a_run_is_exported_in_another_precision_and_says_where_it_is_slower(make_config, gauge, untrained, nas,
                                                                            tmp_path):
    run = Run(run_search(make_config(trials=3, latency_ms=50.0), tmp_path / "run", gauge=gauge))
    found = run.export(formats=[], epochs=1, finals=1, precision="int8", accuracy_loss=100)
    assert found.directory == run.path / "export-int8"
    entry, = found.certificate["files"]
    assert (entry["file"], entry["target"], found.certificate["targets"]) == ("model-int8.onnx", INT8, [INT8])
    assert found.certificate["budgets"]["latency"]["target"] == INT8
    assert entry["remarks"] == ["slower than its float32 form: 1.30 times its latency, timed in turns"]
    assert nas("report", run.path, "--out", tmp_path / "report.html")[0] == 0
    assert "slower than its float32 form: 1.30 times" in (tmp_path / "report.html").read_text()
    with pytest.raises(InvalidInput, match="unknown precision 'int4'"):
        run.export(precision="int4")


def test_a_named_network_leaves_in_int8_for_every_target(inputs, untrained, tmp_path):
    found = train("in_r12_c1+conv_k3_c8_s2_relu+fc_n2", data=str(inputs / "data.npz"), epochs=1, formats=(),
                  precision="int8", budgets=Budgets(targets=("onnxruntime", "litert:threads=2")),
                  out=tmp_path / "out", accuracy_loss=100)
    assert [entry["target"] for entry in found.certificate["files"]] == [INT8, "litert:threads=2,precision=int8"]


def test_further_formats_have_the_precision_of_the_target_where_their_runtime_has_it_and_others_are_named(
        inputs, untrained, tmp_path):
    monitor = Lines()
    found = train("in_r12_c1+conv_k3_c8_s2_relu+fc_n2", data=str(inputs / "data.npz"), epochs=1, precision="int8",
                  formats=("litert", "stablehlo", "flax"), out=tmp_path / "out", accuracy_loss=100, monitor=monitor)
    assert [entry["file"] for entry in found.certificate["files"]] == [
        "model-int8.onnx", "model-int8.tflite", "model.stablehlo", "model.safetensors"]
    assert any(line.endswith("in float32, as they have no other precision: stablehlo, flax") for line in monitor.lines)


@pytest.mark.parametrize("precision", STORED)
def test_files_of_stored_weights_are_judged_like_those_of_int8_and_never_fine_tuned(precision, inputs, untrained,
                                                                                  monkeypatch, tmp_path, nas):
    monkeypatch.setattr("nas.export.delivery._fine_tuned", lambda *arguments: pytest.fail("only int8 is fine-tuned"))
    found = train("in_r12_c1+conv_k3_c8_s2_relu+fc_n2", data=str(inputs / "data.npz"), epochs=1, formats=(),
                  precision=precision, budgets=Budgets(size_bytes=8000), out=tmp_path / "out", accuracy_loss=100)
    entry, = found.certificate["files"]
    assert (entry["file"], entry["verdict"]) == (f"model-{precision}.onnx", "met")
    assert found.certificate["budgets"]["size"]["measured"] == (tmp_path / "out" / entry["file"]).stat().st_size
    assert entry["relative_latency"] == 1.3
    assert found.certificate["accuracy"]["test"] == entry["test_accuracy"]
    assert "processors" not in entry
    status, out, _ = nas("certify", tmp_path / "out")
    assert (status, "VNNI" in out) == (0, False)


@pytest.mark.parametrize(("arguments", "rule"), [
    (("--precision", "int4"), "unknown precision 'int4'"),
    (("--precision", "float16", "--target", "xla"), "`precision` of xla is float32"),
    (("--precision", "int8", "--target", "xla"), "`precision` of xla is float32"),
    (("--precision", "int8", "--evaluator", "mine:own"), "`evaluator` is 'mine:own'"),
    (("--precision", "int8", "--data", "table:learning-curves"), "`data` is 'table:learning-curves'")])
def test_what_cannot_be_of_int8_is_refused_in_a_line(arguments, rule, nas, tmp_path):
    status, _, err = nas("search", "--run", tmp_path / "run", *arguments)
    assert (status, err.count("\n"), (tmp_path / "run").exists()) == (2, 1, False)
    assert rule in err
