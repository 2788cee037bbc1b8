import contextlib
import dataclasses
import json
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from evaluators.datasets import load_dataset
from evaluators.evaluator import Fidelity
from evaluators.registry import EVALUATORS
from evaluators.training.train import evaluate
from nas.engine import correlation, scores
from nas.engine.correlation import (
    FEWEST,
    MULTIPLY_ADDS,
    PARAMETERS,
    Ranking,
    correlate,
    kendall,
    rankings,
    recommendation,
    spearman,
    within,
)
from nas.engine.scores import Row, Sample
from nas.problem.budgets import Budgets
from search_spaces import Architecture, InvalidInput
from search_spaces.space import Space


def quiet(what, done, total):
    """Progress that nobody looks at."""


def sample(all_members, brief, final):
    texts = [network.text for network in all_members.values()][:len(final)]
    return Sample({text: {3: [Row(one, 5.0)], 20: [Row(other, 60.0)]}
                   for text, one, other in zip(texts, brief, final, strict=True)})


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=8, max_size=16)
       .filter(lambda pairs: all(len(set(of)) > 3 for of in zip(*pairs, strict=True))))
def test_rank_correlations_are_those_of_scipy_also_with_ties_and_in_resamples(pairs):
    x, y = np.array(pairs).T / 20
    drawn = np.array([np.arange(len(x)), np.random.default_rng(0).integers(len(x), size=len(x))])
    for ours, theirs in ((kendall, kendalltau), (spearman, spearmanr)):
        found = ours(x, y, drawn)
        assert found[0] == pytest.approx(theirs(x, y).statistic)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where all that was drawn is equal
            assert found[1] == pytest.approx(theirs(x[drawn[1]], y[drawn[1]]).statistic, nan_ok=True)


def test_multiply_adds_and_parameters_are_scores_that_cost_nothing(all_members):
    final = np.random.default_rng(0).permutation(16) / 16
    found = {one.score: one for one in rankings(sample(all_members, final, final), (3, 20))}
    networks = list(all_members.values())[:16]
    assert found[MULTIPLY_ADDS].tau == pytest.approx(kendalltau([one.macs for one in networks], final).statistic)
    assert found[PARAMETERS].rho == pytest.approx(spearmanr([one.params for one in networks], final).statistic)
    assert [found[name].seconds for name in ("3 epochs", MULTIPLY_ADDS, PARAMETERS)] == [5.0, 0.0, 0.0]


@pytest.mark.parametrize("is_known_at_the_end", [False, True])
def test_the_log_loss_is_a_score_of_its_own_and_the_end_where_it_is_known(is_known_at_the_end, all_members):
    final = np.random.default_rng(0).permutation(16) / 16
    accuracies = np.zeros(16) if is_known_at_the_end else final
    losses = [1 - end if is_known_at_the_end else None for end in final]
    known = {text: {3: [Row(0.5, 5.0, 1 - end)], 20: [Row(accuracy, 60.0, loss)]} for text, end, accuracy, loss in zip(
        sample(all_members, final, final).scores, final, accuracies, losses, strict=True)}
    ranked = rankings(Sample(known), (3, 20))
    found = {one.score: one.tau for one in ranked}
    assert (found["3 epochs"], found["3 epochs, log loss"]) == (0, pytest.approx(1))
    assert all(one.by_log_loss == is_known_at_the_end for one in ranked)
    assert "3 epochs, log loss: networks are ranked" in recommendation(ranked), "the default strategy learns it"
    assert recommendation(ranked).endswith("--epochs 3")


def test_a_training_that_diverged_is_the_worst_by_its_log_loss_too():
    rows = {"a": {3: [Row(0.5, 5.0, 1.2)]}, "b": {3: [Row(0.0, 5.0)]}, "c": {3: [Row(0.4, 5.0, 1.4)]}}
    losses = Sample(rows).log_losses(3)
    assert losses is not None and np.argmax(losses) == 1
    assert Sample({**rows, "d": {3: [Row(0.3, 5.0)]}}).log_losses(3) is None, "an evaluator that tells none"


