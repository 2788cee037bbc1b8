import json

import numpy as np
import pytest

from evaluators.datasets import load_dataset
from evaluators.evaluator import Diverged, Score
from evaluators.recipe import Recipe
from nas.engine.scores import ScoreRecord, known_noise, known_sample, read_scores
from nas.problem.budgets import Budgets
from search_spaces import InvalidInput

RECIPE = Recipe(epochs=3)


def quiet(what, done, total):
    """Progress that nobody looks at."""


@pytest.fixture
def record(inputs, tmp_path):
    return ScoreRecord(tmp_path / "scores.json", load_dataset(str(inputs / "data.npz")), RECIPE)


@pytest.fixture
def counted(inputs, all_members, tmp_path):
    """Scores four networks with two seeds and one of two epochs, up to a training that fails."""
    networks = list(all_members.values())[:4]

    def run(fails_at=None, recipe=RECIPE, error=KeyboardInterrupt, evaluator="training"):
        trained = []

        def evaluate(architecture, data, fidelity):
            if len(trained) == fails_at:
                raise error
            trained.append((architecture.id, fidelity.recipe.epochs, fidelity.recipe.seed))
            return Score(0.5 + fidelity.recipe.seed / 10, 40)

        record = ScoreRecord(tmp_path / "scores.json", load_dataset(str(inputs / "data.npz")), recipe, evaluator)
        return record.sample([(evaluate, evaluate)], networks, (1, 2), 2, quiet), trained

    return run


def test_scores_that_are_recorded_are_not_made_again(counted):
    with pytest.raises(KeyboardInterrupt):
        counted(fails_at=5)
    found, trained = counted()
    assert len(trained) == 16 - 5
    assert found.accuracies(2).tolist() == [[0.5, 0.6]] * 4
    assert counted()[1] == []


def test_what_another_process_records_during_a_training_is_kept(record, all_members):
    own, other = list(all_members.values())[:2]

    def evaluate(architecture, data, fidelity):
        for text in (own.text, other.text):  # the same training there is as good as this one, and counts
            record.add(text, 1, 0, 0.7, 2.0)
        return Score(0.5, 40)

    found = record.sample([(evaluate, evaluate)], [own], (1,), 1, quiet)
    assert found.accuracies(1).tolist() == [[0.7]]
    known = json.loads(record.path.read_text())["networks"]
    assert known == {text: {"1": [[0.7, 2.0]]} for text in (own.text, other.text)}


def test_a_row_has_a_log_loss_where_that_is_known_and_stays_in_the_record_as_it_was(record):
    of, networks = record.content()["of"], {"net": {"1": [[0.5, 2.0]], "3": [[0.7, 3.0, 0.25]]}}
    record.path.write_text(json.dumps({"of": of, "networks": networks}))
    with record.changed():
        pass
    assert json.loads(record.path.read_text()) == {"of": of, "networks": networks}
    sample = known_sample(record.path, 1)
    assert (sample.log_losses(1), sample.log_losses(3).tolist()) == (None, [[0.25]])


@pytest.mark.parametrize("other", [{"recipe": Recipe(epochs=3, batch=7)}, {"evaluator": "score:evaluate"}])
def test_a_record_of_other_scores_is_not_mixed_with_these(other, counted):
    counted()
    with pytest.raises(InvalidInput, match=r"own data, evaluator and recipe, .*'batch': 32.*; `--record FILE` begins"):
        counted(**other)


@pytest.mark.parametrize("content", [
    "[]", '{"of": {}, "networks": []}', '{"of": 1, "networks": {}}', '{"of": {}, "networks": {"a": [1]}}',
    '{"of": {}, "networks": {"a": {"3": [0.5, 0.6]}}}', '{"of": {}, "networks": {"a": {"3": [[null, 1.0]]}}}'])
def test_a_file_that_is_no_record_is_refused(content, counted, tmp_path):
    (tmp_path / "scores.json").write_text(content)
    for use in (counted, lambda: known_noise(tmp_path / "scores.json", 3)):
        with pytest.raises(InvalidInput, match="has written it"):
            use()


def test_a_network_whose_training_diverges_has_no_accuracy_and_is_no_noise(counted, tmp_path):
    found, _ = counted(fails_at=13, error=Diverged)
    assert found.accuracies(1).tolist() == [[0.5, 0.6]] * 3 + [[0.5, 0]]
    assert found.accuracies(2).tolist() == [[0.5, 0.6]] * 3 + [[0, 0]]
    assert counted()[1] == []
    assert known_noise(tmp_path / "scores.json", 1).networks == 3
    assert known_noise(tmp_path / "scores.json", 2).deviation == pytest.approx(0.1 / 2**0.5)


