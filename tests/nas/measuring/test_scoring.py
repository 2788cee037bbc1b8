"""A score as a file: what onnxruntime, run by hand on normalised validation images, gets right."""

import dataclasses

import numpy as np
import onnxruntime
import pytest

from evaluators.datasets import Dataset, Split
from evaluators.evaluator import Fidelity, Score
from evaluators.recipe import Recipe
from evaluators.runtimes.onnxruntime import OnnxRuntime
from nas.measuring.inputs import calibration_images
from nas.measuring.scoring import as_shipped
from nas.testing import random_arrays
from search_spaces import Architecture

NETWORK = Architecture.parse("in_r12_c1+conv_k3_c16_s2_relu+mb_k3_e3_c16_s1_se0_relu+head_c16_relu_n4")
INT8 = "onnxruntime:precision=int8"


@pytest.fixture(scope="module")
def dataset():
    generator = np.random.default_rng(0)

    def part(count):
        return Split(generator.integers(0, 256, (count, 12, 12, 1)).astype(np.uint8),
                     generator.integers(0, 4, count).astype(np.int32))

    return Dataset("made", tuple("abcd"), part(60), part(250), part(4), "made")


@pytest.fixture
def evaluate():
    """An evaluator whose networks have random arrays, and that says that one image in eight is right."""
    def evaluate(architecture, data, fidelity):
        return Score(0.125, 8, arrays=random_arrays(architecture, 0), compiled="blocks")
    return evaluate


@pytest.mark.parametrize("metric", ["accuracy", "macro-f1"])
def test_a_score_is_that_of_the_file_of_int8(metric, dataset, evaluate, tmp_path):
    data = dataclasses.replace(dataset, metric=metric)
    score = as_shipped(evaluate, INT8, "int8")(NETWORK, data, Fidelity(Recipe(seed=3)))
    arrays, path = random_arrays(NETWORK, 0), tmp_path / "model.onnx"
    OnnxRuntime(precision="int8").write(NETWORK, arrays, path, {}, calibration_images(NETWORK, data, 3))
    images = (data.validation.images / 255 - data.mean) / data.std
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    predicted = session.run(None, {"image": images.transpose(0, 3, 1, 2).astype(np.float32)})[0].argmax(-1)
    labels = data.validation.labels
    right = [np.sum((predicted == label) & (labels == label)) for label in range(4)]
    expected = {"accuracy": np.mean(predicted == labels),
                "macro-f1": np.mean([2 * count / (np.sum(predicted == label) + np.sum(labels == label))
                                     for label, count in enumerate(right)])}[metric]
    assert score.accuracy == pytest.approx(expected)
    assert (score.float32_accuracy, score.compiled) == (0.125, "blocks")
    assert score.total == 250 if metric == "accuracy" else score.total < 250


def test_files_of_float32_have_the_score_of_the_network(evaluate):
    assert as_shipped(evaluate, "onnxruntime", "float32") is evaluate


def test_what_another_evaluator_has_open_ends_with_it():
    class Open:
        closed = False

        def close(self):
            self.closed = True

    there = Open()
    as_shipped(there, INT8, "int8").close()
    assert there.closed


def test_ranges_are_chosen_by_images_of_all_classes_as_the_network_sees_them(dataset):
    found = calibration_images(NETWORK, dataset, 0)
    assert found.shape == (60, 12, 12, 1)
    expected = (dataset.train.images / 255 - dataset.mean) / dataset.std
    assert np.sort(found.ravel()) == pytest.approx(np.sort(expected.ravel()), abs=1e-5)