def test_what_all_networks_have_alike_ranks_none(all_members):
    final = np.random.default_rng(0).permutation(16) / 16
    for brief, end in ((np.full(16, 0.1), final), (final, np.ones(16))):
        alike = rankings(sample(all_members, brief, end), (3, 20))[-1]
        assert (alike.tau, alike.tau_ci, alike.rho, alike.use) == (0, (0, 0), 0, "of no use")


def test_a_score_that_is_the_end_ranks_all_and_one_of_chance_is_of_no_use(all_members):
    generator = np.random.default_rng(0)
    final = generator.permutation(16) / 16
    exact = rankings(sample(all_members, final / 2, final), (3, 20))[-1]
    assert (exact.tau, exact.rho, exact.overlap, exact.use) == (1, 1, 1, "of use")
    assert exact.tau_ci == pytest.approx((1, 1)) and exact.overlap_ci == (1, 1)
    reversed_ = rankings(sample(all_members, 1 - final, final), (3, 20))[-1]
    assert (reversed_.tau, reversed_.overlap, reversed_.overlap_ci, reversed_.use) == (-1, 0, (0, 0), "of no use")
    chance = rankings(sample(all_members, generator.permutation(16) / 16, final), (3, 20))[-1]
    assert chance.tau_ci[0] < 0 < chance.tau_ci[1] and chance.overlap_ci == (0, 1), "of two networks at most"
    assert chance.use == "of no use"


def test_noise_is_what_seeds_differ_by(all_members):
    texts = [network.text for network in all_members.values()][:10]
    draws = np.random.default_rng(0).normal(0.8, 0.02, (10, 400)).clip(0, 1)
    scores = {text: {3: [Row(value, 5.0) for value in of], 20: [Row(index / 10, 60.0)]}
              for index, (text, of) in enumerate(zip(texts, draws, strict=True))}
    assert rankings(Sample(scores), (3, 20))[-1].noise == pytest.approx(0.02, rel=0.05)
    scores[texts[0]][3][0] = Row(0.0, 5.0)  # it diverged, which is no noise
    assert rankings(Sample(scores), (3, 20))[-1].noise == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("taus", "expected"), [
    ({"multiply-adds": 0.4, "1 epoch": 0.5, "3 epochs": 0.7, "9 epochs": 0.8}, "--epochs 3"),
    ({"multiply-adds": 0.75, "1 epoch": 0.5, "3 epochs": 0.7, "9 epochs": 0.8}, "--epochs 9"),
    ({"multiply-adds": 0.65, "1 epoch": 0.5, "3 epochs": 0.62}, "no brief training ranks better"),
    ({"multiply-adds": 0.4, "1 epoch": 0.2, "3 epochs": 0.5}, "no score ranks well enough: the best is 3 epochs"),
])
def test_the_cheapest_score_of_use_is_recommended(taus, expected):
    found = [Ranking(name, 20, tau, (tau - 0.2, tau + 0.2), tau, (0, 1), 1.0, (0, 1),
                     0.0 if name == MULTIPLY_ADDS else float(name.split()[0])) for name, tau in taus.items()]
    assert expected in recommendation(found)


