import dataclasses

import pytest

from nas.engine.search import run_search
from nas.problem.budgets import Budgets
from nas.problem.candidate import winner
from nas.run.artefacts import WEIGHTS, name_of
from nas.run.directory import RunDirectory
from nas.trials.tally import tally
from search_spaces import Architecture, InvalidInput


class SlowerGauge:
    """A gauge of another device, on which the file takes as many times as long."""

    def __init__(self, gauge, times):
        self.gauge, self.times = gauge, times

    def size_bytes(self, architecture):
        return self.gauge.size_bytes(architecture)

    def latency(self, architecture, precision=None):
        latency = self.gauge.latency(architecture, precision)
        return dataclasses.replace(latency, **{name: self.times * getattr(latency, name)
                                               for name in ("median_ms", "low_ms", "high_ms", "p95_ms")})


@pytest.fixture
def earlier(make_config, gauge, evaluator, tmp_path):
    """A search on a fast device that has ended, whose trainings are forgotten."""
    run = run_search(make_config(trials=6), tmp_path / "earlier", gauge=gauge)
    evaluator.trained.clear()
    return run


def trained(run):
    return {candidate.architecture: candidate for candidate in run.candidates() if candidate.trained}


def test_what_another_run_has_trained_is_timed_anew_and_not_trained_again(
        earlier, make_config, gauge, evaluator, tmp_path):
    slower = SlowerGauge(gauge, 3)
    run = run_search(make_config(target="litert", trials=2, start=[str(earlier.path)]), tmp_path / "later",
                     gauge=slower)
    before, after = trained(earlier), trained(run)
    assert before.keys() < after.keys() and len(after) == len(before) + 2
    assert {Architecture.parse(text).id for text in after.keys() - before.keys()} == set(evaluator.trained)
    for text, candidate in before.items():
        assert (after[text].accuracy, after[text].accuracy_ci) == (candidate.accuracy, candidate.accuracy_ci)
        assert after[text].latency_ms == pytest.approx(3 * candidate.latency_ms)
        assert after[text].taken_from == str(earlier.path) and list(after[text].costs.latencies) == ["litert"]
    counts = tally(run.told())
    assert (counts.trained, counts.taken_over) == (2, 6)


def test_the_budgets_of_the_new_target_decide_and_the_weights_go_along(
        earlier, make_config, gauge, evaluator, tmp_path):
    best = winner(earlier.candidates())
    limit_ms = 3.06 * best.latency_ms * 0.99  # just too little for it
    run = run_search(make_config(target="litert", trials=1, start=[str(earlier.path)], latency_ms=limit_ms),
                     tmp_path / "later", gauge=SlowerGauge(gauge, 3))
    taken = [candidate for candidate in run.candidates() if candidate.taken_from]
    fast_enough = {text for text, candidate in trained(earlier).items() if 3.06 * candidate.latency_ms <= limit_ms}
    assert {candidate.architecture for candidate in taken} == fast_enough < trained(earlier).keys()
    assert all(Budgets(limit_ms, targets=("litert",)).violations(candidate.costs)["latency"] <= 0
               for candidate in taken)
    for candidate in run.candidates():
        name = name_of(WEIGHTS, Architecture.parse(candidate.architecture).id)
        if candidate.taken_from and name in run.artefacts.store.names(WEIGHTS):
            assert run.artefacts.get(name) == earlier.artefacts.get(name) is not None


def test_a_run_to_start_from_is_found_from_anywhere_and_needed_only_once(
        earlier, make_config, gauge, evaluator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = make_config(trials=2, start=["earlier"])
    assert config.start == (str(tmp_path / "earlier"),)
    run = run_search(config, "later", gauge=gauge)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    more = run_search(dataclasses.replace(config, trials=3), run.path.absolute() if run.path.is_absolute()
                      else tmp_path / run.path, gauge=gauge)
    assert len(evaluator.trained) == 3 and len(trained(more)) == 6 + 3


@pytest.mark.parametrize(("changes", "difference"), [
    ({"epochs": 5}, "epochs is 3 there, 5 here"),
    ({"augmentation": "none"}, "augmentation is 'shift' there, 'none' here"),
    ({"mixup": 0.2}, "mixup is 0.0 there, 0.2 here"),
    ({"evaluator": "training"}, "evaluator is 'hash' there, 'training' here"),
])
def test_accuracies_of_other_trainings_are_not_taken_over(changes, difference, earlier, make_config, gauge, tmp_path):
    with pytest.raises(InvalidInput, match="a run to start from must have trained as this search does") as error:
        run_search(make_config(start=[str(earlier.path)], **changes), tmp_path / "later", gauge=gauge)
    assert difference in str(error.value) and not (tmp_path / "later").exists()


def test_a_search_trains_for_as_long_as_the_run_that_it_starts_from(earlier, make_config, gauge, tmp_path):
    run = run_search(make_config(epochs=None, trials=1, start=[str(earlier.path)]), tmp_path / "later", gauge=gauge)
    assert run.config.epochs == earlier.config.epochs == 3


def test_a_directory_that_holds_no_run_is_refused_in_one_line(make_config, gauge, tmp_path):
    with pytest.raises(InvalidInput, match=r"a run directory holds run\.toml, but '.*/nowhere' does not"):
        run_search(make_config(start=[str(tmp_path / "nowhere")]), tmp_path / "later", gauge=gauge)


def test_an_architecture_that_a_run_has_trained_is_not_trained_for_its_name(
        earlier, make_config, gauge, evaluator, tmp_path):
    text = next(iter(trained(earlier)))
    run_search(make_config(trials=1, start=[text, str(earlier.path)]), tmp_path / "later", gauge=gauge)
    assert Architecture.parse(text).id not in evaluator.trained
    assert {one.architecture for one in RunDirectory(tmp_path / "later").trainings()} > trained(earlier).keys()


def test_candidates_of_another_run_neither_end_a_search_nor_its_patience(earlier, make_config, gauge, evaluator,
                                                                        tmp_path):
    run_search(make_config(trials=None, patience=3, start=[str(earlier.path)]), tmp_path / "later", gauge=gauge)
    assert len(evaluator.trained) > 3
