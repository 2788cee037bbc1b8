import contextlib
import dataclasses
import json

import numpy as np
import pytest

import evaluators.training.logistic_regression
import nas.engine.pool as module_of_pool
import nas.export.certificate
import nas.export.finals as module
import nas.export.winner
from evaluators.datasets import load_dataset
from evaluators.evaluator import Context, Fidelity
from evaluators.latency import Latency
from evaluators.recipe import Recipe
from evaluators.training.train import Images, evaluate, train
from nas.engine.search import run_search
from nas.engine.trial import CandidateFailed
from nas.export.finals import finalists, parse_finals, play
from nas.report.certificate import certificate_report
from nas.run.monitor import Silent
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput
from tests.nas.export.test_finalists import candidate, timed

RECIPE = Recipe(epochs=8, batch=16)


@pytest.fixture
def dataset(tmp_path):
    """12x12 images of two classes, dark and bright ones, enough of them to tell networks apart."""
    generator, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 96), ("val", 120), ("test", 40)):
        labels = np.arange(count) % 2
        arrays |= {f"x_{part}": (generator.integers(0, 128, (count, 12, 12)) + 100 * labels[:, None, None]).astype(
            np.uint8), f"y_{part}": labels}
    np.savez(tmp_path / "enough.npz", **arrays)
    return load_dataset(str(tmp_path / "enough.npz"))


@pytest.fixture
def played(all_members, dataset, tmp_path, monkeypatch):
    """Returns what finals of four networks find whose accuracies after some epochs are given, and what was trained."""
    texts = [network.text for network in all_members.values()][:4]

    def play_of(correct):
        trained = []

        def made_up(text, training, dataset, recipe, *files):
            trained.append((texts.index(text), recipe.epochs))
            return module.Standing(training, text, recipe.epochs, correct[trained[-1]] / 120,
                                   calibrated_log_loss=1 - correct[trained[-1]] / 120)

        monkeypatch.setattr(module, "_trained", made_up)
        monkeypatch.setattr(module, "FINALISTS", 2)
        entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=text) for trial, text in enumerate(texts)]
        return play(entrants, dataset, RECIPE, tmp_path / "finals.json", Silent(), [evaluate]), trained

    return play_of


CORRECT = {(0, 2): 50, (1, 2): 90, (2, 2): 80, (3, 2): 70, (1, 8): 95, (2, 8): 96}


def test_the_better_half_of_a_short_round_is_trained_to_the_end_and_the_best_of_that_wins(played):
    standings, trained = played(CORRECT)
    assert trained == [(0, 2), (1, 2), (2, 2), (3, 2), (1, 8), (2, 8)]
    assert list(standings) == [2, 1, 3, 0]
    assert (standings[2].accuracy, standings[2].epochs, standings[0].epochs) == (96 / 120, 8, 2)


@pytest.mark.parametrize(("in_search", "epochs", "expected"), [
    ((None, None), 4, [1, 0]), ((0.5, None), 4, [1, 0]), ((0.5, 0.6), 4, [1, 0]), ((0.2, 0.8), 4, [0, 1]),
    ((0.2, 0.8), 1, [1, 0]), ((1e-9, 1e-3), 4, [1, 0])])
def test_the_log_loss_decides_that_of_the_search_as_well_whatever_the_accuracies_are(
        in_search, epochs, expected, all_members, dataset, tmp_path, monkeypatch):
    texts = [network.text for network in all_members.values()][:2]
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, (0.9, 0.8)[texts.index(text)],
        calibrated_log_loss=(0.4, 0.3)[texts.index(text)]))
    entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=text, log_loss=in_search[trial], epochs=epochs)
                for trial, text in enumerate(texts)]
    assert list(play(entrants, dataset, RECIPE, tmp_path / "finals.json", Silent(), [evaluate])) == expected


