import contextlib
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from evaluators.registry import EVALUATORS
from nas.engine import distributions, scores
from nas.engine.distributions import BY_HAND, Distribution, Member, compare
from nas.problem.budgets import Budgets
from search_spaces import SPACES, Architecture, InvalidInput, load_space

BUDGETS = Budgets(latency_ms=0.2)  # 200,000 multiply-adds on the computed gauge
WIDE = """\
scale = "scale_w0.25/0.3/0.35/0.4/0.5/0.6/0.7/0.8/1"
stages = ["conv_k3_c32_s1/2_relu", "conv_k3/5_c32/48/64_s1/2_relu_x1/2", "sep_k3/5_c32/64/96_s1/2_relu", "fc"]
"""


def of_accuracies(accuracies, name="a space"):
    return Distribution(name, tuple(Member(f"network {index}", 0.95) for index in range(len(accuracies))),
                        tuple(accuracies))


@pytest.fixture
def training(evaluator, gauge, monkeypatch):
    """Puts hashes in the place of trainings, computed latencies in that of measured ones; two families by hand."""
    monkeypatch.setitem(EVALUATORS, "training", lambda context: evaluator)
    monkeypatch.setattr(distributions, "FAMILIES", ("mobilenet_v1", "mobilenet_v2"))
    monkeypatch.setattr(distributions, "file_gauges",
                        lambda targets: contextlib.nullcontext(dict.fromkeys(targets, gauge)))
    return evaluator


@pytest.fixture
def wide(tmp_path):
    """A space of many members that fill the budget, as a file."""
    path = tmp_path / "wide.toml"
    path.write_text(WIDE)
    return str(path)


@pytest.fixture
def compared(training, make_config, tmp_path):
    """Compares spaces on the images of the fast search."""
    def call(*spaces, budgets=BUDGETS, count=8, **changes):
        return compare(spaces, make_config(workers=1, **changes), budgets, tmp_path / "spaces.json", count=count)
    return call


def test_the_interval_of_a_median_is_that_of_scipys_bootstrap():
    accuracies = np.random.default_rng(1).normal(0.8, 0.03, 40)
    expected = bootstrap((accuracies,), np.median, method="percentile", n_resamples=1000, rng=0).confidence_interval
    assert of_accuracies(accuracies).median_ci == pytest.approx(tuple(expected), abs=0.003)


def test_the_interval_of_a_share_is_binomial():
    share, interval = of_accuracies([0.9] * 12 + [0.7] * 28).above(0.8)
    assert share == 0.3
    assert interval == pytest.approx(binom.ppf((0.025, 0.975), 40, 0.3) / 40, abs=0.026)


def test_as_many_as_none_are_above_the_best():
    assert of_accuracies([0.1, 0.5, 0.9]).above(0.9) == (0, (0, 0))
    assert of_accuracies([0.1, 0.9, 0.5]).best == (Member("network 1", 0.95), 0.9)


def test_members_of_each_space_and_networks_made_by_hand_fill_the_budget_and_have_scores(compared, training, gauge,
                                                                                        wide):
    found = compared("fitted", wide)
    assert [one.name for one in found.spaces] == ["fitted", wide]
    assert [len(one.members) for one in found.spaces] == [8, 8]
    for one in (found.by_hand, *found.spaces):
        networks = [Architecture.parse(member.text) for member in one.members]
        shares = [gauge.latency(network).high_ms / 0.2 for network in networks]
        assert [member.used for member in one.members] == pytest.approx(shares)
        assert all(0.9 <= share <= 1 for share in shares)
        assert len(set(networks)) == len(networks)
        assert one.accuracies == tuple(map(training.accuracy, networks))
    assert all(Architecture.parse(member.text) in SPACES["fitted"].bind(12, 1, 2) for member in found.spaces[0].members)
    assert {member.name.partition(",")[0] for member in found.by_hand.members} == {"mobilenet_v1", "mobilenet_v2"}


def test_what_is_recorded_is_neither_measured_nor_trained_again(compared, training, gauge, wide, monkeypatch):
    def killed(network):
        if len(training.trained) == 5:
            raise KeyboardInterrupt
        return 0.5

    with monkeypatch.context() as patched:
        patched.setattr(training, "accuracy", killed)
        with pytest.raises(KeyboardInterrupt):
            compared(wide)
    timed = len(gauge.timed)
    found = compared(wide)
    assert len(gauge.timed) == timed
    fifth = Architecture.parse((*found.by_hand.members, *found.spaces[0].members)[4].text)
    assert (*found.by_hand.accuracies, *found.spaces[0].accuracies)[:5] == (0.5,) * 4 + (training.accuracy(fifth),)
    trained = len(training.trained)
    assert compared(wide) == found
    assert len(training.trained) == trained
    more = compared(wide, count=10).spaces[0].members
    assert more[:8] == found.spaces[0].members
    assert len(training.trained) == trained + 2


def test_latencies_are_of_a_machine_and_members_of_what_a_space_is(compared, gauge, wide, monkeypatch):
    before = compared(wide).spaces[0].members
    timed = len(gauge.timed)
    monkeypatch.setattr(scores, "processor", lambda: "another one")
    assert compared(wide).spaces[0].members == before
    assert len(gauge.timed) == 2 * timed
    Path(wide).write_text(WIDE.replace("relu", "hswish"))
    assert all("hswish" in member.text for member in compared(wide).spaces[0].members)


