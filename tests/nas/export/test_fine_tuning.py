"""Fine-tuning with rounded weights and values, on a network of three layers."""

import numpy as np
import onnxruntime
import pytest

from evaluators.datasets.dataset import Parts, Split, complete
from evaluators.evaluator import Fidelity
from evaluators.recipe import Recipe
from evaluators.runtimes.onnx_graph import channels_first
from evaluators.runtimes.onnx_int8 import in_int8
from evaluators.runtimes.quantisation import LARGEST_WEIGHTS, quantised
from evaluators.training.train import Images, train
from nas.export.fine_tuning import fine_tuned, rounded_forward
from nas.testing import random_arrays
from search_spaces import Architecture

NETWORK = Architecture.parse("in_r8_c1+conv_k3_c8_s2_hswish+sep_k3_c8_s1_relu6+fc_n4")
COARSE = 1  # weights of -1, 0 and 1


@pytest.fixture(scope="module")
def trained():
    """Arrays of a network that tells four places of a bright square from each other, the images, and the labels."""
    generator = np.random.default_rng(0)
    labels = np.arange(600) % 4
    images = generator.integers(0, 100, (600, 8, 8, 1))
    for image, label in zip(images, labels, strict=True):
        image[4 * (label // 2):4 * (label // 2) + 4, 4 * (label % 2):4 * (label % 2) + 4] += 100
    images = images.astype(np.uint8)
    parts = [Split(images[part], labels[part].astype(np.int32)) for part in (slice(400), slice(400, None))]
    dataset = complete("squares", Parts(tuple("abcd"), parts[0], test=parts[1]), 0)
    both = dataset.train_and_validation
    training = Images.put(both.images, both.labels, dataset)
    arrays = train(NETWORK, training, None, Fidelity(Recipe(epochs=8, batch=32, augmentation="none"))).arrays
    test = ((dataset.test.images / 255 - dataset.mean) / dataset.std).astype(np.float32)
    return arrays, training, test, dataset.test.labels


def run(network, images):
    """Returns the logits of a quantised network, as ONNX Runtime computes them."""
    session = onnxruntime.InferenceSession(in_int8(network).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": channels_first(images)})[0]


def test_a_training_step_computes_what_the_file_does():
    program = NETWORK.program
    arrays = random_arrays(NETWORK, 0)
    images = np.random.default_rng(1).standard_normal((8, *program.input_shape), np.float32)
    network = quantised(program, arrays, images, LARGEST_WEIGHTS["onnx"])
    found = np.asarray(rounded_forward(network, arrays, program, images, LARGEST_WEIGHTS["onnx"])).reshape(8, -1)
    off = np.abs(found - run(network, images))  # whose biases make up for rounded weights
    assert np.median(off) < 3 * network.grids[program.operations[-1].name].scale


@pytest.mark.slow
def test_fine_tuning_makes_up_for_coarse_weights(trained):
    arrays, training, images, labels = trained

    def accuracy(arrays):
        network = quantised(NETWORK.program, arrays, images, COARSE)
        return np.mean(run(network, images).argmax(-1) == labels)

    recipe = Recipe(epochs=6, batch=32, augmentation="none")
    tuned = fine_tuned(NETWORK, arrays, images, training, recipe, COARSE)
    assert accuracy(tuned) > accuracy(arrays) + 0.03
    assert set(tuned) == set(arrays)
    network = quantised(NETWORK.program, tuned, images, COARSE)
    for name, scale in network.scales.items():  # nothing is left to round
        steps = network.arrays[name] / scale
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
