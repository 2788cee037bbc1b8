import numpy as np
import pytest

from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate
from nas.problem.problem import Problem
from nas.strategies.surrogate.features import Members
from nas.strategies.surrogate.observations import observed, told_by
from search_spaces.space import Space

SPACE = Space.parse("in_r12_c1+conv_k3_c8/16_s2_relu+head_c16_relu_n2")


def test_an_error_that_is_expected_to_be_above_1_has_a_deviation():
    problem = Problem(SPACE, budgets=Budgets(), epochs=9)
    accuracies = [((1, 0.8 - place / 20), (9, 0.2 - place / 50)) for place in range(8)]  # all grow worse
    told = [told_by(Candidate(0, accuracies=each, accuracy=each[-1][1], total=100, epochs=each[-1][0],
                              trained=each[-1][0] == 9, state="complete"), problem)
            for each in [*accuracies, ((1, 0.05),)]]
    found = observed(Members(SPACE, memory=False).drawn(1) * len(told), told, told, problem)
    assert found.objectives[-1, 0] > 1
    assert np.isfinite(found.deviations).all()


@pytest.mark.parametrize("accuracy", [0.4, 0.9])
def test_an_accuracy_is_as_uncertain_as_the_share_of_so_many_images(accuracy):
    problem, count = Problem(SPACE, budgets=Budgets()), 1000
    member = Members(SPACE, memory=False).drawn(1)[0]
    told = [told_by(Candidate(0, accuracy=accuracy, total=total, trained=True, state="complete"), problem)
            for total in (count, 0)]
    counted, known = (observed([member], [one], [one], problem).deviations for one in told)
    wrong = np.random.default_rng(0).binomial(count, 1 - accuracy, 100_000) / count
    assert counted == pytest.approx(np.log(wrong).std(), rel=0.03)
    assert known == 0  # of a table


def trained(accuracy, log_loss, epochs=9, rungs=()):
    return Candidate(0, accuracies=(*rungs, (epochs, accuracy)), accuracy=accuracy, total=100, epochs=epochs,
                     log_loss=log_loss, trained=epochs == 9, state="complete")


def losses_of(candidates):
    problem = Problem(SPACE, budgets=Budgets(), epochs=9)
    told = [told_by(candidate, problem) for candidate in candidates]
    return observed(Members(SPACE, memory=False).drawn(1) * len(told), told, told, problem)


def test_the_loss_is_the_log_loss_of_the_same_images_as_uncertain_as_their_error():
    found, of_errors = (losses_of([trained(0.8, one), trained(0.5, two)]) for one, two in ((0.6, 1.4), (None, None)))
    assert found.objectives[:, 0].tolist() == found.past.tolist() == [0.6, 1.4]
    assert of_errors.objectives[:, 0] == pytest.approx([0.2, 0.5])
    assert found.deviations.tolist() == of_errors.deviations.tolist()


def test_the_loss_is_the_error_where_one_whole_training_has_no_log_loss():
    found = losses_of([trained(0.8, 0.6), trained(0.5, None)])
    assert found.objectives[:, 0] == pytest.approx([0.2, 0.5])


def test_losses_are_errors_as_long_as_no_whole_training_tells_what_stopped_ones_are_worth():
    whole, stopped = [trained(0.8, 0.6), trained(0.7, 0.9)], trained(0.5, None, epochs=1)
    assert losses_of(whole).objectives[:, 0].tolist() == [0.6, 0.9]
    assert losses_of([*whole, stopped]).objectives[:2, 0] == pytest.approx([0.2, 0.3])
    went_on = trained(0.6, 1.2, rungs=((1, 0.5),))
    assert losses_of([*whole, stopped, went_on]).objectives[[0, 1, 3], 0] == pytest.approx([0.6, 0.9, 1.2])


def test_the_log_loss_of_a_stopped_training_is_expected_from_those_that_went_on():
    went_on = [trained(1 - error, 3 * error, rungs=((1, 1 - 2 * error),)) for error in (0.1, 0.2, 0.3, 0.4)] * 20
    stopped = trained(1 - 0.5, None, epochs=1)
    found = losses_of([*went_on, stopped])
    assert found.objectives[-1, 0] == pytest.approx(3 * 0.25, rel=0.02)
    assert found.left.tolist() == [0] * len(went_on) + [8]