def test_the_best_made_by_hand_is_trained_to_the_end_however_it_begins(
        all_members, dataset, tmp_path, monkeypatch):
    texts = [network.text for network in all_members.values()][:4]
    correct = {(0, 4): 90, (1, 4): 80, (2, 4): 40, (3, 4): 50, (0, 16): 95, (1, 16): 94, (3, 16): 96}
    monkeypatch.setattr(module, "FINALISTS", 2)
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, correct[texts.index(text), recipe.epochs] / 120))
    entrants = [dataclasses.replace(candidate(trial, 0.8, by_hand=trial > 1), architecture=text)
                for trial, text in enumerate(texts)]
    standings = play(entrants, dataset, dataclasses.replace(RECIPE, epochs=16), tmp_path / "finals.json", Silent(),
                     [evaluate])
    assert [(trial, standing.epochs) for trial, standing in standings.items()] == [(3, 16), (0, 16), (1, 16), (2, 4)]


def test_the_best_that_is_much_faster_is_trained_to_the_end_though_a_first_round_leaves_it_behind(
        all_members, dataset, tmp_path, monkeypatch):
    texts = [network.text for network in all_members.values()][:4]
    monkeypatch.setattr(module, "FINALISTS", 2)
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, (90 - 10 * texts.index(text)) / 120))
    entrants = [dataclasses.replace(timed(trial, 0.8, (1.0, 0.9, 0.6, 0.5)[trial]), architecture=text)
                for trial, text in enumerate(texts)]
    standings = play(entrants, dataset, dataclasses.replace(RECIPE, epochs=16), tmp_path / "finals.json", Silent(),
                     [evaluate])
    assert [(trial, standing.epochs) for trial, standing in standings.items()] == [(0, 16), (1, 16), (2, 16), (3, 4)]


def test_a_first_round_is_left_out_where_the_search_has_trained_as_long(all_members, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, 0.5))
    monkeypatch.setattr(module, "FINALISTS", 2)
    entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=network.text, epochs=2)
                for trial, network in zip(range(3), all_members.values(), strict=False)]
    standings = play(entrants, dataset, RECIPE, tmp_path / "finals.json", Silent(), [evaluate])
    assert [standing.epochs for standing in standings.values()] == [8, 8, 8]


def test_trainings_that_finals_have_behind_them_are_not_repeated(played):
    with pytest.raises(KeyError):  # as when it is stopped in the second round
        played({key: value for key, value in CORRECT.items() if key != (2, 8)})
    standings, trained = played(CORRECT)
    assert trained == [(2, 8)]
    assert next(iter(standings)) == 2


def test_what_another_export_records_during_the_finals_is_kept(played, tmp_path, monkeypatch):
    record, write = tmp_path / "finals.json", module.write_whole
    other = module.Standing("other", "another network", 8, 0.5, calibrated_log_loss=0.7)

    def write_and_be_joined(path, content):
        write(path, content)
        write(path, json.dumps([*json.loads(record.read_text()), vars(other)]).encode())
        monkeypatch.setattr(module, "write_whole", write)

    monkeypatch.setattr(module, "write_whole", write_and_be_joined)
    played(CORRECT)
    assert other in module.recorded(record)
    assert len(module.recorded(record)) == len(CORRECT) + 1


def test_trainings_that_another_metric_has_judged_are_made_again(all_members, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, 0.5 if dataset.metric == "accuracy" else 0.25, dataset.metric))
    one = dataclasses.replace(candidate(0, 0.8), architecture=next(iter(all_members.values())).text)
    for metric, accuracy in (("accuracy", 0.5), ("macro-f1", 0.25)):
        judged = dataclasses.replace(dataset, metric=metric)
        assert play([one], judged, RECIPE, tmp_path / "one.json", Silent(), [evaluate])[0].accuracy == accuracy


def test_finals_that_earlier_versions_have_recorded_are_read(tmp_path):
    record = tmp_path / "finals.json"
    record.write_text('[{"training": "1", "architecture": "a", "epochs": 5, "correct": 30, "total": 40},'
                      ' {"training": "2", "architecture": "b", "epochs": 5, "accuracy": 0.5, "log_loss": 0.1}]')
    of_counts, of_plain_log_loss = module.recorded(record)
    assert of_counts == module.Standing("1", "a", 5, 0.75)
    assert of_plain_log_loss == module.Standing("2", "b", 5, 0.5) and not of_plain_log_loss.is_comparable


