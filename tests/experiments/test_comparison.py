"""What the experiments on few networks have in common, and the networks that they compare."""

import dataclasses
import json
import sys

import pytest

from experiments import activations, comparison, multipliers, proxies, residuals, separable
from experiments.comparison import RUNTIMES, Comparison, parsed
from search_spaces import Architecture

TWO = Comparison("tiny", "Two networks", {
    "narrow": parsed({"small": "in_r8_c1+conv_k3_c8_s2_relu+fc_n10"}),
    "wide": parsed({"large": "in_r8_c1+conv_k3_c16_s2_relu+fc_n10"})}, seeds=(0, 1), turns=3)
EXPERIMENTS = [activations, multipliers, residuals, separable]


@pytest.fixture
def made(monkeypatch):
    """Stands in for trainings and timings, and lists them."""
    calls = []

    def accuracy(network, seed, epochs):
        calls.append((network.text, seed))
        return network.params / 1000 + seed / 100

    def latencies_ms(networks, runtime, turns):
        calls.append(runtime)
        return {name: [network.macs * turn / 1e6 for turn in range(1, turns + 1)] for name, network in networks.items()}

    monkeypatch.setattr(comparison, "accuracy", accuracy)
    monkeypatch.setattr(comparison, "latencies_ms", latencies_ms)
    monkeypatch.setattr(proxies, "latencies_ms", latencies_ms)
    return calls


def test_what_is_recorded_is_not_done_again(made, tmp_path):
    path, texts = tmp_path / "tiny.json", [network.text for network in TWO.networks.values()]
    comparison.fill(TWO, {}, path)
    assert made == [*RUNTIMES, *((text, seed) for seed in (0, 1) for text in texts)]
    record = json.loads(path.read_text())
    assert record["environment"]["python"]
    del record["accuracy"]["large"]["1"]
    made.clear()
    comparison.fill(TWO, record, path)
    assert made == [(texts[1], 1)]


def test_the_table_has_means_with_extremes_and_medians(made, tmp_path):
    record = {}
    comparison.fill(TWO, record, tmp_path / "tiny.json")
    small = TWO.networks["small"]  # 3x3 from 1 to 8 channels, its batch norm, the classifier; at 4 x 4 pixels
    params, macs = 3 * 3 * 8 + 16 + 8 * 10 + 10, 4 * 4 * 3 * 3 * 8 + 8 * 10
    assert (small.params, small.macs) == (params, macs)
    row = comparison.table(TWO.networks, record).splitlines()[2]
    assert row == (f"| small | {params:,} | {macs:,} | {params / 10 + 0.5:.2f} ({params / 10:.2f} to "
                   f"{params / 10 + 1:.2f}) | {2 * macs / 1e6:.4f} | {2 * macs / 1e6:.4f} |")


def test_one_training_has_no_extremes(made, tmp_path):
    record = {}
    comparison.fill(dataclasses.replace(TWO, seeds=(0,)), record, tmp_path / "tiny.json")
    assert comparison.table(TWO.networks, record).count(" (one training) |") == 2


def test_a_run_fills_its_section_of_the_page_and_no_other(made, monkeypatch, tmp_path):
    page = tmp_path / "experiments.md"
    page.write_text("# Page\n<!-- tiny -->\nold\n<!-- end -->\nmore\n<!-- other -->\nkept\n<!-- end -->\n")
    monkeypatch.setattr(comparison.publish, "__defaults__", (page,))
    monkeypatch.setattr(sys, "argv", ["tiny"])
    for _ in range(2):
        comparison.run(TWO, "About.", tmp_path)
        text = page.read_text()
        assert text.startswith("# Page\n<!-- tiny -->\n| network |")
        assert text.endswith("![tiny](experiment_tiny.png)\n<!-- end -->\nmore\n<!-- other -->\nkept\n<!-- end -->\n")
        assert "old" not in text
    assert (tmp_path / "experiment_tiny.png").read_bytes().startswith(b"\x89PNG")
    assert len(made) == 6


def test_searches_for_latency_stand_beside_one_for_multiply_adds(made, monkeypatch, tmp_path):
    texts = {"latency on onnxruntime": "in_r8_c1+conv_k3_c8_s2_relu+fc_n10",
             "latency on litert": "in_r8_c1+conv_k3_c16_s2_relu+fc_n10",
             "multiply-adds": "in_r8_c1+conv_k3_c24_s2_relu+fc_n10"}
    monkeypatch.setattr(proxies, "front", lambda goal: [{"architecture": texts[goal], "accuracy": 0.5}])
    record = {}
    proxies.fill(record, tmp_path / "proxies.json")
    assert proxies.table(record).splitlines()[2:] == [
        "| latency on onnxruntime | 1 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 |",
        "| latency on litert | 1 | none | 50.0 | 50.0 | none | 50.0 | 50.0 |",
        "| multiply-adds | 1 | none | none | 50.0 | none | none | 50.0 |"]
    assert len(proxies.draw(record).axes[0].lines) == 4
    assert proxies.GOALS.keys() == record["fronts"].keys()


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.__name__)
def test_an_experiment_has_its_section_and_networks_of_the_embedded_images(experiment):
    compared = experiment.COMPARISON
    assert compared.name == experiment.__name__.rpartition(".")[2]
    page = comparison.PAGE.read_text(encoding="utf-8")
    assert f"python -m {experiment.__name__}\n```\n\n<!-- {compared.name} -->\n" in page
    assert {(network.input.channels, network.classes) for network in compared.networks.values()} == {(1, 10)}
    assert len({network.text for network in compared.networks.values()}) == len(compared.networks)


def test_residual_blocks_are_compared_at_equal_multiply_adds():
    for kind in residuals.KINDS:
        networks = residuals.COMPARISON.series[kind].values()
        for network, macs in zip(networks, residuals.MACS, strict=True):
            assert network.macs == pytest.approx(macs, rel=0.05)


def test_activations_are_compared_at_equal_layers():
    (plain,), (excited,) = ({network.params for network in own.values()}
                            for own in activations.COMPARISON.series.values())
    assert plain < excited


def test_a_multiplier_changes_width_or_resolution_and_nothing_else():
    whole = multipliers.network(1, 28)
    assert {network.params for network in multipliers.COMPARISON.series["resolution"].values()} == {whole.params}
    assert {network.input.resolution for network in multipliers.COMPARISON.series["width"].values()} == {28}


def test_the_nearest_network_is_found_among_all_channels():
    text, channels = "in_r8_c1+conv_k3_c{0}_s2_relu+conv_k3_c{1}_s2_relu+fc_n10", [(n, 30 - n) for n in range(4, 20)]
    macs = [Architecture.parse(text.format(*counts)).macs for counts in channels]
    for wanted in (macs[3], macs[7] + 1, 0, 10**9):
        found = comparison.nearest(text, wanted, channels).macs
        assert abs(found - wanted) == min(abs(one - wanted) for one in macs)
