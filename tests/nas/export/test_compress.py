"""A trained network is pruned until it meets its budgets, and delivered."""

import contextlib
import dataclasses
import functools
import shutil
from pathlib import Path

import pytest

import evaluators.training.logistic_regression
import nas
import nas.export.certificate
import nas.export.compress
import nas.export.delivery
from evaluators.latency import Latency, NoTurn
from evaluators.networks.checkpoint import load_arrays, save_network
from nas.api import Run
from nas.engine.search import run_search
from nas.export.certificate import budgets_of, digest, open_budgets
from nas.export.uncompressed import own_budgets
from nas.problem.budgets import Budgets
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput
from tests.nas.conftest import Lines

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c24_s2_relu+conv_k3_c32_s2_relu+conv_k3_c32_s1_relu+fc_n2")
POINTWISE = Architecture.parse("in_r12_c1+conv_k3_c32_s2_relu+sep_k3_c64_s1_relu+head_c128_relu_n2")
COMMON = {"batch": 40, "compile": "network"}


def computed(architecture):
    """A latency of a microsecond for each thousand multiply-adds."""
    latency_ms = architecture.macs / 1e6
    return Latency(latency_ms, 0.98 * latency_ms, 1.02 * latency_ms, latency_ms, 10, 0.0, 0.1, 0.1, 0.0)


def raising(error):
    def raises(*arguments, **named):
        raise error
    return raises


@pytest.fixture
def timed(monkeypatch, gauge):
    """Latencies are computed from multiply-adds, and logistic regression takes no time."""
    monkeypatch.setattr(evaluators.training.logistic_regression, "easy_accuracy", lambda dataset: 0.5)
    monkeypatch.setattr(nas.export.compress, "file_gauges", lambda targets, quiet_ms: contextlib.nullcontext(
        dict.fromkeys(targets, gauge)))
    monkeypatch.setattr(nas.export.compress, "slowest", lambda architecture, targets, quiet_ms, wait_s: dict.fromkeys(
        targets, computed(architecture)))
    monkeypatch.setattr(nas.export.certificate, "measure_once", lambda target, file, *others, **named: computed(
        load_arrays(file.with_name("model.safetensors"))[0]))


@pytest.fixture
def data(inputs):
    return str(inputs / "data.npz")


@pytest.fixture
def trained(data, timed, tmp_path):
    """The directory of an export of `NETWORK`, trained for some epochs."""
    return str(nas.train(NETWORK.text, data=data, epochs=3, out=tmp_path / "trained", **COMMON).directory)


def test_an_export_is_pruned_to_a_latency_taught_by_itself_and_certified(trained, data, tmp_path, monkeypatch):
    monitor, limit_ms, timings = Lines(), NETWORK.macs / 1e6 / 2, []

    def slowest(architecture, targets, quiet_ms, wait_s):
        """The first form to be confirmed takes twice as long in fresh processes."""
        timings.append(architecture)
        latency, factor = computed(architecture), 2 if len(timings) == 1 else 1
        return dict.fromkeys(targets, dataclasses.replace(
            latency, median_ms=factor * latency.median_ms, high_ms=factor * latency.high_ms))

    monkeypatch.setattr(nas.export.compress, "slowest", slowest)
    exported = nas.compress(trained, data=data, budgets=Budgets(latency_ms=limit_ms), steps=1, epochs=2,
                            out=tmp_path / "out", monitor=monitor, **COMMON)
    certificate = exported.certificate
    architecture, arrays = load_arrays(exported.directory / "model.safetensors")
    assert (certificate["verdict"], certificate["uncompressed"]) == ("met", NETWORK.text)
    assert (certificate["network"], certificate["architecture"]) == ("trained", architecture.text)
    assert 1.02 * architecture.macs / 1e6 <= limit_ms
    assert timings[0].macs > timings[1].macs == architecture.macs, "what was found too slow is pruned further"
    assert {name: array.shape for name, array in arrays.items()} == architecture.program.arrays
    (teacher,) = certificate["training"]["teachers"]
    assert teacher == {"name": "trained", "sha256": digest(Path(trained) / "model.safetensors")}
    assert certificate["accuracy"]["test"] > 0.9
    assert [line.partition(":")[0] for line in monitor.lines if line.startswith(("step ", "timed"))][:2] == [
        "step 1", "timed again"]
    assert any(line.startswith("trained: compressed for onnxruntime (latency ") for line in monitor.lines)