def test_members_are_within_the_budgets_or_too_few_are(bound_space, all_members):
    limit = sorted(network.macs for network in all_members.values())[len(all_members) // 2]
    found = within(bound_space, Budgets(macs=limit), {}, 0, 8, quiet)
    assert len({network.id for network in found}) == 8
    assert all(network.macs <= limit for network in found)
    with pytest.raises(InvalidInput, match=f"at least {FEWEST} networks, but 0 random members"):
        within(bound_space, Budgets(macs=1), {}, 0, 8, quiet)


@pytest.mark.parametrize(("changes", "rule"), [
    ({"epochs": (3,), "to": 3}, "but got 3 of 3"), ({"epochs": (0,)}, "but got 0 of 20"),
    ({"epochs": (1,), "seeds": 0}, "`seeds` must be at least 1"), ({"epochs": (1,), "count": 7}, "but got 7")])
def test_wrong_numbers_are_named(changes, rule, make_config, tmp_path):
    with pytest.raises(InvalidInput, match=rule):
        correlate(make_config(), Budgets(), tmp_path / "correlation.json", **changes)


def test_a_table_that_stands_for_trainings_is_refused(make_config, tmp_path):
    config = make_config(data="table:nas-bench-macro:nowhere.json", evaluator="training")
    with pytest.raises(InvalidInput, match="scores are compared with trainings"):
        correlate(config, Budgets(), tmp_path / "correlation.json", (1,))


@pytest.fixture
def trained_by_hash(evaluator, monkeypatch):
    """Training, to the end too, is a hash of the network."""
    monkeypatch.setitem(EVALUATORS, "training", lambda context: evaluator)


def test_a_budget_of_size_is_measured_on_the_files_of_the_target(make_config, trained_by_hash, tmp_path):
    with pytest.raises(InvalidInput, match="0 random members of the space are within size"):
        correlate(make_config(), Budgets(size_bytes=1), tmp_path / "correlation.json", (1,))
    found = correlate(make_config(), Budgets(size_bytes=10**6), tmp_path / "correlation.json", (1,), to=2, count=8,
                      seeds=1)
    assert found[0].networks == 8


def test_members_are_timed_once_on_each_machine(make_config, gauge, trained_by_hash, tmp_path, monkeypatch):
    monkeypatch.setattr(correlation, "file_gauges", lambda targets: contextlib.nullcontext({"onnxruntime": gauge}))

    def timed_by(count):
        before = len(gauge.timed)
        correlate(make_config(), Budgets(latency_ms=10.0), tmp_path / "correlation.json", (1,), to=2, count=count,
                  seeds=1)
        return len(gauge.timed) - before

    first = timed_by(10)
    assert first >= 10
    assert timed_by(10) == timed_by(8) == 0
    assert timed_by(11) >= 11
    monkeypatch.setattr(scores, "processor", lambda: "another one")
    assert timed_by(10) == first
    record = tmp_path / "correlation.json"
    record.write_text(re.sub('^ *"in_.*",?$', lambda line: line[0].replace("_k3_", "_k11_"), record.read_text(),
                             flags=re.MULTILINE))
    with pytest.raises(InvalidInput, match="recorded members are of the space, but"):
        timed_by(10)


@pytest.mark.parametrize(("limits", "needed"), [
    ({"macs": 10**9}, ()), ({"latency_ms": (None, 10.0)}, ("litert",)),
    ({"size_bytes": 10**6, "latency_ms": (None, 10.0)}, ("onnxruntime", "litert"))])
def test_only_targets_on_which_something_is_limited_are_needed(
        limits, needed, make_config, gauge, trained_by_hash, tmp_path, monkeypatch):
    opened = []

    def file_gauges(targets):
        opened.extend(targets)
        return contextlib.nullcontext(dict.fromkeys(targets, gauge))

    monkeypatch.setattr(correlation, "file_gauges", file_gauges)
    correlate(make_config(), Budgets(targets=("onnxruntime", "litert"), **limits), tmp_path / "correlation.json", (1,),
              to=2, count=8, seeds=1)
    assert tuple(opened) == needed


@pytest.mark.slow
def test_real_trainings_are_ranked_by_the_accuracies_that_they_have_alone(make_config, tmp_path):
    config, record = make_config(evaluator="training", workers=1), tmp_path / "correlation.json"  # as many threads
    found = correlate(config, Budgets(macs=10**9), record, (1,), to=4, count=8, seeds=1)
    assert [one.score for one in found] == [MULTIPLY_ADDS, PARAMETERS, "1 epoch", "1 epoch, log loss"]
    assert found[-1].seconds > 0
    dataset, networks = load_dataset(config.data), json.loads(record.read_text())["networks"]
    assert len(networks) == 8
    for text, of_network in list(networks.items())[:2]:
        for epochs in (1, 4):
            recipe = dataclasses.replace(config.recipe, epochs=epochs)
            alone = evaluate(Architecture.parse(text), dataset, Fidelity(recipe))
            assert of_network[str(epochs)][0][0] == pytest.approx(alone.accuracy)


def test_a_run_is_asked_by_the_command_and_keeps_the_answer(
        make_config, gauge, nas, trained_by_hash, tmp_path):
    from nas.engine.search import run_search

    run_search(make_config(trials=2, macs=10**9, metric="balanced-accuracy"), tmp_path / "run", gauge=gauge)
    status, out, err = nas("correlate", tmp_path / "run", "--members", 8, "--epochs", "1", "--to", 2, "--seeds", 1)
    assert status == 0, err
    assert "1 epoch " in out
    assert "8 networks, against the balanced accuracy after 2 epochs" in " ".join(out.split())
    record = json.loads((tmp_path / "run/correlation.json").read_text())
    kept = record["networks"]
    assert record["of"]["metric"] == "balanced-accuracy"
    assert [sorted(of) for of in kept.values()] == [["1", "2"]] * 8
    status, _, err = nas("correlate", tmp_path / "run", "--macs", "1M")
    assert (status, err) == (2, "nas: a run has its own space, data, budgets and recipe, but got macs\n")


@pytest.mark.parametrize(("arguments", "expected"), [
    ((), 60), (("--epochs", "3"), 20), (("--epochs", "9,40"), 80), (("--epochs", "9,40", "--to", 50), 50)])
def test_whole_trainings_are_at_least_twice_as_long_as_brief_ones(
        arguments, expected, make_config, gauge, nas, monkeypatch, tmp_path):
    from nas.engine.search import run_search

    def asked(*given, to, **others):
        raise InvalidInput(f"{to} epochs")

    run_search(make_config(trials=1, epochs=30), tmp_path / "run", gauge=gauge)
    monkeypatch.setattr(correlation, "correlate", asked)
    assert nas("correlate", tmp_path / "run", *arguments)[2] == f"nas: {expected} epochs\n"


def test_a_run_whose_data_have_changed_is_refused(make_config, gauge, nas, trained_by_hash, inputs, tmp_path):
    from nas.engine.search import run_search

    data, arrays = tmp_path / "data.npz", dict(np.load(inputs / "data.npz"))
    np.savez(data, **arrays)
    run_search(make_config(trials=1, data=str(data)), tmp_path / "run", gauge=gauge)
    np.savez(data, **arrays | {"y_train": 1 - arrays["y_train"]})
    assert nas("correlate", tmp_path / "run") == (
        2, "", "nas: an export or a comparison of scores needs the data of the search, but "
        f"'{data}' has changed since; `--data` takes another path\n")
    assert not (tmp_path / "run/correlation.json").exists()


def test_members_are_of_the_space_of_the_run_and_its_data_may_have_moved(
        make_config, gauge, nas, trained_by_hash, inputs, tmp_path):
    from nas.engine.search import run_search

    data, space = tmp_path / "data.npz", tmp_path / "space.toml"
    data.write_bytes((inputs / "data.npz").read_bytes())
    space.write_bytes((inputs / "space.toml").read_bytes())
    run = run_search(make_config(trials=1, data=str(data), space=str(space)), tmp_path / "run", gauge=gauge)
    space.unlink()
    moved = data.rename(tmp_path / "moved.npz")
    status, _, err = nas("correlate", tmp_path / "run", "--members", 8, "--to", 2, "--epochs", 1, "--data", moved)
    assert status == 0, err
    texts = json.loads((tmp_path / "run/correlation.json").read_text())["networks"]
    bound = Space.parse(run.resolved.space)
    assert len(texts) == 8 and all(Architecture.parse(text) in bound for text in texts)
