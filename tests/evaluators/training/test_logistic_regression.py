import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from evaluators.datasets import Dataset, Split
from evaluators.training.logistic_regression import PENALTIES, easy_accuracy, logistic_regression


def dataset_of(classes, resolution, count, seed, spread=60, channels=1):
    """Returns random images around a mean image for each class."""
    generator = np.random.default_rng(seed)
    means = generator.integers(60, 196, (classes, resolution, resolution, channels))

    def split(size):
        labels = generator.integers(0, classes, size).astype(np.int32)
        images = means[labels] + generator.normal(0, spread, (size, resolution, resolution, channels))
        return Split(np.clip(images, 0, 255).astype(np.uint8), labels)
    names = tuple(map(str, range(classes)))
    return Dataset("made", names, split(count), split(8), split(400), "made")


def by_scipy(train, test, classes, penalty=1.0):
    """Returns the predictions of scikit-learn's objective (C = 1 / penalty, biases free), minimised by scipy."""
    x, y = (train.images.reshape(len(train), -1) / 255).astype(np.float64), np.eye(classes)[train.labels]
    features = x.shape[1]

    def loss(flat):
        kernel, bias = flat[:-classes].reshape(features, classes), flat[-classes:]
        log_p = log_softmax(x @ kernel + bias, axis=1)
        error = (np.exp(log_p) - y) / len(x)
        value = -(y * log_p).sum() / len(x) + penalty * (kernel**2).sum() / (2 * len(x))
        return value, np.concatenate([(x.T @ error + penalty * kernel / len(x)).ravel(), error.sum(0)])

    found = minimize(loss, np.zeros((features + 1) * classes), jac=True, method="L-BFGS-B",
                     options={"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-9}).x
    kernel, bias = found[:-classes].reshape(features, classes), found[-classes:]
    return ((test.images.reshape(len(test), -1) / 255) @ kernel + bias).argmax(1)


@pytest.mark.parametrize(("classes", "resolution", "channels"), [(3, 4, 3), (5, 8, 1)])
def test_the_accuracy_is_that_of_the_minimum_that_scipy_finds(classes, resolution, channels):
    data = dataset_of(classes, resolution, 300, seed=classes, channels=channels, spread=60 * channels)
    expected = np.mean(by_scipy(data.train, data.test, classes) == data.test.labels)
    assert 1 / classes + 0.1 < expected < 1
    assert logistic_regression(data.train, data.test, data) == pytest.approx(expected, abs=1.5 / 400)


def test_labels_that_have_nothing_to_do_with_the_images_are_guessed():
    data = dataset_of(3, 4, 300, seed=9, channels=3)
    shuffled = Split(data.train.images, np.random.default_rng(0).permutation(data.train.labels))
    assert logistic_regression(shuffled, data.test, data) < 0.5


def test_large_images_are_shrunk_before(monkeypatch):
    monkeypatch.setattr("evaluators.training.logistic_regression.PIXELS", 4)
    data = dataset_of(3, 8, 300, seed=1, spread=5, channels=3)
    assert logistic_regression(data.train, data.test, data) == 1.0


def test_the_easy_accuracy_is_that_of_the_penalty_that_is_best_on_validation(monkeypatch):
    data, fits = dataset_of(3, 4, 40, seed=4), []

    def fit(train, test, dataset, penalty=1.0):
        fits.append((len(train), test, penalty))
        return 1 - abs(penalty - PENALTIES[1]) / 1000

    monkeypatch.setattr("evaluators.training.logistic_regression.logistic_regression", fit)
    assert easy_accuracy(data) == 1.0
    both = len(data.train) + len(data.validation)
    assert fits == [*((len(data.train), data.validation, penalty) for penalty in PENALTIES),
                    (both, data.test, PENALTIES[1])]  # the test images are used once


def test_a_penalty_divides_the_c_of_scikit_learn():
    data = dataset_of(2, 4, 40, seed=7, spread=120)
    one, hundred = (np.mean(by_scipy(data.train, data.test, 2, penalty) == data.test.labels) for penalty in (1, 100))
    assert one != hundred
    assert logistic_regression(data.train, data.test, data) == pytest.approx(one, abs=1.5 / 400)
    assert logistic_regression(data.train, data.test, data, 100.0) == pytest.approx(hundred, abs=1.5 / 400)