@pytest.mark.parametrize(("limit_ms", "words"), [
    (1e-5, "published networks made by hand that use 90 to 100 % of latency 0.00001 ms, at least 1, but 0 do, 8 "
     "exceed it at their least width, 0 use less at the largest width that keeps it: a larger budget or smaller images "
     "may help"),
    (1e5, "but 0 do, 0 exceed it at their least width, 8 use less at the largest width that keeps it: a smaller budget "
     "or more widths may help")])
def test_a_budget_that_no_network_made_by_hand_fills_is_refused(limit_ms, words, compared, training):
    with pytest.raises(InvalidInput, match=words):
        compared("fitted", budgets=Budgets(latency_ms=limit_ms))
    assert training.trained == []


def test_a_space_that_cannot_fill_the_budget_is_refused_before_anything_is_trained(compared, training, inputs, wide):
    with pytest.raises(InvalidInput, match=rf"members of '{inputs}/space.toml' that use .*, at least 8, but 0 do, 0 "
                                           r"exceed it at their least width, 160 use less .*: a smaller budget"):
        compared(wide, str(inputs / "space.toml"), budgets=Budgets(macs=2_000_000))
    assert training.trained == []


def test_a_space_of_too_few_members_is_refused_without_advice_on_its_budget(compared, wide):
    Path(wide).write_text('scale = "scale_w0.9/1"\nstages = ["conv_k3_c16_s2_relu", "conv_k3_c32_s1_relu", "fc"]\n')
    macs = load_space(wide).bind(12, 1, 2).decode({"width": 1.0}).macs
    with pytest.raises(InvalidInput, match=r"but 1 do, 0 exceed .*, 0 use less at the largest width that keeps it$"):
        compared(wide, budgets=Budgets(macs=macs))


@pytest.mark.parametrize("space", ["documented", "shufflenet-v2"])
def test_a_space_without_a_choice_of_width_is_refused_before_anything_is_timed(space, compared, gauge, training):
    with pytest.raises(InvalidInput, match=rf"a choice of it, such as `scale_w0.5/1`, but '{space}' has none"):
        compared("fitted", space)
    assert gauge.timed == training.trained == []


@pytest.mark.parametrize(("spaces", "changes", "rule"), [
    (("fitted",), {"budgets": Budgets()}, "equal cost, but got no budget: `--latency 0.1ms` is one"),
    (("fitted", "fitted"), {}, "each once, but got fitted, fitted"),
    ((), {}, "each once"),
    (("fitted",), {"count": 7}, "at least 8 members, but got 7"),
    (("fitted",), {"data": "table:nas-bench-macro:nowhere.json"}, "compared by trainings, but the data are 'table:"),
    (("fitted", "mobile-224"), {}, "'mobile-224' states 224 pixels and the images have 12; it may come first"),
    (("fitted", "unknown"), {}, "'unknown'")])
def test_what_cannot_be_compared_is_refused(spaces, changes, rule, compared):
    with pytest.raises(InvalidInput, match=rule):
        compared(*spaces, **changes)


def test_a_picture_that_has_no_place_is_refused_before_anything_is_done(nas, inputs, wide, training, gauge, tmp_path):
    (tmp_path / "file").touch()
    for place in ("no/such", "file"):
        png = tmp_path / place / "a.png"
        assert nas("compare-spaces", wide, "--data", inputs / "data.npz", "--latency", "0.2ms", "--members", 8,
                   "--record", tmp_path / "spaces.json", "--png", png) == (
                       2, "", f"nas: a file is written into a directory that is there, but got '{png}'\n")
    assert gauge.timed == training.trained == []


@pytest.mark.usefixtures("training")
def test_the_command_prints_a_table_and_draws_a_picture(nas, inputs, wide, tmp_path):
    arguments = ("compare-spaces", wide, "--data", inputs / "data.npz", "--latency", "0.2ms", "--members", 8,
                 "--record", tmp_path / "spaces.json", "--png")
    status, out, err = nas(*arguments, tmp_path / "spaces.png")
    assert status == 0, err
    assert BY_HAND in out
    assert "after 10 epochs" in " ".join(out.split()), "few images take as many as in a search"
    assert "best by hand: mobilenet_v" in out
    assert (tmp_path / "spaces.png").read_bytes().startswith(b"\x89PNG")
    status, out, err = nas(*arguments[:-1], "--metric", "macro-f1")
    assert (status, out.count("\n"), err.count("\n")) == (2, 0, 1)
    assert "goes on with its own data, evaluator and recipe" in err
    status, out, err = nas(*arguments[:-3], "--record", tmp_path / "other.json", "--metric", "macro-f1")
    assert status == 0, err
    assert "validation macro F1 (%) after" in " ".join(out.split())
    assert nas(*arguments, "spaces.jpg") == (
        2, "", "nas: `--png` takes a name that ends in .png, but got 'spaces.jpg'\n")
    status, out, err = nas(*arguments[:5], "1e-5ms", *arguments[6:-1])
    assert (status, out.count("\n"), err.count("\n")) == (2, 1, 1)