def test_whole_trainings_beside_scores_of_another_evaluator_are_told_from_these(inputs, all_members, tmp_path):
    def brief(architecture, data, fidelity):
        return Score(np.float32(0.25), 40, log_loss=np.float32(0.5))  # as an evaluator may return them

    def whole(architecture, data, fidelity):
        return Score(0.75, 40)

    networks, path = list(all_members.values())[:2], tmp_path / "new/scores.json"
    record = ScoreRecord(path, load_dataset(str(inputs / "data.npz")), RECIPE, "module:function")
    assert record.sample([(brief, whole)], networks, (1, 2), 1, quiet).accuracies(2).tolist() == [[0.75]] * 2
    found = record.sample([(brief, whole)], networks, (1, 2, 4), 1, quiet)
    assert [found.accuracies(length).tolist() for length in (1, 2, 4)] == [[[0.25]] * 2, [[0.25]] * 2, [[0.75]] * 2]
    assert known_noise(path, 2) is None
    known = known_sample(path, fewest=2)
    assert known.lengths == [1, 2, 4] and known.accuracies(4).tolist() == [[0.75]] * 2


def test_what_else_a_record_holds_is_kept(counted, record):
    with record.changed() as content:
        content["other"] = {"fitted": 3}
    counted()
    content = record.content()
    assert content["other"] == {"fitted": 3}
    assert len(content["networks"]) == 4


def test_what_meets_budgets_is_found_once_and_by_the_first_of_two_processes(record):
    budgets = Budgets(macs=10)

    def kept(count, found, space="space"):
        return record.members("name", space, budgets, count, lambda: found)

    assert kept(3, ["a", "b", "c"]) == kept(3, ["other"]) == ["a", "b", "c"]
    assert kept(2, ["other"]) == ["a", "b"]
    assert kept(4, ["d"]) == ["d"]
    assert kept(4, ["e"], "another space") == ["e"]

    def slower():
        kept(5, ["faster"])
        return ["slower"]

    assert record.members("name", "space", budgets, 5, slower) == ["faster"]


@pytest.mark.parametrize("filling", [["x"], {"where": ["x"]}, {"where": {"name": {"space": ""}}},
                                     {"where": {"name": {"space": "", "asked": 1, "members": 3}}}])
def test_a_record_whose_members_are_damaged_is_refused(filling, inputs, tmp_path):
    record = tmp_path / "scores.json"
    record.write_text(json.dumps({"of": {}, "networks": {}, "filling": filling}))
    with pytest.raises(InvalidInput, match="a record of scores must be as"):
        read_scores(record)


def test_noise_is_what_seeds_differ_by(tmp_path):
    draws = np.random.default_rng(0).normal(0.8, 0.02, (10, 400)).clip(0, 1)
    record = tmp_path / "scores.json"
    record.write_text(json.dumps({"of": {}, "networks": {
        f"network {index}": {"3": [(value, 5.0) for value in of], "20": [(index / 10, 60.0)]}
        for index, of in enumerate(draws)}}))
    assert known_noise(record, 3).deviation == pytest.approx(0.02, rel=0.05)
    assert known_noise(record, 3).networks == 10
    assert known_noise(record, 20) is known_noise(record, 9) is known_noise(tmp_path / "nowhere", 3) is None


def test_a_record_gives_the_networks_that_were_trained_longest_by_what_they_have_in_common(tmp_path):
    rows = {f"net{index}": {"1": [[0.5, 1.0], [0.6, 1.0]][:1 + index % 2], "3": [[0.7, 3.0]], "20": [[0.9, 9.0]] * 2}
            for index in range(4)} | {"brief": {"3": [[0.1, 1.0]]}}
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"of": {}, "networks": rows}))
    sample = known_sample(record, 4)
    assert list(sample.scores) == ["net0", "net1", "net2", "net3"]
    assert sample.lengths == [1, 3, 20]
    assert [sample.accuracies(length).shape for length in sample.lengths] == [(4, 1), (4, 1), (4, 2)]
    assert known_sample(record, 5) is None
    rows = {name: {"20": of["20"]} for name, of in rows.items() if "20" in of}
    record.write_text(json.dumps({"of": {}, "networks": rows}))
    assert known_sample(record, 4) is None  # one length has nothing to be compared with
    assert known_sample(tmp_path / "none.json", 1) is None
