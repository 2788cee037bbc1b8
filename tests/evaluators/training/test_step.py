import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evaluators.networks.network import forward, run
from evaluators.networks.weights import initial_weights
from evaluators.recipe import Optimizer
from evaluators.training.adamw import coefficients
from evaluators.training.partition import cut
from evaluators.training.step import averaged, inference, pack, settling, training_step, unpack, unpack_moments
from search_spaces import Architecture

NETWORKS = [
    "in_r12_c3+conv_k3_c8_s2_relu6+mb_k3_e3_c8_s1_se0.25_hswish+head_c16_relu_n10",
    "in_r12_c3+conv_k3_c8_s2_relu6+mb_k3_e3_c8_s1_se0.25_hswish+mb_k7_e2_c16_s2_se0_swish+head_c16_relu_n10",
    "in_r10_c1_symmetric+conv_k3_c8_s1_swish+sep_k5_c8_s2_relu+mb_k5_e2_c8_s1_se0.5_relu_sein+head_c8_relu_d12_n10",
]
SOME = [NETWORKS[0], *(pytest.param(text, marks=pytest.mark.slow) for text in NETWORKS[1:])]
RATE = float(np.float32(1e-3))


def batches(resolution, channels, count, dtype=np.float32):
    generator = np.random.default_rng(0)
    for _ in range(count):
        yield (jnp.asarray(generator.standard_normal((8, resolution, resolution, channels)).astype(dtype)),
               jnp.asarray(generator.integers(0, 10, 8)))


def distance(ours, theirs, names):
    """Returns the norm of the difference relative to the norm, over all named arrays together."""
    joined = [np.concatenate([arrays[name].ravel() for name in names]) for arrays in (ours, theirs)]
    return np.linalg.norm(joined[0] - joined[1]) / np.linalg.norm(joined[1])


@pytest.mark.slow  # as steps below, many of them in float32
@pytest.mark.parametrize("text", NETWORKS)
def test_pieces_train_as_the_whole_network_does(text):
    architecture, optimizer = Architecture.parse(text), Optimizer()
    program = architecture.program
    pieces, whole = (training_step(program, optimizer, whole) for whole in (False, True))
    weights, statistics = initial_weights(program, 0)
    states = pack(program, weights, statistics)
    data = batches(architecture.input.resolution, architecture.input.channels, 50)
    for number, (images, labels) in enumerate(data, 1):
        of_step = coefficients(optimizer, 3e-3, number)
        copy = [jax.tree.map(jnp.copy, state) for state in states]
        states, loss = pieces(states, images, labels, of_step)
        expected_states, expected_loss = whole(copy, images, labels, of_step)
        ours, theirs = unpack(program, states), unpack(program, expected_states)
        assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
        assert distance(ours, theirs, weights) < 1e-5
        assert distance(ours, theirs, statistics) < 1e-5


@functools.cache
def reference_steps(text):
    """Returns loss, gradient, and weights and statistics after each of two steps of optax on the whole network."""
    program, optimizer = Architecture.parse(text).program, Optimizer()
    weights, statistics, images, labels = given(text)
    reference = optax.adamw(RATE, optimizer.momentum, optimizer.second_momentum, optimizer.epsilon,
                            weight_decay=optimizer.weight_decay,
                            mask={name: name.endswith("/kernel") for name in weights})

    @jax.jit
    def step(weights, statistics, state):
        def loss_of(weights):
            logits, after = run(program, weights, statistics, images, train=True)
            targets = optax.smooth_labels(jax.nn.one_hot(labels, 10), optimizer.label_smoothing)
            return optax.softmax_cross_entropy(logits.reshape(8, 10), targets).mean(), after

        (loss, after), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
        updates, state = reference.update(gradient, state, weights)
        return loss, gradient, optax.apply_updates(weights, updates), after, state

    found = []
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(reference.init, weights))
    for _ in range(2):
        loss, gradient, weights, statistics, state = step(weights, statistics, state)
        found.append(jax.device_get((loss, gradient, weights | statistics)))
    return found


def given(text):
    """Returns weights, statistics, images and labels, in float64."""
    architecture = Architecture.parse(text)
    weights, statistics = ({name: np.asarray(array, np.float64) for name, array in part.items()}
                           for part in initial_weights(architecture.program, 0))
    return weights, statistics, *next(batches(architecture.input.resolution, architecture.input.channels, 1,
                                              np.float64))


@pytest.mark.parametrize("text", SOME)
@pytest.mark.parametrize("whole", [False, True])
def test_steps_are_those_of_optax_adamw_on_the_gradient_of_the_whole_network(text, whole):
    program, optimizer = Architecture.parse(text).program, Optimizer()
    with jax.enable_x64(True):
        before, statistics, images, labels = given(text)
        weights, first_moments = before, dict.fromkeys(before, 0.0)
        states, step = pack(program, weights, statistics), training_step(program, optimizer, whole)
        for number, (loss, gradient, expected) in enumerate(reference_steps(text), 1):
            states, found = step(states, images, labels, coefficients(optimizer, RATE, number))
            ours, first_moments = unpack(program, states), {
                name: optimizer.momentum * moment + (1 - optimizer.momentum) * gradient[name]
                for name, moment in first_moments.items()}
            bar = 1e-10 if number == 1 else 1e-6  # the bias corrections are given in float32
            assert float(found) == pytest.approx(float(loss), rel=bar)
            assert distance(unpack_moments(program, states)[0], first_moments, weights) < bar
            moved = [{name: before[name] - after[name] for name in weights} for after in (ours, expected)]
            assert distance(*moved, weights) < 1e-6
            assert distance(ours, expected, statistics) < bar