def test_a_training_without_a_log_loss_is_made_again_and_stays_in_the_record_until_then(
        all_members, dataset, tmp_path, monkeypatch):
    made = [module.Standing(training, "a", 8, 0.75) for training in ("known", "of another network")]
    record = tmp_path / "finals.json"
    record.write_text(json.dumps(list(map(vars, made))))
    monkeypatch.setattr(module, "training_id", lambda *arguments: "known")
    entrant = dataclasses.replace(candidate(0, 0.8), architecture=next(iter(all_members.values())).text)
    standing = play([entrant], dataset, dataclasses.replace(RECIPE, epochs=1), record, Silent(), [evaluate])[0]
    assert standing.calibrated_log_loss is not None
    assert module.recorded(record) == [standing, made[1]]


@pytest.mark.parametrize(("count", "epochs"), [(1, [8, 2]), (3, [8, 8, 8, 8])])  # 2 * 2 + 8 < 16, 4 * 2 + 24 = 32
def test_a_first_round_is_left_out_where_it_saves_no_time(
        count, epochs, all_members, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FINALISTS", count)
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, 0.5))
    entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=network.text)
                for trial, network in zip(range(count + 1), all_members.values(), strict=False)]
    standings = play(entrants, dataset, RECIPE, tmp_path / "some.json", Silent(), [evaluate])
    assert [standing.epochs for standing in standings.values()] == epochs


def test_as_many_finalists_as_there_are_by_default_are_all_trained_to_the_end(all_members, dataset, tmp_path,
                                                                            monkeypatch):
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, 0.5))
    entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=network.text)
                for trial, network in zip(range(module.FINALISTS), all_members.values(), strict=False)]
    standings = play(entrants, dataset, RECIPE, tmp_path / "some.json", Silent(), [evaluate])
    assert [(trial, standing.epochs) for trial, standing in standings.items()] == [
        (entrant.trial, 8) for entrant in entrants]  # a tie: the earlier


def test_a_finalist_is_trained_on_training_images_alone_and_judged_on_validation_images(all_members, dataset, tmp_path):
    network = next(iter(all_members.values()))
    recipe = dataclasses.replace(RECIPE, epochs=2)
    entrant = dataclasses.replace(candidate(0, 0.8), architecture=network.text)
    standing = play([entrant], dataset, recipe, tmp_path / "finals.json", Silent(), [evaluate])[0]
    training, validation = (Images.put(part.images, part.labels, dataset)
                            for part in (dataset.train, dataset.validation))
    expected = train(Architecture.parse(network.text), training, validation, Fidelity(recipe))
    assert (standing.accuracy, standing.metric) == (expected.accuracy, "accuracy")
    assert standing.calibrated_log_loss == expected.log_loss


def test_a_finalist_that_diverges_comes_last(all_members, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Recipe, "rate", lambda recipe, progress: 1e30)
    recipe = dataclasses.replace(RECIPE, epochs=1)
    entrant = dataclasses.replace(candidate(0, 0.8), architecture=next(iter(all_members.values())).text)
    standing = play([entrant], dataset, recipe, tmp_path / "finals.json", Silent(), [evaluate])[0]
    assert (standing.accuracy, standing.calibrated_log_loss) == (0, None)
    assert standing.rank > dataclasses.replace(standing, calibrated_log_loss=100.0).rank


def test_finalists_train_at_a_time_in_processes_of_their_own(all_members, dataset, tmp_path):
    entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=network.text)
                for trial, network in zip(range(3), all_members.values(), strict=False)]
    recipe, record = dataclasses.replace(RECIPE, epochs=1), tmp_path / "finals.json"
    with module_of_pool.evaluators("training", Context(None, dataset, tmp_path, recipe), 2) as made:
        alone = play(entrants[:1], dataset, recipe, record, Silent(), made)
        standings = play(entrants, dataset, recipe, record, Silent(), made)
    assert standings[0] == alone[0], "it is recorded"
    assert sorted(standings) == [0, 1, 2] and len(module.recorded(record)) == 3
    assert all(standing.calibrated_log_loss for standing in standings.values())


