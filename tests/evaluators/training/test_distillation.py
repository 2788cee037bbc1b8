import dataclasses
import hashlib

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.special import log_softmax, rel_entr, softmax

from evaluators.evaluator import Fidelity
from evaluators.networks.network import Network
from evaluators.recipe import Recipe
from evaluators.training.augmentation import prepare
from evaluators.training.distillation import Taught, shown, taught
from evaluators.training.step import loss_function
from evaluators.training.teacher import Teacher
from evaluators.training.train import Images, train
from nas.testing import ARCHITECTURES, random_arrays, two_classes

BATCH, CLASSES, SMOOTHING = 5, 3, 0.1
PLAIN = (0.0,), (1.0,)


def teacher(seed, architecture=ARCHITECTURES[0]):
    name = f"teacher {seed}"
    return Teacher(name, architecture, random_arrays(architecture, seed), hashlib.sha256(name.encode()).hexdigest())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 1), st.floats(1, 20), st.booleans())
def test_the_loss_and_its_gradient_are_those_of_hinton_by_scipy(seed, weight, temperature, mixed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(BATCH, CLASSES)) * 3
    softened = softmax(generator.normal(size=(BATCH, CLASSES)), -1)
    shares = np.eye(CLASSES)[generator.integers(0, CLASSES, BATCH)]
    of_images = generator.uniform(0.5, 2, (BATCH, 1)) if mixed else np.ones((BATCH, 1))
    labels = (of_images * shares).astype(np.float32) if mixed else shares.argmax(-1)
    loss, gradient = loss_function(SMOOTHING)(
        jnp.asarray(logits, jnp.float32).reshape(BATCH, 1, 1, CLASSES), Taught(
            jnp.asarray(labels), jnp.asarray(softened, jnp.float32), jnp.float32(weight), jnp.float32(temperature)))

    smoothed = (1 - SMOOTHING) * shares + SMOOTHING / CLASSES
    own = softmax(logits / temperature, -1)
    of_labels = -(smoothed * log_softmax(logits, -1)).sum(-1)
    of_teacher = temperature**2 * rel_entr(softened, own).sum(-1)
    expected = (of_images[:, 0] * ((1 - weight) * of_labels + weight * of_teacher)).mean()
    assert float(loss) == pytest.approx(expected, rel=2e-4)
    slopes = (1 - weight) * (softmax(logits, -1) - smoothed) + weight * temperature * (own - softened)
    np.testing.assert_allclose(np.asarray(gradient).reshape(BATCH, CLASSES), of_images * slopes / BATCH, atol=2e-5)


def test_an_ensemble_predicts_the_mean_of_its_softened_predictions():
    images = np.random.default_rng(0).normal(size=(4, 12, 12, 1)).astype(np.float32)
    teachers, recipe = [teacher(1), teacher(2)], Recipe(distillation_temperature=3, distillation_weight=0.25)
    drawn, labels = taught(lambda *_: (jnp.asarray(images), jnp.arange(4)), teachers, recipe, PLAIN)(None)
    logits = [np.asarray(Network(one.architecture, arrays=one.arrays)(images)) for one in teachers]
    np.testing.assert_allclose(labels.softened, np.mean([softmax(each / 3, -1) for each in logits], 0), atol=1e-5)
    np.testing.assert_array_equal(drawn, images)
    np.testing.assert_array_equal(labels.labels, np.arange(4))
    assert (float(labels.weight), float(labels.temperature)) == (0.25, 3)


def test_a_teacher_takes_images_as_it_was_trained_on_them():
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 1)).astype(np.uint8)
    ours, theirs = ((0.3,), (0.2,)), ((0.5,), (0.4,))
    given = prepare(images, *ours, 12)
    np.testing.assert_allclose(shown(given, 12, ours, theirs), prepare(images, *theirs, 12), atol=1e-5)
    np.testing.assert_array_equal(shown(given, 12, ours, None), given)
    np.testing.assert_allclose(shown(given, 8, ours, theirs), prepare(images, *theirs, 8), atol=1e-5)


@pytest.fixture(scope="module")
def images():
    data = two_classes()
    return Images.put(data.train.images, data.train.labels, data)


@pytest.mark.slow  # its unmixed labels make further programs
def test_a_pupil_that_heeds_its_teacher_only_does_not_read_labels(images):
    recipe = Recipe(1, 16, distillation_weight=1, augmentation="none")
    other = dataclasses.replace(images, labels=1 - images.labels)
    ours, theirs, alone = (train(ARCHITECTURES[0], of, None, Fidelity(recipe), teachers=teachers).arrays
                           for of, teachers in ((images, [teacher(1)]), (other, [teacher(1)]), (images, [])))
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name], array, err_msg=name)
    assert not np.array_equal(alone["0.conv/convolution/kernel"], ours["0.conv/convolution/kernel"])


def test_a_taught_training_goes_on_from_a_file_to_the_bit(images):
    whole = Fidelity(Recipe(2, 16, "shift-flip", seed=4, mixup=0.2, average=0.9))
    uninterrupted = train(ARCHITECTURES[0], images, None, whole, teachers=[teacher(1)])
    stopped = train(ARCHITECTURES[0], images, None, dataclasses.replace(whole, epochs=1), teachers=[teacher(1)])
    resumed = train(ARCHITECTURES[0], images, None, dataclasses.replace(
        whole, checkpoint=load(save(stopped.checkpoint))), teachers=[teacher(1)])
    for name, array in uninterrupted.checkpoint.items():
        np.testing.assert_array_equal(resumed.checkpoint[name], array, err_msg=name)