@pytest.mark.parametrize("text", SOME)
@pytest.mark.parametrize("whole", [False, True])
def test_inference_is_the_forward_pass_with_running_statistics(text, whole):
    program = Architecture.parse(text).program
    with jax.enable_x64(True):
        weights, statistics, images, _ = given(text)
        statistics = {name: array + 0.3 for name, array in statistics.items()}
        logits = inference(program, whole)(pack(program, weights, statistics), images)
        expected = jax.jit(functools.partial(forward, program))(weights | statistics, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-12)


def test_arrays_survive_packing():
    program = Architecture.parse(NETWORKS[0]).program
    weights, statistics = initial_weights(program, 3)
    arrays = unpack(program, pack(program, weights, statistics))
    assert arrays.keys() == weights.keys() | statistics.keys()
    assert all(np.array_equal(arrays[name], array) for name, array in (weights | statistics).items())


def test_blocks_that_differ_in_kernel_and_activation_share_the_other_pieces():
    def pieces(block):
        text = f"in_r8_c1+conv_k3_c8_s1_relu+{block}+head_c8_relu_n10"
        return {use.piece for use in cut(Architecture.parse(text).program)}

    base = pieces("mb_k3_e2_c8_s1_se0.25_relu")
    assert len(pieces("mb_k5_e2_c8_s1_se0.25_relu") - base) == 1
    assert len(pieces("mb_k3_e2_c8_s1_se0_relu") - base) == 0
    assert len(pieces("mb_k3_e2_c8_s1_se0.25_swish") - base) == 1


SMALL = Architecture.parse("in_r6_c1+conv_k3_c4_s2_relu+head_c4_relu_n3").program


def small_batch():
    return np.random.default_rng(0).standard_normal((8, 6, 6, 1), np.float32), np.arange(8) % 3


def first_loss(labels, smoothing=0.1):
    step = training_step(SMALL, Optimizer(label_smoothing=smoothing), whole=False)
    states = pack(SMALL, *initial_weights(SMALL, 0))
    return float(step(states, small_batch()[0], labels, coefficients(Optimizer(), RATE, 1))[1])


def test_the_loss_is_linear_in_the_labels_and_that_of_optax_for_weighted_classes():
    images, labels = small_batch()
    eye = np.eye(3, dtype=np.float32)
    ours, others = eye[labels], eye[labels[::-1]]
    assert first_loss(ours) == pytest.approx(first_loss(labels), rel=1e-6)
    for share in (0.3, 0.9):
        expected = share * first_loss(ours) + (1 - share) * first_loss(others)
        assert first_loss(share * ours + (1 - share) * others) == pytest.approx(expected, rel=1e-5)
    weights = np.array([0.5, 1, 3], np.float32)

    @jax.jit
    def expected_loss(arrays, statistics):
        logits, _ = run(SMALL, arrays, statistics, images, train=True)
        losses = optax.softmax_cross_entropy(logits.reshape(8, 3), optax.smooth_labels(ours, 0.1))
        return jnp.mean(weights[labels] * losses)

    expected = float(expected_loss(*initial_weights(SMALL, 0)))
    assert first_loss(ours * weights[labels][:, None]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("whole", [False, True])
def test_weights_are_averaged_over_the_steps_and_their_statistics_are_their_own(whole):
    images, labels = small_batch()
    weights, statistics = initial_weights(SMALL, 0)
    states, step = pack(SMALL, weights, statistics, average=weights), training_step(SMALL, Optimizer(), whole)
    expected = {name: array.astype(np.float64) for name, array in weights.items()}
    for number, kept in enumerate((0.2, 0.5, 0.9), 1):
        states, _ = step(states, images, labels, coefficients(Optimizer(), 0.05, number), np.float32(kept), ())
        after = unpack(SMALL, states)
        expected = {name: kept * array + (1 - kept) * after[name] for name, array in expected.items()}
    found = unpack(SMALL, averaged(states))
    assert distance(found, expected, weights) < 1e-6
    assert distance(found, after, weights) > 1e-3
    settle, states = settling(SMALL, whole), averaged(states)
    for _ in range(200):
        states = settle(states, images)
    none = {name: np.zeros_like(array) for name, array in statistics.items()}
    once = jax.jit(lambda weights: run(SMALL, weights, none, images, train=True)[1])(found)
    expected = {name: np.asarray(array) / (1 - 0.9) for name, array in once.items()}  # a tenth of the batch's moments
    assert distance(unpack(SMALL, states), expected, statistics) < 1e-4