def test_an_interrupt_of_finals_ends_their_processes(all_members, dataset, tmp_path):
    entrants = [dataclasses.replace(candidate(trial, 0.8), architecture=network.text)
                for trial, network in zip(range(4), all_members.values(), strict=False)]

    class Interrupting(Silent):
        def progress(self, what, done, total):
            if done:
                raise KeyboardInterrupt

    recipe = dataclasses.replace(RECIPE, epochs=1)
    with (pytest.raises(KeyboardInterrupt),
          module_of_pool.evaluators("training", Context(None, dataset, tmp_path, recipe), 2) as made):
        play(entrants, dataset, recipe, tmp_path / "finals.json", Interrupting(), made)
    assert 1 <= len(module.recorded(tmp_path / "finals.json")) < 4
    assert all(process._process is None or process._process.poll() is not None for process in made)


def test_a_finalist_whose_process_fails_is_not_recorded(all_members, dataset, tmp_path):
    entrant = dataclasses.replace(candidate(7, 0.8), architecture=next(iter(all_members.values())).text)

    def fails(*arguments):
        raise CandidateFailed("the training process died of SIGABRT")

    with pytest.raises(CandidateFailed, match="SIGABRT"):
        play([entrant], dataset, RECIPE, tmp_path / "finals.json", Silent(), [fails])
    assert module.recorded(tmp_path / "finals.json") == []


def test_a_record_of_finals_that_is_damaged_is_named_before_any_training(all_members, dataset, tmp_path):
    record, network = tmp_path / "finals.json", next(iter(all_members.values()))
    entrants = [dataclasses.replace(candidate(0, 0.8), architecture=network.text)]
    words = '[{"training": "1", "architecture": "a", "epochs": 5, "accuracy": "0.9"}]'
    for content in ("{", '[{"other": 1}]', "[1]", words):
        record.write_text(content)
        with pytest.raises(InvalidInput, match="record of finals"):
            play(entrants, dataset, RECIPE, record, Silent(), [])


def test_the_winner_of_the_finals_is_exported_and_the_certificate_says_among_how_many(
        make_config, dataset, gauge, tmp_path, monkeypatch):
    run = run_search(make_config(trials=6, latency_ms=50.0, data=str(tmp_path / "enough.npz")), tmp_path / "run",
                     gauge=gauge)
    monkeypatch.setattr(module, "APART", 1000)  # the accuracies of this search are anything
    entrants = finalists(run.candidates(), 3)
    assert len(entrants) == 3

    def made_up(text, training, dataset, recipe, *files):
        return module.Standing(training, text, recipe.epochs, (100 if text == entrants[1].architecture else 90) / 120)

    monkeypatch.setattr(module, "_trained", made_up)
    monkeypatch.setattr(nas.export.winner, "confirmed", lambda run, candidate, budgets, monitor: candidate)
    monkeypatch.setattr(nas.export.delivery, "_train_to_the_end", lambda order, *others: (
        random_arrays(order.architecture, seed=0), {"epochs": order.recipe.epochs}))
    monkeypatch.setattr(evaluators.training.logistic_regression, "easy_accuracy", lambda dataset: 0.5)
    monkeypatch.setattr(nas.export.certificate, "measure_once", lambda *arguments, **named: Latency(
        1.0, 0.99, 1.01, 1.0, 10, 0.1, 0.1, 0.1, 0.0))
    certificate = nas.export.winner.export_winner(run, finals=3, epochs=16).certificate
    assert certificate["trial"] == entrants[1].trial
    assert [(one["trial"], one["epochs"]) for one in certificate["finals"]] == [
        (entrants[1].trial, 16), (entrants[0].trial, 16), (entrants[2].trial, 16)]  # it has most multiply-adds
    assert certificate["finals"][0]["validation_accuracy"] == 100 / 120
    assert json.loads((run.path / "export/certificate.json").read_text())["finals"] == certificate["finals"]
    of_loss = certificate | {"finals": [one | {"validation_log_loss": 0.25} for one in certificate["finals"]]}
    of_both = of_loss | {"finals": [one | {"validation_log_loss_in_search": 0.5} for one in of_loss["finals"]]}
    for stated, text in ((certificate, "by accuracy on validation images: 83.33 % after 16 epochs"),
                         (of_loss, "by log loss on validation images: 0.250 (accuracy 83.33 %) after 16 epochs"),
                         (of_both, "by log loss on validation images, and in the search: 0.250 (accuracy 83.33 %)")):
        said = map(str, certificate_report(stated, run.path / "export").renderables)
        assert f"chosen among 3 finalists {text}" in "".join(said)
    latencies_ms = {candidate.trial: candidate.latency_ms for candidate in run.candidates()}
    assert [one["latency_ms"] for one in certificate["finals"]] == [
        latencies_ms[one["trial"]] for one in certificate["finals"]]
    for one, latency_ms in zip(certificate["finals"], (0.9, 0.7, 0.59), strict=True):
        one["latency_ms"] = latency_ms
    said, trial = list(map(str, certificate_report(certificate, run.path / "export").renderables)), entrants[2].trial
    assert (f"1.5 times as fast in the search: trial {trial}, 75.00 % after 16 epochs; `--trial {trial}` exports it"
            ) in said
    without = nas.export.winner.export_winner(run, finals=1, epochs=16, out=tmp_path / "without").certificate
    assert without["trial"] == entrants[0].trial
    assert "finals" not in without


