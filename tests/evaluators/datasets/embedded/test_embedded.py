from importlib import resources

import numpy as np
import pytest

from evaluators.datasets import embedded, load_dataset


def test_the_embedded_data_are_the_original_arrays(published) -> None:
    original = np.load(published("fashion_mnist_subset", "fashion_mnist_train6k_test2k.npz"))
    parts = embedded.read_fashion_mnist()
    assert parts.test is not None
    np.testing.assert_array_equal(parts.train.images[..., 0], original["x_train"])
    np.testing.assert_array_equal(parts.train.labels, original["y_train"])
    np.testing.assert_array_equal(parts.test.images[..., 0], original["x_test"])
    np.testing.assert_array_equal(parts.test.labels, original["y_test"])


def test_the_usual_mean_and_deviation_are_found() -> None:
    data = load_dataset("fashion-mnist")
    assert data.mean == pytest.approx([0.2860], abs=2e-3)  # of all 60,000 images, as widely published
    assert data.std == pytest.approx([0.3530], abs=2e-3)


def test_the_default_split_is_5000_1000_2000_and_stays_what_it_is() -> None:
    data = load_dataset("fashion-mnist")
    assert (len(data.train), len(data.validation), len(data.test)) == (5000, 1000, 2000)
    assert data.split == "validation: 1,000 of 6,000 training images, stratified, seed 0; test: as given"
    assert np.bincount(data.validation.labels).tolist() == [94, 107, 102, 102, 97, 99, 98, 103, 98, 100]
    assert data.fingerprint == "31ef15654b5caf7c"  # reports name it: a change makes old runs incomparable


def test_trousers_are_where_trousers_should_be() -> None:
    data = load_dataset("fashion-mnist")
    assert len(data.classes) == 10 and data.classes[1] == "Trouser"
    mean = data.train.images[data.train.labels == 1, ..., 0].mean(axis=0)
    assert mean[24, 14] < mean[24, 10] and mean[24, 14] < mean[24, 18], "a gap between two legs"


def test_the_licence_travels_with_the_data() -> None:
    assert "Copyright (c) 2017 Zalando SE" in resources.files(embedded).joinpath("LICENSE").read_text()
