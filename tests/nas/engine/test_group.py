"""Workers that share one training process."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from evaluators.evaluator import Context, Fidelity
from evaluators.machine.trouble import MachineTrouble
from evaluators.recipe import Recipe
from nas.engine import pool, prepare
from nas.engine.group import Group, fit_side_by_side
from nas.engine.search import run_search
from nas.engine.setting import setting_of
from nas.engine.trial import CandidateFailed
from nas.engine.workers import TrainingProcess
from nas.problem.candidate import distinct
from search_spaces import Architecture

SHORT, LONG = Fidelity(Recipe(9), 1), Fidelity(Recipe(9), 9)
NEVER_S = 60


class Process:
    """Gives the parameters of a network as its score; notes which candidates it is given at a time."""

    def __init__(self, errors=()):
        self.groups, self._errors = [], list(errors)
        self.closed = False

    def scores(self, candidates):
        self.groups.append([architecture for architecture, _ in candidates])
        if self._errors:
            raise self._errors.pop(0)
        return [self.score(architecture) for architecture in self.groups[-1]]

    @staticmethod
    def score(architecture):
        failed = architecture.input.resolution == 13
        return CandidateFailed("it diverged") if failed else architecture.params

    def close(self):
        self.closed = True


def networks(count, resolution=12):
    return [Architecture.parse(f"in_r{resolution}_c1+conv_k3_c{8 * (index + 1)}_s2_relu+head_c16_relu_n2")
            for index in range(count)]


def asked(group, candidates):
    """Returns what each candidate's worker gets, its score or its error."""
    def ask(candidate):
        try:
            return group(candidate[0], None, candidate[1])
        except (CandidateFailed, MachineTrouble, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(len(candidates)) as workers:
        return list(workers.map(ask, candidates))


def test_candidates_are_given_together_once_all_workers_have_one():
    process, members = Process(), networks(4)
    found = asked(Group(process, 4, NEVER_S), [(member, SHORT) for member in members])
    assert found == [member.params for member in members]
    assert [set(group) for group in process.groups] == [set(members)]


def test_they_wait_no_longer_when_no_other_comes():
    process, members = Process(), networks(2)
    assert asked(Group(process, 5, 0.2), [(member, SHORT) for member in members]) == [
        member.params for member in members]
    assert sum(map(len, process.groups)) == 2


def test_only_those_of_one_input_and_one_part_of_the_training_are_together():
    process = Process()
    begun = Fidelity(Recipe(9), 9, {"epochs": np.array(1)})
    kinds = [[(member, fidelity) for member in networks(2, resolution)]
             for resolution, fidelity in ((12, SHORT), (12, LONG), (12, begun), (16, SHORT))]
    asked(Group(process, 8, 0.5), [candidate for pair in zip(*kinds, strict=True) for candidate in pair])
    together = [{(architecture, fidelity) for architecture, fidelity in kind} for kind in kinds]
    assert len(process.groups) == 4
    assert sorted(sorted(network.text for network in group) for group in process.groups) == sorted(
        sorted(network.text for network, _ in kind) for kind in together)


def test_an_error_of_one_is_not_that_of_others():
    well, ill = networks(1)[0], networks(1, 13)[0]
    process = Process()
    found = asked(Group(process, 2, 0.2), [(well, SHORT), (ill, SHORT)])
    assert found[0] == well.params
    assert isinstance(found[1], CandidateFailed)


def test_who_ends_the_process_is_found_by_giving_it_each_alone():
    members = networks(3)
    process = Process([CandidateFailed("the training process died"), CandidateFailed("the training process died")])
    found = asked(Group(process, 3, NEVER_S), [(member, SHORT) for member in members])
    assert [len(group) for group in process.groups] == [3, 1, 1, 1]
    culprit = process.groups[1][0]
    for member, answer in zip(members, found, strict=True):
        assert isinstance(answer, CandidateFailed) if member == culprit else answer == member.params


@pytest.mark.parametrize("error", [MachineTrouble("no memory"), KeyboardInterrupt()])
def test_trouble_of_the_machine_and_interruptions_are_told_to_all(error):
    process = Process([error])
    assert asked(Group(process, 3, NEVER_S), [(member, SHORT) for member in networks(3)]) == [error] * 3
    Group(process, 3).close()
    assert process.closed


def test_others_queue_while_a_group_is_trained():
    process, members, going_on = Process(), networks(3), threading.Event()
    scores = process.scores

    def slow(candidates):
        assert going_on.wait(NEVER_S)
        return scores(candidates)

    process.scores = slow
    group = Group(process, 3, 0.1)
    with ThreadPoolExecutor(3) as workers:
        first = workers.submit(group, members[0], None, SHORT)
        while not group._busy:
            pass
        others = [workers.submit(group, member, None, SHORT) for member in members[1:]]
        while len(group._waiting) < 2:
            pass
        going_on.set()
        assert [each.result() for each in (first, *others)] == [member.params for member in members]
    assert [len(together) for together in process.groups] == [1, 2]


@pytest.mark.parametrize(("recipe", "fit"), [
    (Recipe(), True), (Recipe(average=0.9, mixup=0.2), True), (Recipe(stochastic_depth=0.2), False),
    (Recipe(compile="network"), True), (Recipe(compile="blocks"), False)])
def test_images_that_skip_branches_and_pieces_to_compile_are_for_one_network_at_a_time(recipe, fit):
    assert fit_side_by_side(recipe) == fit


@pytest.mark.parametrize(("devices", "changes", "shared"), [
    (1, {}, True), (0, {}, False), (2, {}, False), (1, {"compile": "blocks"}, False),
    (1, {"trial_time_s": 60.0}, False), (1, {"evaluator": "hash"}, False)])
def test_workers_share_one_process_on_one_accelerator_only(devices, changes, shared, make_config, monkeypatch):
    monkeypatch.setattr(pool, "accelerators", lambda: devices)
    config = make_config(**({"evaluator": "training", "workers": 3} | changes))
    setting = setting_of(config)
    with contextlib.ExitStack() as stack:
        evaluators = prepare._evaluators(config, setting, Context(setting.space, setting.dataset, None, config.recipe),
                                         stack)
    assert len(evaluators) == 3
    assert {type(evaluator) for evaluator in evaluators} == {Group if shared else TrainingProcess}
    assert len(set(map(id, evaluators))) == (1 if shared else 3)


@pytest.mark.slow  # it compiles for each group
def test_a_search_on_one_accelerator_gives_the_accuracies_of_trainings_one_at_a_time(make_config, gauge, tmp_path,
                                                                                    monkeypatch):
    monkeypatch.setattr(pool, "accelerators", lambda: 1)
    runs = [run_search(make_config(evaluator="training", workers=workers, trials=6, epochs=2, batch=40,
                                   early_stopping=True), tmp_path / str(workers), None, gauge) for workers in (1, 3)]
    alone, together = ({candidate.architecture: candidate for candidate in distinct(run.candidates())} for run in runs)
    assert any(candidate.compiled == "side by side" for candidate in together.values())
    met = alone.keys() & together.keys()
    assert len(met) > 3
    for architecture in met:
        for ours, theirs in zip(alone[architecture].accuracies, together[architecture].accuracies, strict=False):
            assert ours == pytest.approx(theirs, abs=1.5 / 40)  # an image, of 40, for the sake of rounding
