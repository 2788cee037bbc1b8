import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from evaluators.recipe import Recipe
from evaluators.training.augmentation import Drawing, augmented, blended, changed, moved, weights_of_classes

COUNT, SIDE = 64, 9
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(1, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
LABELS = GENERATOR.integers(0, 4, COUNT)
draw, blend = jax.jit(augmented, static_argnums=4), jax.jit(blended, static_argnums=(3, 4))
PLAIN = Drawing((0.0,) * 3, (1 / 255,) * 3, SIDE)


def drawn(seed=0, **settings):
    drawing = Drawing(PLAIN.mean, PLAIN.std, SIDE, **settings)
    x, labels = draw(IMAGES, LABELS, np.arange(COUNT), np.uint32(seed), drawing)
    return np.asarray(x), np.asarray(labels)


def test_an_image_is_moved_as_scipy_moves_it():
    image, angle, shears, shifts = IMAGES[0, ..., 0].astype(np.float32), 0.4, (0.2, -0.1), (0.1, -0.2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.array([[1, shears[0]], [shears[1], 1]]) @ turn
    centre = np.full(2, (SIDE - 1) / 2)
    offset = centre - matrix @ centre - SIDE * np.array(shifts)
    expected = ndimage.affine_transform(image, matrix, offset, order=1, mode="grid-constant")
    found = jax.jit(moved)(jnp.asarray(image)[..., None], *shifts, angle, *shears)[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.05)


def test_a_shift_moves_whole_pixels_and_brings_in_black():
    found = jax.jit(moved)(jnp.asarray(IMAGES[0], jnp.float32), 2 / SIDE, 0, 0, 0, 0)
    np.testing.assert_allclose(found[2:], IMAGES[0][:-2], atol=0.01)
    np.testing.assert_allclose(found[:2], 0, atol=0.01)


def test_a_policy_is_a_function_of_its_seed_and_stays_within_bytes():
    first, again, other = (drawn(seed, augmentation="randaugment", magnitude=1.0)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.5
    assert first.min() >= 0 and first.max() <= 255.01
    changes = [not np.allclose(one, image, atol=0.1) for one, image in zip(first, IMAGES, strict=True)]
    assert np.mean(changes) > 0.9
    assert len({tuple(np.round(one.mean((1, 2)), 3)) for one in first - IMAGES}) > COUNT / 2  # each in its own way


def test_a_policy_of_no_strength_changes_nothing_and_mirrors_only_where_asked():
    plain, mirrored = (drawn(augmentation=name, magnitude=1e-6)[0] for name in ("randaugment", "randaugment-flip"))
    np.testing.assert_allclose(plain, IMAGES, atol=0.1)
    turned = [np.allclose(one, image[:, ::-1], atol=0.1) for one, image in zip(mirrored, IMAGES, strict=True)]
    same = [np.allclose(one, image, atol=0.1) for one, image in zip(mirrored, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True))
    assert 0.25 < np.mean(turned) < 0.75


def test_cutout_leaves_the_mean_of_the_images():
    drawing = Drawing((0.25,) * 3, (0.2,) * 3, SIDE, "randaugment", magnitude=1.0, operations=8)
    x = np.asarray(jax.jit(changed, static_argnums=2)(IMAGES, jax.random.key(0), drawing))
    assert np.any(np.isclose(x, 255 * 0.25).all(-1), (1, 2)).mean() > 0.3


TARGETS = jnp.eye(COUNT)  # so that they tell which images a pair is of, and their shares


def shares_of(targets):
    """Returns for each image its own share, and the other image of its pair."""
    targets = np.asarray(targets)
    own = np.diag(targets)
    other = np.where(own > 1 - 1e-6, np.arange(COUNT), (targets - np.diag(own)).argmax(1))
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-5)
    return own, other


@pytest.mark.parametrize("seed", range(3))
def test_mixup_blends_images_and_targets_by_one_share(seed):
    x = jnp.asarray(IMAGES, jnp.float32)
    mixed, targets = blend(x, TARGETS, jax.random.key(seed), 1.0, 0.0)
    own, other = shares_of(targets)
    share = own[other != np.arange(COUNT)][0]
    assert 0 < share < 1
    np.testing.assert_allclose(mixed, share * x + (1 - share) * x[other], rtol=1e-4, atol=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_cutmix_takes_each_pixel_from_one_of_two_images_and_targets_by_their_areas(seed):
    x = jnp.asarray(IMAGES, jnp.float32)
    pasted, targets = blend(x, TARGETS, jax.random.key(seed), 0.0, 1.0)
    own, other = shares_of(targets)
    mine, theirs = (np.all(np.asarray(pasted) == image, -1) for image in (IMAGES, IMAGES[other]))
    assert np.all(mine | theirs)
    pairs = other != np.arange(COUNT)
    np.testing.assert_allclose(mine[pairs].mean((1, 2)), own[pairs], atol=0.02)


def test_a_batch_takes_one_of_both_ways():
    x, ways = jnp.asarray(IMAGES, jnp.float32), set()
    for seed in range(12):
        found = np.asarray(blend(x, TARGETS, jax.random.key(seed), 1.0, 1.0)[0])
        ways.add(bool(np.all(found == np.round(found))))  # pasted pixels are whole
    assert ways == {True, False}


def test_balanced_weights_are_those_that_scikit_learn_documents():
    """`compute_class_weight`: n_samples / (n_classes * np.bincount(y))."""
    labels = np.array([0] * 6 + [1] * 3 + [2] * 1)
    found = weights_of_classes(Recipe(class_weights="balanced"), labels, 3)
    assert found == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert np.mean(np.array(found)[labels]) == pytest.approx(1)  # so that the rate means what it did
    assert weights_of_classes(Recipe(class_weights="balanced"), labels, 4)[3] == 0
    assert weights_of_classes(Recipe(), labels, 3) == ()
    assert weights_of_classes(Recipe(mixup=0.1), labels, 3) == (1, 1, 1)


def test_targets_carry_the_weights_of_their_classes():
    _, targets = drawn(class_weights=(0.5, 1.0, 2.0, 4.0))
    np.testing.assert_allclose(targets, np.eye(4)[LABELS] * np.array([0.5, 1, 2, 4])[LABELS][:, None])
    assert drawn()[1].tolist() == LABELS.tolist()


@pytest.mark.parametrize("augmentation", ["shift", "randaugment-flip"])  # with all that there is in the others
def test_batches_lower_for_gpus_and_tpus_where_layers_compute_in_bfloat16(augmentation, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    drawing = Drawing(PLAIN.mean, PLAIN.std, 12, augmentation, mixup=0.2, cutmix=1.0, class_weights=(1.0, 2.0))
    exported = jax.export.export(jax.jit(functools.partial(augmented, drawing=drawing)), platforms=["cuda", "tpu"])(
        IMAGES, LABELS, np.arange(COUNT), np.uint32(0))
    assert [leaf.dtype for leaf in exported.out_avals] == [jnp.bfloat16, jnp.float32]
