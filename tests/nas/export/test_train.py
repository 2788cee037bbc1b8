"""A network that is named is trained and delivered."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import nas
import nas.export.certificate
import nas.export.comparison
import nas.export.delivery
import nas.export.train
import nas.export.trained
import nas.measuring.inputs
from evaluators.datasets import load_dataset
from evaluators.latency import MeasurementFailed, Precision
from evaluators.machine.locks import training_turn
from evaluators.networks.checkpoint import load_arrays, save_network
from evaluators.recipe import Recipe
from nas.export.delivery import Order, deliver
from nas.export.named_network import name_of
from nas.export.uncompressed import uncompressed
from nas.problem.budgets import Budgets
from nas.report.certificate import certificate_report
from nas.run.config import SearchConfig
from nas.run.directory import Resolved, RunDirectory
from nas.run.monitor import Silent
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput
from search_spaces.zoo import load_network
from tests.nas.conftest import Lines

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c8_s2_relu+mb_k3_e3_c8_s1_se0_relu+head_c16_relu_n2")
FOUR_CLASSES = NETWORK.text.replace("_n2", "_n4")
OTHER_CLASSES = Architecture.parse(NETWORK.text.replace("_n2", "_n7"))


def saved(architecture, path):
    arrays = random_arrays(architecture, seed=3)
    save_network(architecture, arrays, path)
    return arrays


def test_a_text_is_trained_written_and_certified(data, untimed, tmp_path):
    exported = nas.train(NETWORK.text, data=data, epochs=3, batch=16, budgets=Budgets(macs=NETWORK.macs),
                         compile="network", label_smoothing=0.05, out=tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert (stored["verdict"], exported.met) == ("met", True)
    assert (stored["architecture"], stored["network"]) == (NETWORK.text, NETWORK.id)
    assert [entry["file"] for entry in stored["files"]] == ["model.onnx", "model.safetensors"]
    assert stored["training"]["compiled"] == "network"
    assert stored["training"]["recipe"] == {"batch": 16, "augmentation": "shift", "label_smoothing": 0.05}
    assert stored["training"]["images"] == 160  # training and validation, never the test images

    with np.load(data) as arrays:  # the stored accuracy is that of the file on test images prepared by hand
        train, test, labels = arrays["x_train"] / 255, arrays["x_test"] / 255, arrays["y_test"]
    images = ((test - train.mean()) / train.std()).astype(np.float32)[:, None]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    assert stored["accuracy"]["test"] == np.mean(logits.argmax(-1) == labels) > 0.9


def test_a_network_is_taught_and_its_certificate_says_by_which(data, untimed, tmp_path):
    saved(NETWORK, tmp_path / "big.safetensors")
    big = str(tmp_path / "big.safetensors")
    exported = nas.train(NETWORK.text, data=data, epochs=1, batch=16, compile="network", distillation_weight=0.9,
                         teacher=[big, big], out=tmp_path / "out")
    training = exported.certificate["training"]
    teacher = {"name": "big.safetensors", "sha256": hashlib.sha256(Path(big).read_bytes()).hexdigest()}
    assert training["teachers"] == [teacher, teacher]
    assert (training["recipe"]["distillation_weight"], training["recipe"]["distillation_temperature"]) == (0.9, 4)
    for arguments, rule in (({"epochs": 0}, "a teacher needs a training"), ({"teacher": "front"}, "without a run")):
        with pytest.raises(InvalidInput, match=rule):
            nas.train(NETWORK.text, **{"data": data, "teacher": big, "out": tmp_path / "other"} | arguments)
    assert not (tmp_path / "other").exists()


def test_a_file_goes_on_from_its_arrays_and_without_epochs_is_exported_as_it_is(data, untimed, tmp_path):
    arrays = saved(NETWORK, tmp_path / "mine.safetensors")
    for epochs in (0, 1):
        exported = nas.train(str(tmp_path / "mine.safetensors"), data=data, epochs=epochs, batch=16,
                             out=tmp_path / "out")
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
    (line,) = (line for line in monitor.lines if line.startswith("drawn anew, since the data have 1 channel and 2"))
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


@pytest.mark.parametrize(("file", "name"), [
    ("mine.safetensors", "mine"), ("x/mine.safetensors", "mine"), ("small/model.safetensors", "small"),
    ("run/export/model.safetensors", "run"), ("run/export-0123/model.safetensors", "run-export-0123"),
    ("run/compressed/model.safetensors", "run-compressed"), ("link/model.safetensors", "run"),
    ("small/../other/export/model.safetensors", "export"), ("/model.safetensors", "model")])
def test_a_file_is_called_by_what_tells_it_from_others(file, name, tmp_path):
    RunDirectory(tmp_path / "run").write(SearchConfig(), Resolved("", 28, 1, 10, "", ""))
    (tmp_path / "link").symlink_to(tmp_path / "run" / "export")
    assert name_of(tmp_path / file) == name


def test_exports_of_two_runs_are_trained_and_compressed_into_two_places(data, untimed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        RunDirectory(tmp_path / name).write(SearchConfig(), Resolved("", 28, 1, 10, "", ""))
        (tmp_path / name / "export").mkdir()
        saved(NETWORK, tmp_path / name / "export" / "model.safetensors")
        assert str(nas.train(f"{name}/export/model.safetensors", epochs=0).directory) == f"{name}.trained"
        source = uncompressed(f"{name}/export", data, Recipe(), Silent())
        assert (source.name, str(source.directory)) == (name, f"{name}.compressed")


def test_a_network_that_no_turn_comes_to_time_is_trained_and_judged_afterwards(data, tmp_path, monkeypatch):
    monkeypatch.setattr(nas.export.train, "WAIT_S", 0.05)
    orders, lines = [], Lines()
    monkeypatch.setattr(nas.export.train, "deliver", lambda order, *others: orders.append(order))
    with training_turn():  # of somebody who never gives way
        nas.train(NETWORK.text, data=data, budgets=Budgets(latency_ms=50.0), out=tmp_path / "out", monitor=lines)
    assert [order.architecture for order in orders] == [NETWORK]
    assert "not timed before its training: other processes train or measure" in lines.lines[-1]


@pytest.mark.parametrize("limit", [{"macs": NETWORK.macs - 1}, {"latency_ms": 1e-6}])
def test_a_network_over_a_budget_is_not_trained(limit, data, tmp_path, monkeypatch):
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", None)
    with pytest.raises(InvalidInput, match=r"meets its budgets, but got (macs|latency) .* over its budget"):
        nas.train(NETWORK.text, data=data, budgets=Budgets(**limit), out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "rule"), [
    ({"network": "mobilenet_v1_0.24"}, "did you mean 'mobilenet_v1_0.25'"),
    ({"network": "in_r12_c1+conv_k4_c8_s2_relu+head_c16_relu_n2"}, "`kernel` must be odd"),
    ({"network": "none.safetensors"}, "must be a readable safetensors file"),
    ({"data": "nowhere"}, "unknown data set 'nowhere'"),
    ({"classes": 3}, "`classes` is for networks that are exported without data, but got 3"),
    ({"epochs": -1}, "`epochs` must not be negative"),
    ({"batch": 0}, "`batch` must be at least 1"),
    ({"seed": -1}, "`seed` must not be negative"),
    ({"seeds": 0}, "`seeds` must be at least 1, but got 0"),
    ({"seeds": 10**8}, "`seeds` must be at most 1000, but got 100000000"),
    ({"accuracy_loss": float("nan")}, "`accuracy_loss` must not be negative, but got nan"),
    ({"seeds": 2, "epochs": 0}, "several seeds need a training, but got 2 for 0 epochs"),
    ({"seeds": 2, "seed": 2**32 - 1}, "seeds are numbers up to 4294967295, but got 2 from 4294967295 on"),
    ({"augmentation": "zoom"}, "unknown augmentation 'zoom'"),
    ({"compile": "all"}, "unknown way to compile 'all'"),
    ({"formats": ["tflite"]}, "unknown format 'tflite'"),
    ({"budgets": Budgets(targets=("onnx",))}, "unknown runtime 'onnx'"),
    ({"network": "squeezenet_1.1", "resolution": 4}, "pixel"),
    ({"resolution": 0}, "`resolution` must be at least 1"),
    ({"preprocess_inside": True, "data": None, "epochs": 0}, "`preprocess_inside` needs data"),
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


def test_a_trained_network_is_written_in_another_format_with_the_texts_of_its_own_file(data, untimed, tmp_path):
    trained = nas.train(NETWORK.text, data=data, epochs=0, formats=["flax"], out=tmp_path / "trained")
    file = trained.directory / "model.safetensors"

    def texts(name, **settings):
        place = nas.train(str(file), epochs=0, out=tmp_path / name, **settings).directory
        session = onnxruntime.InferenceSession(place / "model.onnx", providers=["CPUExecutionProvider"])
        return session.get_modelmeta().custom_metadata_map

    assert texts("same") == texts("with data", data=data)
    assert set(texts("other", classes=5)) == {"architecture", "layout"}, "they are of other classes"


def test_a_file_that_normalises_is_given_bytes_of_its_own_resolution(data, untimed, tmp_path):
    architecture = Architecture.parse(NETWORK.text.replace("r12", "r10"))
    order = Order("mine", architecture, load_dataset(data), ("onnxruntime",), Budgets(), Recipe(epochs=0),
                  initial=random_arrays(architecture, seed=0), preprocess_inside=True)
    (entry,) = deliver(order, tmp_path / "out", Silent()).certificate["files"]
    assert (entry["input"], entry["compared_images"]) == ("uint8 [batch, height, width, channels]", 40)
    assert entry["max_abs_difference"] < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    texts = session.get_modelmeta().custom_metadata_map
    assert texts["layout"] == entry["input"]
    assert texts["preprocessing"].endswith("all from scaling on happens inside the file")


@pytest.fixture
def orders(monkeypatch):
    """The orders of deliveries, of which none is carried out."""
    noted = []

    def deliver(order, *others):
        noted.append(order)
        raise InvalidInput("nothing is to be written")

    monkeypatch.setattr("nas.export.train.deliver", deliver)
    return noted


@pytest.mark.parametrize(("flags", "asked"), [((), (False, 1)), (("--preprocess-inside", "--seeds", 3), (True, 3))])
def test_the_command_line_asks_for_files_that_normalise_and_several_seeds(flags, asked, data, nas, tmp_path, orders):
    nas("train", NETWORK.text, "--data", data, "--epochs", 1, "--out", tmp_path / "out", *flags)
    assert [(order.preprocess_inside, order.seeds) for order in orders] == [asked]


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('epochs = 7\nmixup = 0.2\naverage = 0.99\naugmentation = "randaugment"\nmagnitude = 0.8\n')
    return path


def test_options_win_over_the_file_of_a_recipe(data, recipe, nas, tmp_path, orders):
    nas("train", NETWORK.text, "--data", data, "--out", tmp_path / "out", "--recipe", recipe, "--mixup", 0.4,
        "--stochastic-depth", 0.1)
    (order,) = orders
    assert order.recipe == Recipe(7, mixup=0.4, average=0.99, augmentation="randaugment", magnitude=0.8,
                                  stochastic_depth=0.1)


def test_what_is_no_recipe_is_one_line(data, recipe, nas, tmp_path):
    for options, rule in (
            (("--recipe", tmp_path / "none.toml"), "a recipe must be a readable TOML file, but got"),
            (("--recipe", recipe, "--augmentation", "shift"), "`magnitude` is of the augmentations randaugment and"),
            (("--cutmix", 11), "`cutmix` must lie in [0, 10], but got 11"),
            (("--class-weights", "all"), "unknown way to weight classes 'all'"),
            (("--average", "x"), "'--average'")):
        status, _, error = nas("train", NETWORK.text, "--data", data, "--out", tmp_path / "out", *options)
        assert (status, error.count("\n")) == (2, 1)
        assert rule in error
    assert not (tmp_path / "out").exists()


def test_an_export_whose_files_cannot_be_timed_is_delivered(data, untimed, tmp_path, monkeypatch):
    def never(*arguments, **named):
        raise MeasurementFailed("other processes train")

    monkeypatch.setattr(nas.export.certificate, "measure_once", never)
    monkeypatch.setattr(nas.export.train, "_require_within", lambda *arguments: None)
    exported = nas.train(NETWORK.text, data=data, epochs=1, batch=16, budgets=Budgets(latency_ms=5.0),
                         out=tmp_path / "out")
    assert exported.certificate["verdict"] == "not timed"
    assert {path.name for path in exported.directory.iterdir()} == {
        "certificate.json", "model.onnx", "model.safetensors"}


def test_every_file_is_judged_on_all_test_images_of_a_sorted_folder(photos, untimed, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(nas.export.delivery, "relative_latency", lambda *arguments: asked.append(arguments) or 1.27)
    monkeypatch.setattr(nas.measuring.inputs, "CALIBRATION_IMAGES", 40)
    targets = ("onnxruntime:precision=int8", "onnxruntime")
    exported = nas.train(NETWORK.text, data=photos, epochs=6, batch=16, formats=["flax", "stablehlo"],
                         budgets=Budgets(targets=targets), out=tmp_path / "out")
    stored = exported.certificate

    def images_of(part):
        files = sorted(Path(photos, part).glob("*/*.png"))
        return np.stack([np.asarray(Image.open(file)) for file in files]) / 255, np.array(
            ["abcd".index(file.parent.name) for file in files])

    train, (test, labels) = images_of("train")[0], images_of("test")
    images = ((test - train.mean()) / train.std()).astype(np.float32)
    predicted = {}
    for name in ("model-int8.onnx", "model.onnx"):
        session = onnxruntime.InferenceSession(tmp_path / "out" / name, providers=["CPUExecutionProvider"])
        predicted[name] = session.run(None, {"image": images[:, None]})[0].argmax(-1)
    network = predicted["model.onnx"]
    for entry in stored["files"]:
        found = predicted.get(entry["file"], network)
        assert entry["test_accuracy"] == np.mean(found == labels)
        assert entry["top_class_agreement"] == np.mean(found == network)
        assert entry["compared_images"] == len(labels) == 240
    assert stored["accuracy"]["test"] == stored["files"][0]["test_accuracy"]  # the first target's file
    assert stored["accuracy"]["network"] == np.mean(network == labels) > 0.9
    assert stored["files"][0]["test_accuracy"] > 0.9, "calibrated on images of all classes"
    assert stored["files"][0]["relative_latency"] == 1.27
    assert stored["files"][0]["remarks"] == ["slower than its float32 form: 1.27 times its latency, timed in turns"]
    assert "without VNNI" in stored["files"][0]["processors"]
    assert "processors" not in stored["files"][1]
    assert [(arguments[0].text, arguments[1].name) for arguments in asked] == [(targets[0], "model-int8.onnx")]


def test_an_int8_file_that_loses_too_much_is_fine_tuned_only_as_long_as_it_must_be(
        photos, untimed, tmp_path, monkeypatch):
    monitor, asked = Lines(), []
    right = iter((0.95, 0.90, 0.93, 0.945, 0.95))  # of each file: float32, int8, twice fine-tuned, flax

    def tuned(architecture, arrays, calibration, training, recipe, largest_weight):
        asked.append((recipe.epochs, largest_weight, len(calibration), len(training.labels)))
        return arrays

    compared = nas.export.comparison.Reference.compared

    def scored(self, run):
        return {**compared(self, run), "test_accuracy": next(right)}

    monkeypatch.setattr(nas.measuring.inputs, "CALIBRATION_IMAGES", 40)
    monkeypatch.setattr(nas.export.delivery, "relative_latency", lambda *arguments: 1.0)
    monkeypatch.setattr("nas.export.fine_tuning.fine_tuned", tuned)
    monkeypatch.setattr(nas.export.comparison.Reference, "compared", scored)
    monkeypatch.setattr(nas.export.comparison.Reference, "network_score", 0.95)
    exported = nas.train(NETWORK.text, data=photos, epochs=1, batch=16, formats=(), monitor=monitor,
                         budgets=Budgets(targets=("onnxruntime", "litert:precision=int8")), out=tmp_path / "out")
    plain, int8, *_ = exported.certificate["files"]
    assert [epochs for epochs, *_ in asked] == [1, 3]
    assert {one[1:3] for one in asked} == {(127, 40)}
    assert "remarks" not in plain
    assert int8["remarks"] == ["fine-tuned for 3 epochs, as in int8 it lost 5.00 points",
                               "as fast as its float32 form: 1.00 times its latency, timed in turns"]
    assert int8["test_accuracy"] == 0.945
    assert "model-int8.tflite: fine-tuned for 1 epoch, as in int8 it lost 5.00 points" in monitor.lines
    assert {file.name for file in (tmp_path / "out").glob("*.tflite")} == {"model-int8.tflite"}


def test_an_int8_file_is_timed_in_turns_with_its_float32_form(untimed, tmp_path, monkeypatch):
    monkeypatch.setattr(nas.export.comparison, "IN_TURN", Precision(half_width=0.1, at_least_s=0.05, at_most_s=0.2))
    exported = nas.train(NETWORK.text, classes=3, epochs=0, budgets=Budgets(targets=("onnxruntime:precision=int8",)),
                         out=tmp_path / "out")
    assert 0.05 < exported.certificate["files"][0]["relative_latency"] < 20


@pytest.mark.parametrize(("ratio", "said"), [
    (1.03, "slower than its float32 form: 1.03"), (1.01, "as fast as its float32 form: 1.01"),
    (0.99, "as fast as its float32 form: 0.99"), (0.5, "faster than its float32 form: 0.50")])
def test_an_export_says_whether_a_file_is_faster_than_in_float32(ratio, said, untimed, tmp_path, monkeypatch, nas):
    monkeypatch.setattr("nas.export.delivery.relative_latency", lambda *arguments: ratio)
    status, out, _ = nas("train", NETWORK.text, "--epochs", 0, "--precision", "int8", "--out", tmp_path / "out")
    assert status == 0
    assert f"model-int8.onnx (onnxruntime:precision=int8): {said} times its latency, timed in turns" in out
