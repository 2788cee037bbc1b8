import dataclasses
import hashlib
import json

import numpy as np
import onnxruntime
import pytest

import evaluators.training.logistic_regression
import nas.export.certificate
import nas.export.delivery
import nas.export.formats
import nas.export.winner
from evaluators.latency import Latency, Precision
from evaluators.machine.locks import training_turn
from evaluators.networks.checkpoint import load_network
from evaluators.networks.network import logits_of
from evaluators.runtimes import RUNTIMES, Options
from evaluators.timing.meter import measure_once
from nas.api import Run
from nas.engine.search import run_search
from nas.measuring.remeasuring import in_fresh_processes
from nas.problem.budgets import Budgets
from nas.problem.candidate import accuracy_interval, winner
from nas.run.config import SearchConfig
from nas.run.directory import Resolved, RunDirectory
from nas.run.trust import require_trusted
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput
from search_spaces.architecture import identify
from tests.nas.conftest import Lines


def timed(latency_ms):
    return Latency(latency_ms, 0.99 * latency_ms, 1.01 * latency_ms, latency_ms, 10, 0.1, 0.1, 0.1, 0.0)


@pytest.fixture
def run(make_config, gauge, tmp_path):
    """A search under a budget that real timings of these small networks meet."""
    return Run(run_search(make_config(trials=6, latency_ms=50.0, batch=16), tmp_path / "run", gauge=gauge))


@pytest.fixture
def made_up(monkeypatch):
    """Exports without training and timing: weights are random, every file takes `latency_ms[id]`, else 1 ms."""
    latency_ms = {}

    def train(order, *others):
        return random_arrays(order.architecture, seed=0), {"epochs": order.recipe.epochs}

    def retime(architecture):
        return {"onnxruntime": timed(latency_ms.get(architecture.id, 1.0))}

    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", train)
    monkeypatch.setattr(nas.export.winner, "in_fresh_processes", lambda run, processes, wait_s: retime)
    monkeypatch.setattr(evaluators.training.logistic_regression, "easy_accuracy", lambda dataset: 0.5)
    monkeypatch.setattr(nas.export.certificate, "measure_once", lambda *arguments, **named: timed(1.0))
    return latency_ms


def inputs_of(dataset):
    """Returns test images as the certificate says they are prepared, by hand; they have the network's size already."""
    train = dataset["x_train"].astype(np.float64) / 255
    images = (dataset["x_test"].astype(np.float64) / 255 - train.mean()) / train.std()
    return images[..., None].astype(np.float32)


def test_a_winner_is_exported_where_no_turn_comes_to_time_it_again(run, made_up, monkeypatch):
    monkeypatch.setattr(nas.export.winner, "in_fresh_processes", in_fresh_processes)
    monkeypatch.setattr(nas.export.winner, "WAIT_S", 0.05)
    monitor = Lines()
    with training_turn():  # of somebody who never gives way
        exported = run.export(formats=[], epochs=1, finals=1, monitor=monitor)
    assert exported.directory.is_dir()
    said = "was not timed again before its training: other processes train or measure"
    assert sum(said in line for line in monitor.lines) == 1


def test_the_command_of_an_own_export_is_known(make_config, gauge, made_up, tmp_path):
    config = make_config(trials=2, target="command:true {model}", latency_from=("timing",))
    exported = Run(run_search(config, tmp_path / "run", gauge=gauge)).export(epochs=1, finals=1)
    identity, commands = exported.named
    assert [one.text for one in commands] == ["true {model}"]
    require_trusted(exported.directory, identity, commands)
    with pytest.raises(InvalidInput, match="names command 'true "):
        require_trusted(exported.directory, "another", commands)


