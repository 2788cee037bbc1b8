"""A search, its table, its record and its export by another metric than the accuracy."""

import numpy as np
import onnxruntime
import pytest

import nas.export.certificate as nas_certificate
from evaluators.datasets import load_dataset
from evaluators.latency import Latency
from evaluators.networks.checkpoint import load_network
from evaluators.recipe import Recipe
from nas.api import Run
from nas.engine.search import run_search
from nas.export.train import train
from nas.export.uncompressed import uncompressed
from nas.report.certificate import certificate_report
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from nas.run.monitor import Silent
from search_spaces import InvalidInput
from tests.nas.conftest import ComputedGauge

COUNTS = {"train": (80, 16, 8), "val": (60, 12, 6), "test": (60, 12, 6)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of three classes that are hard to tell apart, most of them of the first."""
    generator, arrays = np.random.default_rng(0), {}
    for part, counts in COUNTS.items():
        labels = np.repeat(np.arange(3), counts)
        images = generator.integers(0, 190, (len(labels), 12, 12)) + 32 * labels[:, None, None]
        arrays |= {f"x_{part}": images.astype(np.uint8), f"y_{part}": labels}
    place = tmp_path_factory.mktemp("rare") / "data.npz"
    np.savez(place, **arrays)
    return place


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A search by the macro F1."""
    place = tmp_path_factory.mktemp("rare run")
    (place / "space.toml").write_text('scale = "scale_w0.5/1"\nstages = ["conv_k3_c8_s2_relu", "fc"]\n')
    config = SearchConfig(space=str(place / "space.toml"), data=str(data), metric="macro-f1", epochs=3, batch=16,
                          trials=2, strategy="random", objectives=("accuracy", "macs"), class_weights="balanced")
    return Run(run_search(config, place / "run", gauge=ComputedGauge()))


def macro_f1(predicted, labels):
    """Returns the mean harmonic mean of precision and recall, from their definitions."""
    found = []
    for label in range(3):
        right = np.sum((predicted == label) & (labels == label))
        precision, recall = right / max(1, np.sum(predicted == label)), right / np.sum(labels == label)
        found.append(2 * precision * recall / (precision + recall) if right else 0.0)
    return np.mean(found)


def test_the_metric_is_what_trials_are_told_of_and_tables_name(run, data, nas):
    images, candidates = load_dataset(str(data)), run.candidates()
    normalised = ((images.validation.images / 255 - images.mean) / images.std).astype(np.float32)
    for candidate in candidates:
        network = load_network(run.path / "weights" / f"{candidate.architecture_id}.safetensors")
        predicted = np.asarray(network(normalised)).argmax(-1)
        assert candidate.accuracy == pytest.approx(macro_f1(predicted, images.validation.labels))
        assert 1 < candidate.total <= 9 / (1 / 60 + 1 / 12 + 1 / 6) < 78  # images, at most
    status, out, _ = nas("pareto", run.path)
    assert status == 0
    assert "macro F1 (%)" in out
    assert "accuracy" not in out
    assert nas("report", run.path, "--out", run.path / "report.html")[0] == 0
    assert "macro F1 on validation images (%)" in (run.path / "report.html").read_text()
    assert 'metric = "macro-f1"' in (run.path / "run.toml").read_text()
    status, _, err = nas("search", "--run", run.path, "--metric", "accuracy")
    assert (status, err.count("\n")) == (2, 1)
    assert "metric is 'macro-f1' there, 'accuracy' here" in err


def test_a_certificate_has_the_metric_beside_the_accuracy_and_judges_by_it(run, data, monkeypatch):
    monkeypatch.setattr(nas_certificate, "measure_once", lambda *arguments, **named: Latency(
        1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))
    exported = run.export(formats=["flax"], epochs=4, finals=1, seeds=2)
    found = exported.certificate
    arrays = np.load(data)
    train = arrays["x_train"] / 255
    images = ((arrays["x_test"] / 255 - train.mean()) / train.std()).astype(np.float32)
    session = onnxruntime.InferenceSession(run.path / "export/model.onnx", providers=["CPUExecutionProvider"])
    predicted = session.run(None, {"image": images[:, None]})[0].argmax(-1)
    assert found["accuracy"]["test"] == np.mean(predicted == arrays["y_test"])
    metric = found["accuracy"]["metric"]
    assert (metric["name"], metric["test"]) == ("macro-f1", pytest.approx(macro_f1(predicted, arrays["y_test"])))
    assert metric["test_ci"][0] < metric["test"] < metric["test_ci"][1]
    assert metric["logistic_regression"] != found["accuracy"]["logistic_regression"]
    assert found["files"][0]["test_metric"] == metric["test"] != found["files"][0]["test_accuracy"]
    smaller = uncompressed(str(run.path / "export"), str(data), Recipe(), Silent())
    assert smaller.dataset.metric == "macro-f1", "what comes of it is judged by its metric too"
    said = "".join(map(str, certificate_report(found, exported.directory).renderables))
    assert f"is delivered: macro F1 {100 * found['accuracy']['over_seeds']['mean']:.2f} % on average" in said


def test_files_lose_what_they_lose_by_the_metric():
    entry = {"test_accuracy": 0.9, "test_metric": 0.5}
    accuracy = {"network": 0.9, "metric": {"name": "macro-f1", "network": 0.75}}
    assert nas_certificate.lost_points({"accuracy": accuracy}, entry) == 25.0
    assert nas_certificate.lost_points({"accuracy": {"network": 0.9}}, {"test_accuracy": 0.875}) == pytest.approx(2.5)


def test_a_run_of_before_there_were_metrics_is_of_the_accuracy(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=2), tmp_path / "run", gauge=gauge)
    file = run.path / "run.toml"
    text = file.read_text()
    file.write_text(text.replace('metric = "accuracy"\n', ""))
    assert file.read_text() != text
    assert RunDirectory(run.path).config.metric == "accuracy"


@pytest.mark.parametrize(("arguments", "rule"), [
    (("--metric", "top5"), "'top5' is for data of more than 5 classes, but got 3"),
    (("--metric", "f1"), "macro-f1"),
    (("--metric", "macro-f1", "--data", "table:learning-curves"), "a metric is of trainings")])
def test_a_metric_that_does_not_fit_is_refused_in_a_line(arguments, rule, nas, data, tmp_path):
    status, _, err = nas("search", "--data", data, "--run", tmp_path / "run", *arguments)
    assert (status, err.count("\n"), (tmp_path / "run").exists()) == (2, 1, False)
    assert rule in err


def test_a_network_without_data_has_no_metric(tmp_path):
    with pytest.raises(InvalidInput, match="a metric is of data, but got macro-f1 and none"):
        train("mobilenet_v1_0.25", epochs=0, metric="macro-f1", out=tmp_path / "out")
