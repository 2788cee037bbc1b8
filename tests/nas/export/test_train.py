"""A network that is named is trained and delivered."""

import json

import numpy as np
import onnxruntime
import pytest

import nas
import nas.export.certificate
import nas.export.delivery
import nas.export.train
from evaluators.latency import Latency
from evaluators.networks.checkpoint import load_arrays, save_network
from nas.problem.budgets import Budgets
from nas.report.certificate import certificate_report
from nas.run.monitor import Silent
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput
from search_spaces.zoo import load_network

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2")
OTHER_CLASSES = Architecture.parse(NETWORK.text.replace("_n2", "_n7"))


class Lines(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def untimed(monkeypatch):
    """Every file takes a millisecond."""
    monkeypatch.setattr(nas.export.certificate, "measure_once",
                        lambda *arguments, **named: Latency(1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))


@pytest.fixture
def data(inputs):
    return str(inputs / "data.npz")


def saved(architecture, path):
    arrays = random_arrays(architecture, seed=3)
    save_network(architecture, arrays, path)
    return arrays


def test_a_text_is_trained_written_and_certified(data, untimed, tmp_path):
    exported = nas.train(NETWORK.text, data=data, epochs=3, batch=16, budgets=Budgets(macs=NETWORK.macs),
                         compile="network", out=tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert (stored["verdict"], exported.met) == ("met", True)
    assert (stored["architecture"], stored["network"]) == (NETWORK.text, NETWORK.id)
    assert [entry["file"] for entry in stored["files"]] == ["model.onnx", "model.safetensors"]
    assert stored["training"]["compiled"] == "network"
    assert stored["training"]["images"] == 160  # training and validation, never the test images

    with np.load(data) as arrays:  # the stored accuracy is that of the file on test images prepared by hand
        train, test, labels = arrays["x_train"] / 255, arrays["x_test"] / 255, arrays["y_test"]
    images = ((test - train.mean()) / train.std()).astype(np.float32)[:, None]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    assert stored["accuracy"]["test"] == np.mean(logits.argmax(-1) == labels) > 0.9


def test_a_file_goes_on_from_its_arrays_and_without_epochs_is_exported_as_it_is(data, untimed, tmp_path):
    arrays = saved(NETWORK, tmp_path / "mine.safetensors")
    for epochs in (0, 1):
        exported = nas.train(str(tmp_path / "mine.safetensors"), data=data, epochs=epochs, out=tmp_path / "out")
        found = load_arrays(exported.directory / "model.safetensors")[1]
        same = [np.allclose(found[name], arrays[name], atol=0.1) for name in arrays if name.endswith("/scale")]
        assert all(same), "a learning rate of 0.006 moves scales a little"
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays) == (epochs == 0)
    assert exported.certificate["accuracy"]["images"] == 40


def test_a_classifier_of_other_classes_is_drawn_anew_and_all_else_kept(data, untimed, tmp_path):
    arrays, monitor = saved(OTHER_CLASSES, tmp_path / "mine.safetensors"), Lines()
    exported = nas.train(str(tmp_path / "mine.safetensors"), data=data, epochs=0, out=tmp_path / "out", monitor=monitor)
    architecture, found = load_arrays(exported.directory / "model.safetensors")
    assert architecture == NETWORK
    changed = {name for name in arrays if not np.array_equal(found[name], arrays[name])}
    assert changed == {"2.head/classifier/dense/kernel", "2.head/classifier/dense/bias"}
    (line,) = (line for line in monitor.lines if line.startswith("drawn anew, since the data have 1 channels and 2"))
    assert all(name in line for name in changed)


@pytest.mark.parametrize(("network", "resolution", "expected"), [
    ("mobilenet_v1_0.25", None, load_network("mobilenet_v1_0.25", 12, 1, 2).text),
    (NETWORK.text.replace("r12", "r20"), None, NETWORK.text.replace("r12", "r20")),
    (NETWORK.text.replace("r12", "r20"), 8, NETWORK.text.replace("r12", "r8")),
])
def test_a_published_network_is_put_to_the_data_and_another_keeps_its_resolution(
        network, resolution, expected, data, tmp_path, monkeypatch):
    orders = []
    monkeypatch.setattr(nas.export.train, "deliver", lambda order, *others: orders.append(order))
    nas.train(network, data=data, resolution=resolution, out=tmp_path / "out")
    assert [(order.architecture.text, order.dataset.resolution) for order in orders] == [
        (expected, Architecture.parse(expected).input.resolution)]


def test_without_data_a_network_is_exported_as_it_is_and_no_accuracy_is_stated(untimed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exported = nas.train(NETWORK.text, resolution=16, classes=5, epochs=0,
                         budgets=Budgets(latency_ms=2.0, targets=("litert:threads=1",)))
    assert str(exported.directory) == f"{NETWORK.id}.trained"
    stored = exported.certificate
    assert stored["architecture"] == NETWORK.text.replace("r12", "r16").replace("n2", "n5")
    assert (stored["accuracy"], stored["data"], stored["verdict"]) == (None, None, "met")
    assert stored["targets"] == ["litert"]  # in its canonical form
    assert [entry["compared_images"] for entry in stored["files"]] == [8, 8]
    assert all(entry["max_abs_difference"] < 1e-4 for entry in stored["files"])
    assert stored["preprocessing"] == {"architecture": stored["architecture"]}
    assert "accuracy" not in "".join(map(str, certificate_report(stored, exported.directory).renderables))


@pytest.mark.parametrize("limit", [{"macs": NETWORK.macs - 1}, {"latency_ms": 1e-6}])
def test_a_network_over_a_budget_is_not_trained(limit, data, tmp_path, monkeypatch):
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", None)
    with pytest.raises(InvalidInput, match=r"meets its budgets, but got (macs|latency) .* over its budget"):
        nas.train(NETWORK.text, data=data, budgets=Budgets(**limit), out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "rule"), [
    ({"network": "mobilenet_v1_0.24"}, "did you mean 'mobilenet_v1_0.25'"),
    ({"network": "in_r12_c1+conv_k4_c8_s2_relu+head_c16_relu_n2"}, "`kernel` must be odd"),
    ({"network": "none.safetensors"}, "read from a safetensors file"),
    ({"data": "nowhere"}, "unknown data set 'nowhere'"),
    ({"classes": 3}, "`classes` is for networks that are exported without data, but got 3"),
    ({"epochs": -1}, "`epochs` must not be negative"),
    ({"batch": 0}, "`batch` must be at least 1"),
    ({"seed": -1}, "`seed` must not be negative"),
    ({"augmentation": "zoom"}, "unknown augmentation 'zoom'"),
    ({"compile": "all"}, "unknown way to compile 'all'"),
    ({"formats": ["tflite"]}, "unknown format 'tflite'"),
    ({"budgets": Budgets(targets=("onnx",))}, "unknown runtime 'onnx'"),
    ({"network": "squeezenet_1.1", "resolution": 4}, "pixel"),
    ({"resolution": 0}, "`resolution` must be at least 1"),
])
def test_what_cannot_be_trained_is_refused_and_nothing_written(arguments, rule, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", None)
    given = {"network": NETWORK.text, "data": data} | arguments
    with pytest.raises(InvalidInput) as error:
        nas.train(given.pop("network"), **given)
    assert rule in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