def test_budgets_are_met_by_scales_of_batch_norms_without_a_turn_to_time_again_and_after_an_interruption(
        timed, data, tmp_path, monkeypatch):
    monkeypatch.setattr(nas.export.compress, "slowest", raising(NoTurn("no turn within 60 s")))
    save_network(NETWORK, random_arrays(NETWORK, seed=0), tmp_path / "mine.safetensors")
    monitor, budgets = Lines(), Budgets(latency_ms=NETWORK.macs / 1e6, params=NETWORK.params * 2 // 3)
    again = functools.partial(nas.compress, str(tmp_path / "mine.safetensors"), data=data, budgets=budgets, steps=1,
                              epochs=1, importance="batch-norm", out=tmp_path / "out", monitor=monitor, **COMMON)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # it is stopped after its training
        patch.setattr(nas.export.delivery, "_write", raising(KeyboardInterrupt))
        again()
    kept = [tmp_path / f"out.{what}.safetensors" for what in ("pruned", "unfinished")]
    assert all(path.exists() for path in kept)
    exported = again()
    assert not any(path.exists() for path in kept)
    assert [line for line in monitor.lines if "before, going on" in line] == [
        f"mine: pruned before, going on from '{kept[0]}'",
        f"mine, compressed: trained before, going on from '{kept[1]}'"]
    assert exported.met
    assert Architecture.parse(exported.certificate["architecture"]).params <= budgets.params
    assert "not timed again before its final training: no turn within 60 s" in monitor.lines


def test_a_run_gives_its_winner_data_and_budgets(make_config, gauge, timed, tmp_path):
    run = Run(run_search(make_config(trials=4, latency_ms=1.0), tmp_path / "run", gauge=gauge))
    best = Architecture.parse(run.best().architecture)
    with pytest.raises(InvalidInput, match=r"budgets that it exceeds, but 'trial .*' meets them with latency"):
        nas.compress(str(run.path))
    with pytest.raises(InvalidInput, match=r"but 'trial .*' has no such layers"):
        nas.compress(str(run.path), low_rank=0.8)
    kept = run.path / f"teacher-{best.id}.safetensors"
    assert not kept.exists(), "it is refused before anything is trained"
    budgets = dataclasses.replace(own_budgets(str(run.path)), latency_ms=0.95 * best.macs / 1e6)
    exported = nas.compress(str(run.path), budgets=budgets, steps=1, epochs=1, **COMMON)
    assert exported.directory == run.path / "compressed"
    assert exported.certificate["uncompressed"] == best.text
    assert exported.certificate["training"]["teachers"][0]["sha256"] == digest(kept)
    winner = shutil.copytree(run.path / "compressed", run.path / "export")
    with pytest.raises(InvalidInput, match=r"not take the place of a network that it is made of, but '.*' is in"):
        nas.compress(str(run.path), budgets=budgets, out=winner)


@pytest.fixture
def pointwise(timed, tmp_path):
    """A file of `POINTWISE`, whose layers of 64 channels and more have singular values that fall quickly."""
    arrays = random_arrays(POINTWISE, seed=0)
    for name, array in arrays.items():
        if name.endswith("/kernel") and array.ndim == 4 and array.shape[:2] == (1, 1):
            arrays[name] = array[..., :2] @ array[..., :2, :]  # of rank 2
    save_network(POINTWISE, arrays, tmp_path / "mine.safetensors")
    return str(tmp_path / "mine.safetensors")


def test_layers_become_two_of_low_rank_without_any_budget_and_learn_from_the_whole_ones(pointwise, data, tmp_path):
    monitor = Lines()
    exported = nas.compress(pointwise, data=data, low_rank=0.9, epochs=1, out=tmp_path / "out", monitor=monitor,
                            **COMMON)
    certificate = exported.certificate
    architecture, arrays = load_arrays(exported.directory / "model.safetensors")
    assert (certificate["verdict"], certificate["uncompressed"]) == ("no budget", POINTWISE.text)
    assert [getattr(block, "rank", 1) < 1 for block in architecture.blocks] == [False, True, True]
    assert {name: array.shape for name, array in arrays.items()} == architecture.program.arrays
    assert certificate["training"]["teachers"][0]["sha256"] == digest(Path(pointwise))
    assert [line for line in monitor.lines if line.startswith("latency on")] == [
        f"latency on onnxruntime: {POINTWISE.macs / 1e6:.3g} ms before, {architecture.macs / 1e6:.3g} ms after"]


def test_layers_that_need_their_whole_rank_stay_and_that_is_said(timed, data, tmp_path):
    save_network(POINTWISE, random_arrays(POINTWISE, seed=0), tmp_path / "mine.safetensors")
    with pytest.raises(InvalidInput, match="but to keep 1 of their energy those of 'mine' all stay as they are"):
        nas.compress(str(tmp_path / "mine.safetensors"), data=data, low_rank=1.0, out=tmp_path / "out")


@pytest.mark.parametrize(("share_of_params", "importance"), [(1.0, None), (0.25, "taylor"), (0.25, "batch-norm")])
def test_a_network_of_low_rank_is_pruned_only_where_it_exceeds_its_budgets(
        share_of_params, importance, pointwise, data, tmp_path):
    monitor, budgets = Lines(), Budgets(params=int(POINTWISE.params * share_of_params))
    exported = nas.compress(pointwise, data=data, budgets=budgets, low_rank=0.9, steps=1, epochs=1,
                            importance=importance or "taylor", out=tmp_path / "out", monitor=monitor, **COMMON)
    assert exported.certificate["verdict"] == "met"
    assert any(line.startswith("step 1") for line in monitor.lines) == (importance is not None)
    assert "rank" in exported.certificate["architecture"]


def test_the_budgets_of_a_certificate_are_read_as_they_were_written():
    budgets = Budgets((0.1, None), macs=20_000_000, targets=("onnxruntime", "litert"))
    assert budgets_of({"budgets": open_budgets(budgets), "targets": list(budgets.targets)}) == budgets


@pytest.mark.parametrize(("changes", "rule"), [
    ({"budgets": Budgets(macs=10**9)}, "budgets that it exceeds, but 'mine' meets them with macs .*: macs 1G"),
    ({"budgets": Budgets(macs=1000)}, "smaller form .* must meet .*, but of the smallest of 'mine' macs .* over"),
    ({"low_rank": 1.5}, "share of energy must be above 0 and at most 1, but got 1.5"),
    ({"low_rank": 0.8}, "blocks with the option `rank` .* fewer weights, but 'mine' has no such layers"),
    ({"budgets": None}, "until it meets a budget, but got none"),
    ({"importance": "magnitude"}, "unknown importance 'magnitude'.* known: batch-norm, taylor"),
    ({"steps": 0}, "`steps` must be at least 1, but got 0"),
    ({"epochs": 0}, "`epochs` must be at least 1, but got 0"),
    ({"accuracy_loss": -1}, "`accuracy_loss` must not be negative, but got -1"),
    ({"network": "nothing"}, "a run, of the directory of an export, or of a .safetensors file, but got 'nothing'"),
    ({"network": NETWORK.text}, "trained weights are those of a run"),
    ({"data": "fashion-mnist"}, "a trained network .*, but .*/mine.* has 1 channel and 2 classes, and .* 1 and 10"),
])
def test_wrong_input_is_refused_in_one_line_and_nothing_is_written(changes, rule, timed, data, tmp_path):
    save_network(NETWORK, random_arrays(NETWORK, seed=0), tmp_path / "mine.safetensors")
    arguments = {"network": str(tmp_path / "mine.safetensors"), "data": data,
                 "budgets": Budgets(macs=NETWORK.macs // 2), "out": tmp_path / "out"} | changes
    with pytest.raises(InvalidInput, match=rule) as error:
        nas.compress(**arguments)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.safetensors"}


def test_the_command_takes_budgets_of_the_certificate_and_those_that_are_given(nas, trained, data, tmp_path):
    arguments = "compress", trained, "--data", data, "--epochs", 1, "--batch", 40, "--steps", 1, "--compile", "network"
    status, _, error = nas(*arguments)
    assert (status, "a network is compressed until it meets a budget, but got none" in error) == (2, True)
    status, out, _ = nas(*arguments, "--macs", NETWORK.macs * 2 // 3, "--target", "litert", "--out", tmp_path / "out")
    assert (status, "certified for litert" in out) == (0, True)
    status, _, error = nas("compress", tmp_path / "out", "--data", data)
    assert (status, "budgets that it exceeds, but 'out' meets them" in error) == (2, True)


def test_data_that_a_certificate_only_names_are_asked_for(trained):
    with pytest.raises(InvalidInput, match="`--data` gives the path of 'data"):
        nas.compress(trained, budgets=Budgets(macs=1000))


def test_test_images_of_another_seed_were_trained_on_and_are_refused(timed, photos, tmp_path):
    cut, budgets = f"{photos}/train", Budgets(macs=NETWORK.macs * 2 // 3)  # of which a seed cuts the test images
    network = NETWORK.text.replace("n2", "n4")
    exported = str(nas.train(network, data=cut, seed=1, epochs=1, out=tmp_path / "trained", **COMMON).directory)
    with pytest.raises(InvalidInput, match=r"by the same seed .* others called 'train': .* seed 0"):
        nas.compress(exported, data=cut, budgets=budgets, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert nas.compress(exported, data=cut, seed=1, budgets=budgets, epochs=1, out=tmp_path / "out", **COMMON).met
