import dataclasses
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binom, norm

from evaluators.latency import Latency
from nas.engine.scores import Noise
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs
from nas.problem.pareto import hypervolume
from nas.report import fronts
from nas.report.figure import write_figure
from nas.report.fronts import MOST, compare_runs
from nas.report.fronts_figure import draw_fronts
from nas.report.fronts_table import comparison_rows, comparison_table, plot_fronts, verdicts
from nas.report.html.fronts import comparison_page
from nas.run.config import SearchConfig
from nas.run.directory import Resolved
from search_spaces import InvalidInput

IMAGES = 2000
CONFIG = SearchConfig(latency_ms=0.1, epochs=3)
RESOLVED = Resolved("space", 28, 1, 10, "0123456789abcdef", "as given", 0.1)


def network(trial, accuracy, latency_ms, macs=1_000_000):
    latency = Latency(latency_ms, 0.97 * latency_ms, 1.03 * latency_ms, latency_ms, 10, 0.1, 0.1, 0.1, 0.0)
    return Candidate(trial, f"in_r28_c1+conv_k3_c{8 + trial}_s2_relu+fc_n10", accuracy=accuracy, total=IMAGES, epochs=3,
                     trained=True, costs=Costs(macs, 1000, 1000, 1000, {"onnxruntime": latency}), state="complete")


@dataclass
class Run:
    """A run directory, as far as comparisons read it."""

    name: str
    found: list
    config: SearchConfig = CONFIG
    resolved: Resolved = RESOLVED
    processor: str = "a processor"
    noise: Noise | None = None

    @property
    def path(self):
        return Path(self.name)

    @property
    def budgets(self):
        return self.config.budgets(self.config.latency_ms)

    @property
    def environments(self):
        return [{"processor": self.processor}]

    def candidates(self):
        return self.found


@pytest.fixture(autouse=True)
def known_noise(monkeypatch):
    monkeypatch.setattr(fronts, "noise_of", lambda run: getattr(run, "noise", None))


@pytest.fixture
def runs():
    """Two runs, of which the second is better but for noise at its fast end."""
    noise = Noise(0.002, 3)
    return [Run("runs/a", [network(0, 0.80, 0.05), network(1, 0.85, 0.08), network(2, 0.7, 0.06)], noise=noise),
            Run("runs/b", [network(0, 0.80, 0.05), network(1, 0.90, 0.07)], noise=noise)]


def printed(*shown):
    console = Console(width=100, file=io.StringIO())
    for one in shown:
        console.print(one)
    return console.file.getvalue()


def test_a_volume_is_the_share_of_the_box_from_guessing_to_all_correct():
    one, other = compare_runs([Run("a", [network(0, 0.55, 0.05)]), Run("b", [network(0, 0.55, 0.05)])]).runs
    assert one.volume.value == pytest.approx((0.55 - 0.1) / 0.9 * (0.1 - 0.05) / 0.1)
    assert one.volume.low < one.volume.value < one.volume.high
    assert other.gain.value == other.accuracy_gain.value == other.cost_gain.value == 0
    assert not (other.gain.differs or other.accuracy_gain.differs or other.cost_gain.differs)


@pytest.mark.parametrize("deviation", [0.0, 0.01])
def test_the_interval_of_a_difference_of_winners_is_that_of_the_normal_approximation(deviation):
    noise = Noise(deviation, 3)
    _, other = compare_runs([Run("a", [network(0, 0.85, 0.05)], noise=noise),
                             Run("b", [network(0, 0.9, 0.05)], noise=noise)]).runs
    half = norm.ppf(0.975) * np.sqrt(sum(binom(IMAGES, p).var() / IMAGES**2 + deviation**2 for p in (0.85, 0.9)))
    gain = other.accuracy_gain
    assert [gain.low, gain.high] == pytest.approx([0.05 - half, 0.05 + half], abs=half / 8)
    assert gain.differs == (half < 0.05)


