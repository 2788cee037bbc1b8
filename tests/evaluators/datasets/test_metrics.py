"""The metrics, held against the examples of scikit-learn's documentation, and their intervals against repetition."""

import re

import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.datasets.metrics import METRICS, require_metric
from nas.problem.candidate import accuracy_interval
from search_spaces.errors import InvalidInput


def named(classes, count):
    """Returns logits that name classes `[N]`."""
    return np.eye(count)[classes]


# examples of balanced_accuracy_score, f1_score and accuracy_score in scikit-learn 1.5
@pytest.mark.parametrize(("name", "labels", "predicted", "expected"), [
    ("balanced-accuracy", [0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], 0.625),
    ("macro-f1", [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 0.26666666666666666),
    ("accuracy", [0, 1, 2, 3], [0, 2, 1, 3], 0.5),
])
def test_a_metric_is_that_of_an_example_of_scikit_learn(name, labels, predicted, expected):
    count = max(*labels, *predicted) + 1
    for classes in (count, count + 2):  # classes without images change nothing
        assert METRICS[name].of(named(predicted, classes), np.array(labels)) == pytest.approx(expected, abs=1e-15)


def test_the_top_five_are_those_of_an_example_of_scikit_learn():
    scores = np.array([[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]])
    more = np.hstack([scores, np.full((4, 3), 0.9)])  # three above them all leave the top two of theirs
    assert METRICS["top5"].of(more, np.array([0, 1, 2, 2])) == 0.75


def test_the_log_loss_is_the_least_cross_entropy_of_optax_at_any_temperature_over_images_or_over_classes():
    generator = np.random.default_rng(0)
    labels = generator.integers(1, 4, 60)  # no image of class 0
    logits = generator.normal(size=(60, 4)) + 2 * np.eye(4)[labels]
    of_images = np.stack([optax.softmax_cross_entropy_with_integer_labels(factor * logits, labels)
                          for factor in np.geomspace(0.05, 20, 500)])
    of_classes = np.mean([of_images[:, labels == of_class].mean(1) for of_class in (1, 2, 3)], axis=0)
    for name, expected in (("accuracy", of_images.mean(1).min()), ("macro-f1", of_classes.min())):
        assert METRICS[name].log_loss(logits, labels) == pytest.approx(expected, rel=1e-4)
    assert METRICS["accuracy"].log_loss(np.where(logits > 0, np.inf, logits), labels) is None


@given(st.floats(0.3, 3), st.floats(-1e3, 1e3))
def test_the_log_loss_heeds_neither_how_sure_a_network_is_of_all_images_nor_a_constant(factor, constant):
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 40)
    logits = generator.normal(size=(40, 3)) + np.eye(3)[labels]
    assert METRICS["accuracy"].log_loss(factor * logits + constant, labels) == pytest.approx(
        METRICS["accuracy"].log_loss(logits, labels), rel=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_log_loss_of_a_network_that_is_right_or_wrong_of_all_images_is_finite(sign):
    labels = np.arange(4)
    found = METRICS["accuracy"].log_loss(sign * 5.0 * np.eye(4), labels)
    assert 0 <= found < 1e-4 if sign > 0 else found > np.log(4)


def test_without_chance_errors_metrics_of_balanced_data_agree():
    labels = np.repeat(np.arange(4), 25)
    predicted = np.where(np.arange(100) % 5 == 0, (labels + 1) % 4, labels)
    assert {METRICS[name].of(named(predicted, 4), labels) for name in ("accuracy", "balanced-accuracy")} == {0.8}
    assert METRICS["macro-f1"].of(named(predicted, 4), labels) == pytest.approx(0.8)
    assert {METRICS[name].measured(named(predicted, 4), labels)[1] for name in METRICS} == {100}


def test_one_class_named_for_all_images_is_worth_no_more_than_guessing():
    labels = np.array([0] * 95 + [1] * 5)
    logits = named(np.zeros(100, int), 2)
    assert METRICS["accuracy"].of(logits, labels) == 0.95
    assert METRICS["balanced-accuracy"].of(logits, labels) == 0.5 == METRICS["balanced-accuracy"].guessing(2)
    assert METRICS["macro-f1"].of(logits, labels) == pytest.approx(0.5 * 2 * 95 / 195)


def test_a_class_of_few_images_without_an_error_does_not_make_certain():
    labels = np.repeat([0, 1], [96, 4])
    assert METRICS["balanced-accuracy"].measured(named(labels, 2), labels) == (1.0, 15)  # 4 / (1 / 96 + 1 / 4)


def test_the_effective_number_of_images_gives_the_error_of_a_mean_over_classes():
    counts, shares = np.array([190, 10]), np.array([0.9, 0.6])
    labels = np.repeat([0, 1], counts)
    predicted = np.where(np.concatenate([np.arange(count) < share * count
                                         for count, share in zip(counts, shares, strict=True)]), labels, 1 - labels)
    score, images = METRICS["balanced-accuracy"].measured(named(predicted, 2), labels)
    variance = np.sum(shares * (1 - shares) / counts) / 4  # of a mean of two independent shares
    assert images == pytest.approx(score * (1 - score) / variance, abs=1)
    assert score == pytest.approx(0.75)
    assert images < 40


@pytest.mark.parametrize("name", ["balanced-accuracy", "macro-f1"])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(name):
    """Of 1,000 tests of a classifier whose confusions are known, on 300 images of which a tenth are of one class."""
    metric, generator = METRICS[name], np.random.default_rng(0)
    confusions, counts = np.array([[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]]), np.array([180, 90, 30])
    labels = np.repeat(np.arange(3), counts)
    expected = confusions * counts[:, None]
    truth = {"balanced-accuracy": np.mean(np.diag(confusions)),
             "macro-f1": np.mean(2 * np.diag(expected) / (expected.sum(0) + expected.sum(1)))}[name]
    held = 0
    for _ in range(1000):
        predicted = np.concatenate([generator.choice(3, size=count, p=row)
                                    for row, count in zip(confusions, counts, strict=True)])
        score, images = metric.measured(named(predicted, 3), labels)
        low, high = accuracy_interval(score * images, images)
        held += low <= truth <= high
    assert 0.94 < held / 1000 < 0.99


def test_a_metric_that_data_do_not_have_is_refused_in_a_line():
    with pytest.raises(InvalidInput, match="'top5' is for data of more than 5 classes, but got 5"):
        require_metric("top5", 5)
    require_metric("top5", 6)
    with pytest.raises(InvalidInput, match="balanced-accuracy, macro-f1, top5"):
        require_metric("recall")


def test_the_help_names_every_metric():
    from nas.cli.options import MetricName

    assert set(METRICS) <= set(re.split(r"[ ,:]+", MetricName.__metadata__[0].help))