def test_finals_are_of_networks_trained_to_the_end_though_the_search_stopped_others(
        make_config, dataset, gauge, tmp_path, monkeypatch):
    run = run_search(make_config(trials=9, epochs=9, early_stopping=True, data=str(tmp_path / "enough.npz")),
                     tmp_path / "run", gauge=gauge)
    monkeypatch.setattr(module, "APART", 1000)
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, 0.5))
    _, origin = nas.export.winner.best_of_finals(run, run.budgets, dataset, RECIPE, 3, Silent())
    told = {candidate.trial: candidate for candidate in run.candidates()}
    assert any(not candidate.trained for candidate in told.values())
    assert len(origin["finals"]) == 3
    assert all(told[one["trial"]].trained for one in origin["finals"])


@pytest.mark.parametrize(("workers", "expected"), [(1, 1), (2, 2), (5, 3)])
def test_as_many_finalists_train_at_a_time_as_the_search_was_told(
        workers, expected, make_config, dataset, gauge, tmp_path, monkeypatch):
    run = run_search(make_config(trials=6, data=str(tmp_path / "enough.npz")), tmp_path / "run", gauge=gauge)
    monkeypatch.setitem(vars(run), "config", dataclasses.replace(run.config, workers=workers))
    monkeypatch.setattr(module, "APART", 1000)
    asked = []

    @contextlib.contextmanager
    def counted(name, context, workers, **files):
        asked.append(workers)
        yield [evaluate]

    monkeypatch.setattr(nas.export.winner, "evaluators", counted)
    monkeypatch.setattr(module, "_trained", lambda text, training, dataset, recipe, *files: module.Standing(
        training, text, recipe.epochs, 0.5))
    nas.export.winner.best_of_finals(run, run.budgets, dataset, RECIPE, 3, Silent())
    assert asked == [expected]


def test_too_few_validation_images_are_no_ground_for_finals(dataset):
    said = []

    class Saying(Silent):
        def say(self, text):
            said.append(text)

    few = dataclasses.replace(dataset, validation=dataclasses.replace(
        dataset.validation, images=dataset.validation.images[:99], labels=dataset.validation.labels[:99]))
    assert nas.export.winner._of_enough_images(8, dataset, Saying()) == 8
    assert said == []
    assert nas.export.winner._of_enough_images(8, few, Saying()) == 1
    assert said == ["no finals: 99 validation images cannot tell networks apart, 100 can; more images help"]


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5"])
def test_finals_take_a_number_or_off(text):
    assert (parse_finals("3"), parse_finals("off")) == (3, 1)
    with pytest.raises(InvalidInput, match=f"but got '{text}'"):
        parse_finals(text)