def test_volumes_are_those_of_the_exact_hypervolume():
    accuracies, costs = np.random.default_rng(0).uniform(0, 1, (2, 20, 5))
    expected = [hypervolume(np.stack([-accuracy, cost], axis=1), (-0.3, 0.8)) for accuracy, cost in
                zip(accuracies, costs, strict=True)]
    assert fronts._volumes(accuracies - 0.3, costs, 0.8) == pytest.approx(expected)


def test_intervals_of_volumes_hold_the_truth():
    truth = [(0.6, 0.03), (0.75, 0.05), (0.8, 0.07)]
    expected = compare_runs([Run("a", [network(i, p, t) for i, (p, t) in enumerate(truth)])] * 2).runs[0].volume.value
    generator, held = np.random.default_rng(0), 0
    for _ in range(60):
        seen = [network(index, generator.binomial(IMAGES, p) / IMAGES, t) for index, (p, t) in enumerate(truth)]
        volume = compare_runs([Run("a", seen)] * 2).runs[0].volume
        held += volume.low <= expected <= volume.high
    assert held >= binom(60, 0.95).ppf(0.005)


def test_what_is_beyond_noise_is_told_from_what_is_not(runs):
    (line,) = verdicts(compare_runs(runs))
    assert line == ("runs/b against runs/a: the front covers more, the winner is more accurate, it costs less")
    runs[1].found[1] = network(1, 0.86, 0.0805)
    assert next(verdicts(compare_runs(runs))).endswith(
        "fronts are within noise, winners' accuracies are within noise, their costs are within noise")


@pytest.mark.parametrize(("field", "value", "words"), [
    ("data_fingerprint", "fedcba9876543210", "data fingerprint 0123456789abcdef and fedcba9876543210"),
    ("resolution", 32, "resolution 28 and 32"), ("classes", 2, "classes 10 and 2")])
def test_accuracies_of_other_data_are_not_compared(runs, field, value, words):
    runs[1].resolved = dataclasses.replace(runs[1].resolved, **{field: value})
    with pytest.raises(InvalidInput, match=f"the same data .*, but 'runs/a' and 'runs/b' have {words}"):
        compare_runs(runs)


def test_scores_by_another_metric_are_not_compared_and_one_metric_gives_its_name(runs):
    runs[1].config = dataclasses.replace(runs[1].config, metric="macro-f1")
    with pytest.raises(InvalidInput, match=r"by one metric .* have metric accuracy and macro-f1$"):
        compare_runs(runs)
    runs[0].config = runs[1].config
    assert "winner's macro F1 (%)" in printed(comparison_table(compare_runs(runs)))


@pytest.mark.parametrize(("changes", "why"), [
    ({"target": "litert"}, "latencies are of different targets (onnxruntime, litert)"),
    ({"objectives": ("accuracy", "macs")}, "not every run sought a low latency")])
def test_latencies_that_cannot_be_compared_are_not(runs, changes, why):
    runs[1].config = dataclasses.replace(runs[1].config, **changes)
    if "target" in changes:
        runs[1].found = [dataclasses.replace(one, costs=dataclasses.replace(one.costs, latencies={
            "litert": one.costs.latencies["onnxruntime"]})) for one in runs[1].found]
    found = compare_runs(runs)
    assert found.cost == "macs"
    assert f"{why}: they are not compared, multiply-adds are" in found.remarks


def test_latencies_of_other_machines_are_compared_only_where_a_table_or_device_tells_them(runs):
    runs[1].processor = "another"
    assert compare_runs(runs).cost == "macs"
    assert "latencies are of different machines (a processor; another): they are not" in printed(
        *compare_runs(runs).remarks)