def test_a_winner_is_exported_in_every_format_and_its_certificate_is_true(run, inputs, monkeypatch):
    monkeypatch.setattr(nas.export.certificate, "DECIDING", Precision(half_width=0.1, at_least_s=0.1, at_most_s=1.0))
    exported = run.export(formats=["onnx", "stablehlo", "flax"], epochs=2)
    assert exported.met
    assert exported.directory == run.path / "export"
    stored = json.loads((exported.directory / "certificate.json").read_text())
    assert stored == json.loads(json.dumps(exported.certificate))
    assert {path.name for path in exported.directory.iterdir()} == {
        "certificate.json", "model.safetensors", "model.onnx", f"model{RUNTIMES['xla'].suffix}"}
    best, files = run.best(), {entry["format"]: entry for entry in stored["files"]}
    assert list(files) == ["onnx", "stablehlo", "flax"]
    assert (stored["architecture"], stored["trial"], stored["verdict"]) == (best.architecture, best.trial, "met")

    # The ONNX file by hand, as a user who has only the certificate and onnxruntime.
    data = np.load(inputs / "data.npz")
    images, labels = inputs_of(data), data["y_test"]
    mean, std = (json.loads(stored["preprocessing"][name]) for name in ("mean", "std"))
    assert (mean[0], std[0]) == pytest.approx(
        ((data["x_train"] / 255).mean(), (data["x_train"] / 255).std()), abs=1e-6)
    session = onnxruntime.InferenceSession(exported.directory / "model.onnx", providers=["CPUExecutionProvider"])
    channels_first = images.transpose(0, 3, 1, 2)
    logits = session.run(None, {session.get_inputs()[0].name: channels_first})[0]
    assert stored["accuracy"]["test"] == np.mean(logits.argmax(-1) == labels)
    correct = int(np.sum(logits.argmax(-1) == labels))
    assert stored["accuracy"]["test_ci"] == pytest.approx(accuracy_interval(correct, len(labels)))
    assert stored["accuracy"]["images"] == len(labels) == 40
    assert stored["accuracy"]["test"] > 0.9  # dark and bright images are easily told apart
    assert stored["accuracy"]["logistic_regression"] > 0.9
    assert session.get_modelmeta().custom_metadata_map["architecture"] == best.architecture

    # The other files agree with it, each through its own loader.
    network = load_network(exported.directory / "model.safetensors")
    assert np.abs(np.asarray(logits_of(network, images)) - logits).max() < 1e-4
    xla = RUNTIMES["xla"].load(exported.directory / files["stablehlo"]["file"], Options())
    assert np.abs(xla.run(images) - logits).max() < 1e-4

    architecture = Architecture.parse(best.architecture)
    assert stored["costs"] == {"macs": architecture.macs, "params": architecture.params,
                               "memory_bytes": architecture.memory_bytes}
    for entry in files.values():
        content = (exported.directory / entry["file"]).read_bytes()
        assert (entry["size_bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry["max_abs_difference"] < 1e-4
        assert entry["top_class_agreement"] == 1.0
    (timing,) = stored["timings"]
    assert list(timing["latencies"]) == ["onnxruntime", "xla"]
    latency = timing["latencies"]["onnxruntime"]
    assert 0 < latency["low_ms"] <= latency["median_ms"] <= latency["high_ms"]
    assert stored["budgets"] == {"latency": {
        "quantity": "latency", "target": "onnxruntime", "limit": 50.0,
        "measured": latency["high_ms"] * latency["clock"], "unit": "ms, upper end of the 95 % interval", "met": True}}
    assert latency["raw_high_ms"] == latency["high_ms"] * latency["clock"]
    assert stored["training"]["images"] == 160  # training and validation, never the test images
    assert stored["data"]["fingerprint"] == run.directory.resolved.data_fingerprint
    assert timing["environment"]["onnxruntime"] == onnxruntime.__version__


def test_a_verdict_is_missed_where_the_upper_end_of_the_interval_is_over_the_budget(run, made_up, monkeypatch):
    monkeypatch.setattr(nas.export.certificate, "measure_once", lambda *arguments, **named: timed(49.9))
    exported = run.export()
    assert (exported.met, exported.certificate["verdict"]) == (False, "missed")
    assert exported.certificate["budgets"]["latency"]["measured"] == pytest.approx(1.01 * 49.9)
    assert not exported.certificate["budgets"]["latency"]["met"]


@pytest.mark.parametrize(("limits", "met"), [
    ({"latency_ms": (50.0, 60.0), "images_per_s": (10, None)}, {"latency": True, "latency@litert": True,
                                                                "throughput": True}),
    ({"latency_p95_ms": (None, 50.0), "images_per_s": (10, 10**9)}, {"latency_p95@litert": True, "throughput": True,
                                                                     "throughput@litert": False})])
def test_a_network_for_two_targets_is_certified_by_its_files_on_both(
        limits, met, make_config, gauge, tmp_path, made_up, monkeypatch):
    targets = ("onnxruntime:batch=4", "litert")
    monkeypatch.setattr(nas.export.certificate, "measure_once", measure_once)  # real timings
    monkeypatch.setattr(nas.export.certificate, "DECIDING", Precision(half_width=0.1, at_least_s=0.1, at_most_s=1.0))
    run = Run(run_search(make_config(trials=2, target=targets), tmp_path / "run", gauge=gauge))
    exported = run.export(budgets=Budgets(**limits, targets=targets), trial=run.best().trial)
    certificate = exported.certificate
    assert {name: entry["met"] for name, entry in certificate["budgets"].items()} == met
    assert exported.met == all(met.values())
    assert [(entry["file"], entry["target"]) for entry in certificate["files"]] == [
        ("model.onnx", targets[0]), ("model.tflite", targets[1])]
    assert all(entry["max_abs_difference"] < 1e-4 for entry in certificate["files"])
    latencies = certificate["timings"][0]["latencies"]
    assert list(latencies) == list(targets)
    measured = certificate["budgets"]["throughput"]["measured"]
    assert measured == pytest.approx(4000 / latencies[targets[0]]["raw_high_ms"])


def test_a_file_that_computes_something_else_is_not_certified(run, made_up, monkeypatch):
    onnx = RUNTIMES["onnxruntime"]

    class Careless:
        def __getattr__(self, name):
            return getattr(onnx, name)

        def write(self, architecture, arrays, path, metadata, images=None, *, inside=False):
            onnx.write(architecture, random_arrays(architecture, seed=1), path, metadata)

    assert run.export().certificate["verdict"] == "met"
    monkeypatch.setattr(nas.export.formats, "runtime_of", lambda target: Careless())
    exported = run.export()
    assert (exported.certificate["verdict"], exported.met) == ("differs", False)


def test_a_network_without_a_budget_is_not_called_certified(make_config, gauge, tmp_path, made_up):
    exported = Run(run_search(make_config(trials=2), tmp_path / "run", gauge=gauge)).export()
    assert (exported.certificate["verdict"], exported.met) == ("no budget", True)


def test_other_budgets_pick_another_winner_and_another_directory(run, made_up):
    best = run.best()
    budgets = Budgets(macs=best.costs.macs - 1)
    exported = run.export(budgets=budgets)
    expected = winner([candidate for candidate in run.candidates() if candidate.costs.macs < best.costs.macs])
    assert exported.certificate["trial"] == expected.trial != best.trial
    assert exported.directory == run.path / f"export-macs-{(best.costs.macs - 1) / 1000:g}k"
    assert exported.certificate["budgets"]["macs"]["measured"] == expected.costs.macs
    assert not (run.path / "export").exists()
    with pytest.raises(InvalidInput, match="a trained candidate within macs 1"):
        run.export(budgets=Budgets(macs=1))


def test_a_trial_that_is_named_is_exported_whether_it_won_or_not(run, made_up):
    other = next(candidate for candidate in run.candidates() if candidate.architecture != run.best().architecture)
    exported = run.export(trial=other.trial, formats=["flax"])
    assert exported.certificate["architecture"] == other.architecture
    assert [entry["format"] for entry in exported.certificate["files"]] == ["onnx", "flax"]


def test_a_run_that_cannot_be_written_is_exported_elsewhere_and_stays_as_it_is(run, made_up, monkeypatch, tmp_path):
    best = run.best().architecture
    made_up[identify(best)] = 99.0  # too slow when it is timed again, which is known until the export has ended
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    monkeypatch.setattr(RunDirectory, "writable", False)
    exported = Run.open(run.path).export(out=tmp_path / "out")
    assert exported.met
    assert exported.certificate["architecture"] != best
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}


def test_an_export_does_not_follow_links_out_of_its_run(run, made_up, tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("export", "export.unfinished.safetensors"):
        (run.path / name).symlink_to(tmp_path / "other")
        with pytest.raises(InvalidInput, match="is a link"):
            run.export()
        (run.path / name).unlink()
    assert list((tmp_path / "other").iterdir()) == []


def test_a_winner_that_is_too_slow_when_it_is_timed_again_is_replaced(run, made_up):
    monitor = Lines()
    ranked = sorted({candidate.architecture: candidate for candidate in run.candidates()}.values(),
                    key=lambda candidate: -candidate.accuracy)
    for candidate in ranked[:2]:
        made_up[identify(candidate.architecture)] = 49.8  # its interval ends over the budget
    exported = run.export(monitor=monitor)
    assert exported.certificate["architecture"] == ranked[2].architecture
    assert sum("was timed again: latency 49.8 ms is" in line for line in monitor.lines) == 2
    after = {candidate.architecture: candidate for candidate in Run.open(run.path).candidates()}
    assert [after[candidate.architecture].feasible for candidate in ranked[:3]] == [False, False, True]
    assert after[ranked[0].architecture].latency_ms == 49.8
    assert Run.open(run.path).best().architecture == ranked[2].architecture
    for candidate in ranked:
        made_up[identify(candidate.architecture)] = 51.0
    with pytest.raises(InvalidInput, match="has none"):
        run.export()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_export_leaves_the_one_before_it_whole_and_beside_it_the_trained_weights(
        interruption, run, made_up, monkeypatch):
    before = {path.name: path.read_bytes() for path in run.export(formats=["flax"]).directory.iterdir()}
    names = {path.name for path in run.path.iterdir()}

    def interrupted(*arguments):
        raise interruption

    for step, left in (("_train_to_the_end", set()), ("_write", {"export.unfinished.safetensors"}),
                       ("_certificate", {"export.unfinished.safetensors"})):
        with monkeypatch.context() as patch:
            patch.setattr(nas.export.delivery, step, interrupted)
            with pytest.raises(interruption):
                run.export(formats=["flax"])
        assert {path.name: path.read_bytes() for path in (run.path / "export").iterdir()} == before
        assert {path.name for path in run.path.iterdir()} == names | left
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", None)
    monkeypatch.setattr(nas.export.winner, "in_fresh_processes", None)
    run.export(formats=["flax"])  # neither trained nor confirmed again
    assert not list(run.path.glob("*.unfinished*"))


def test_an_export_takes_the_place_of_an_earlier_one(run, made_up, tmp_path):
    out = tmp_path / "models" / "mine"
    assert run.export(formats=["flax"], out=out).directory == out
    assert (out / "model.safetensors").exists()
    run.export(out=out)
    assert {path.name for path in out.iterdir()} == {"certificate.json", "model.onnx"}


def test_what_was_put_into_an_export_is_said_before_finals_and_teachers_are_trained(run, made_up, monkeypatch):
    trial = run.best().trial
    exports = run.export().directory, run.export(trial=trial).directory
    monkeypatch.setattr(nas.export.winner, "best_of_finals", None)
    monkeypatch.setattr(nas.export.winner, "teachers_named", None)
    for directory, arguments in zip(exports, ({}, {"trial": trial}), strict=True):
        (directory / "NOTES.txt").write_text("mine")
        with pytest.raises(InvalidInput, match=f"but '{directory}/NOTES.txt' is not"):
            run.export(**arguments)
        assert (directory / "NOTES.txt").read_text() == "mine"


def test_data_that_have_changed_since_the_search_are_refused(run, made_up, inputs, tmp_path):
    arrays = dict(np.load(inputs / "data.npz"))
    np.savez(tmp_path / "other.npz", **{**arrays, "x_test": 255 - arrays["x_test"]})
    changed = dataclasses.replace(run.config, data=str(tmp_path / "other.npz"))
    run.directory.write(changed, run.directory.resolved)
    with pytest.raises(InvalidInput, match="has changed since"):
        run.export()


def test_data_that_have_moved_are_known_by_their_content(run, inputs, tmp_path, monkeypatch):
    moved = dataclasses.replace(run.config, data=str(tmp_path / "gone.npz"))
    run.directory.write(moved, run.directory.resolved)
    with pytest.raises(InvalidInput, match=r"the data of this run were at '.*gone\.npz', but '.*' is missing"):
        run.export()
    arrays = dict(np.load(inputs / "data.npz"))
    np.savez(tmp_path / "other.npz", **{**arrays, "x_test": 255 - arrays["x_test"]})
    with pytest.raises(InvalidInput, match=r"needs the data of the search, but '.*other.npz' has others"):
        run.export(data=str(tmp_path / "other.npz"))
    with pytest.raises(InvalidInput, match="has no trial 99"):  # all that is left to be wrong
        run.export(data=str(inputs / "data.npz"), trial=99)


@pytest.mark.parametrize(("arguments", "rule"), [
    ({"trial": 99}, "has no trial 99"), ({"formats": ["tflite"]}, "unknown format 'tflite'"),
    ({"seeds": 0}, "`seeds` must be at least 1, but got 0"), ({"trial": 0, "finals": 4}, "trial 0 is chosen already"),
    ({"finals": 0}, "`finals` must be at least 1, but got 0"),
    ({"accuracy_loss": -1}, "`accuracy_loss` must not be negative, but got -1")])
def test_what_cannot_be_exported_is_refused_before_any_training(arguments, rule, run, monkeypatch):
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", None)
    monkeypatch.setattr(nas.export.winner, "best_of_finals", None)
    with pytest.raises(InvalidInput, match=rule):
        run.export(**arguments)
    assert not (run.path / "export").exists()


def test_the_final_training_may_have_another_recipe_than_the_search(nas, tmp_path, monkeypatch):
    RunDirectory(tmp_path / "run").write(SearchConfig(), Resolved("", 28, 1, 10, "", ""))
    (tmp_path / "mine.toml").write_text("epochs = 7\nmixup = 0.2\nwarm_up = 0.1\n")
    asked = []

    def export_winner(run, **settings):
        asked.append({name: settings[name] for name in ("epochs", "mixup", "warm_up", "average", "seeds")
                      if name in settings})
        raise InvalidInput("nothing is to be exported")

    monkeypatch.setattr("nas.export.winner.export_winner", export_winner)
    for options in ((), ("--recipe", tmp_path / "mine.toml", "--epochs", 9, "--average", 0.9, "--seeds", 3)):
        nas("export", tmp_path / "run", *options)
    assert asked == [{"epochs": 20, "seeds": 1},
                     {"epochs": 9, "mixup": 0.2, "warm_up": 0.1, "average": 0.9, "seeds": 3}]


def test_a_recipe_of_the_final_training_is_checked_before_anything_is_done(run):
    with pytest.raises(InvalidInput, match=r"`mixup` must lie in \[0, 10\], but got 11"):
        run.export(mixup=11.0)