def test_what_differs_is_said(runs):
    runs[1].config = dataclasses.replace(runs[1].config, epochs=9, latency_ms=0.2, seed=4,
                                         start=("none",), latency_from=("timing",))
    runs[1].resolved = dataclasses.replace(runs[1].resolved, data_split="seed 4")
    runs[1].noise = None
    found = compare_runs(runs)
    assert found.reference == 0.1
    assert set(found.remarks) >= {
        "different epochs: 3, 9; accuracies are of different trainings", "different seed: 0, 4",
        "different start: by-hand and filled, none", "different latency from: none, timing",
        "the split differs: accuracies are of other validation images of the same data",
        "budgets of latency differ: volumes are counted up to the least of them",
        "the noise between seeds is not known of runs/b: intervals are too narrow; `nas correlate` measures it"}


@pytest.mark.parametrize("count", [1, MOST + 1])
def test_too_few_or_too_many_are_refused(runs, count):
    with pytest.raises(InvalidInput, match=f"2 to {MOST} runs are compared, but got {count}"):
        compare_runs(runs[:1] * count)


def test_a_run_without_a_winner_stands_beside_the_others(runs):
    runs[1].found = []
    found = compare_runs(runs)
    assert list(verdicts(found)) == ["runs/b against runs/a: not known, as one of them has no winner yet"]
    assert "no winner yet" in printed(comparison_table(found))
    html5lib.HTMLParser(strict=True).parse(comparison_page(found).decode())
    runs[0].found = []
    with pytest.raises(InvalidInput, match="none of them has one yet"):
        compare_runs(runs)


def test_everywhere_the_same_numbers_are_shown(runs):
    found = compare_runs(runs)
    rows = json.loads(json.dumps(comparison_rows(found)))
    assert [row["front"] for row in rows] == [[0, 1], [0, 1]]
    volume = f"{100 * rows[1]['volume']:.1f} [{100 * rows[1]['volume_ci'][0]:.1f}, {100 * rows[1]['volume_ci'][1]:.1f}]"
    text = printed(plot_fronts(found), comparison_table(found))
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("●") == 2 + 2 - 1  # one of each front lies on that of the other
    page = comparison_page(found).decode()
    words = re.sub("<.*?>", " ", page)
    labels = [one.get_text() for one in draw_fronts(found).legends[0].get_texts()]
    assert all(volume in shown for shown in (text, words, labels[1]))


def test_each_run_has_the_easy_alternatives_below_it(runs):
    runs[0].found[0] = dataclasses.replace(runs[0].found[0], by_hand=True)
    runs[0].resolved = dataclasses.replace(runs[0].resolved, easy_accuracy=0.75)
    found = compare_runs(runs)
    text, (first, second) = printed(comparison_table(found)), comparison_rows(found)
    assert "● on the same images: best made by hand 80.00 % (trial 0), logistic regression 75.00 %" in text
    assert "▲ on the same images" not in text
    assert (first["by_hand_accuracy"], first["logistic_regression_accuracy"]) == (0.8, 0.75)
    assert second["by_hand_accuracy"] is second["logistic_regression_accuracy"] is None
    assert "best made by hand 80.00 % (trial 0), logistic regression 75.00 %" in comparison_page(found).decode()


def test_texts_of_users_stay_texts_in_the_page_and_the_picture(runs, tmp_path):
    runs[1].name = "<script>alert(1)</script> $a$ $"
    found = compare_runs(runs)
    page = comparison_page(found).decode()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "<script" not in page
    write_figure(tmp_path / "a.svg", draw_fronts(found))
    ElementTree.parse(tmp_path / "a.svg")


def test_the_command_compares_runs(nas, table_run, tmp_path):
    page = tmp_path / "page.html"
    status, out, _ = nas("compare", table_run, table_run, "--out", page, "--csv", tmp_path / "rows.csv")
    assert (status, "fronts are within noise" in " ".join(out.split())) == (0, True)
    assert "different" not in out
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 3
    assert page.read_bytes().startswith(b"<!DOCTYPE html>")
    rows = json.loads(nas("compare", table_run, table_run, "--json")[1])
    assert rows[0]["volume"] == rows[1]["volume"] > 0
