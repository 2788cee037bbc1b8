"""The interpreter, against plain Flax modules that are written out here, and against the arithmetic of the layers."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr

from evaluators.networks import kernels
from evaluators.networks.network import FUNCTIONS, Network, forward, logits_of, run
from evaluators.networks.weights import initial_weights
from search_spaces import SPACES, Architecture
from search_spaces.program import Program

IMAGES = np.random.default_rng(0).standard_normal((6, 13, 13, 3)).astype(np.float32)

ACTIVATIONS = {"relu": nnx.relu, "relu6": nnx.relu6, "hswish": nnx.hard_swish, "swish": nnx.swish,
               "sigmoid": nnx.sigmoid, "hsigmoid": nnx.hard_sigmoid}
PADDINGS = {"same": lambda kernel: "SAME", "valid": lambda kernel: "VALID",
            "symmetric": lambda kernel: (kernel // 2, kernel // 2)}
ZEROS = nnx.initializers.zeros_init()  # all weights are drawn by `matched`: Flax compiles a program for each


class ConvBnAct(nnx.Module):
    """The sequence that all blocks are made of, in Flax's own layers."""

    def __init__(self, rngs, channels, filters, kernel=1, stride=1, groups=1, activation=None, padding="same",
                 epsilon=1e-5, momentum=0.9):
        self.convolution = nnx.Conv(channels, filters, (kernel, kernel), stride, padding=PADDINGS[padding](kernel),
                                    feature_group_count=groups, use_bias=False, kernel_init=ZEROS, rngs=rngs)
        self.batch_norm = nnx.BatchNorm(filters, epsilon=epsilon, momentum=momentum, rngs=rngs)
        self.activation = activation

    def __call__(self, x):
        x = self.batch_norm(self.convolution(x))
        return ACTIVATIONS[self.activation](x) if self.activation else x


class Bottleneck(nnx.Module):
    """MobileNetV3's bneck: expand, depthwise, squeeze-and-excitation, project, skip."""

    def __init__(self, rngs, channels, expanded, filters, kernel, stride, squeezed, activation, gate="hsigmoid",
                 se_activation="relu", **conventions):
        if expanded != channels:
            self.expand = ConvBnAct(rngs, channels, expanded, activation=activation, **conventions)
        self.depthwise = ConvBnAct(rngs, expanded, expanded, kernel, stride, expanded, activation, **conventions)
        if squeezed:
            self.squeeze = nnx.Linear(expanded, squeezed, kernel_init=ZEROS, rngs=rngs)
            self.excite = nnx.Linear(squeezed, expanded, kernel_init=ZEROS, rngs=rngs)
        self.project = ConvBnAct(rngs, expanded, filters, **conventions)
        self.skips = stride == 1 and channels == filters and conventions.get("padding") != "valid"
        self.gate, self.se_activation = gate, se_activation

    def __call__(self, x):
        y = self.depthwise(self.expand(x) if hasattr(self, "expand") else x)
        if hasattr(self, "squeeze"):
            pooled = y.mean((1, 2))
            weight = ACTIVATIONS[self.gate](self.excite(ACTIVATIONS[self.se_activation](self.squeeze(pooled))))
            y = y * weight[:, None, None]
        return self.project(y) + (x if self.skips else 0)


class Separable(nnx.Module):
    """MobileNetV1's block."""

    def __init__(self, rngs, channels, filters, kernel, stride, activation, **conventions):
        self.depthwise = ConvBnAct(rngs, channels, channels, kernel, stride, channels, activation, **conventions)
        self.pointwise = ConvBnAct(rngs, channels, filters, activation=activation, **conventions)

    def __call__(self, x):
        return self.pointwise(self.depthwise(x))


class Head(nnx.Module):
    """1x1 convolution, pool, hidden layer, classifier."""

    def __init__(self, rngs, channels, filters, hidden, classes, activation, **conventions):
        self.last = ConvBnAct(rngs, channels, filters, activation=activation, **conventions)
        if hidden:
            self.hidden = nnx.Linear(filters, hidden, kernel_init=ZEROS, rngs=rngs)
        self.classifier = nnx.Linear(hidden or filters, classes, kernel_init=ZEROS, rngs=rngs)
        self.activation = activation

    def __call__(self, x):
        x = self.last(x).mean((1, 2))
        x = ACTIVATIONS[self.activation](self.hidden(x)) if hasattr(self, "hidden") else x
        return self.classifier(x)


def plain(*blocks):
    return nnx.Sequential(*blocks)


def v3(rngs):
    return plain(ConvBnAct(rngs, 3, 8, 3, 2, activation="hswish"),
                 Bottleneck(rngs, 8, 24, 8, 5, 1, 8, "hswish"),
                 Bottleneck(rngs, 8, 48, 16, 3, 2, 0, "relu6"),
                 Head(rngs, 16, 32, 24, 5, "hswish"))


def v1_symmetric(rngs):
    own = {"padding": "symmetric", "epsilon": 1e-3, "momentum": 0.75}
    return plain(ConvBnAct(rngs, 3, 8, 5, 2, activation="relu", **own),
                 Separable(rngs, 8, 16, 7, 2, "swish", **own),
                 Head(rngs, 16, 24, 0, 4, "relu", **own))


def efficientnet(rngs):
    return plain(ConvBnAct(rngs, 3, 8, 3, 1, activation="swish", padding="valid"),
                 Bottleneck(rngs, 8, 8, 8, 3, 1, 2, "swish", "sigmoid", "swish", padding="valid"),
                 Head(rngs, 8, 16, 0, 3, "swish", padding="valid"))


CASES = {
    "v3": (v3, "in_r13_c3+conv_k3_c8_s2_hswish+mb_k5_e3_c8_s1_se0.25_hswish+mb_k3_e6_c16_s2_se0_relu6"
               "+head_c32_hswish_n5_d24"),
    "v1, symmetric padding": (v1_symmetric, "in_r13_c3_symmetric_eps0.001_mom0.75+conv_k5_c8_s2_relu"
                                            "+sep_k7_c16_s2_swish+head_c24_relu_n4"),
    "EfficientNet, valid padding": (efficientnet, "in_r13_c3_valid+conv_k3_c8_s1_swish"
                                                  "+mb_k3_e1_c8_s1_se0.25_swish_sein_sigmoid_seswish_sediv1"
                                                  "+head_c16_swish_n3"),
}


def leaves(module):
    """Returns the weights and statistics of Flax layers in the order of their definition: that of our programs."""
    if isinstance(module, nnx.Sequential):
        return [leaf for layer in module.layers for leaf in leaves(layer)]
    found = []
    for name in ("expand", "convolution", "batch_norm", "depthwise", "squeeze", "excite", "pointwise", "project",
                 "last", "hidden", "classifier"):
        child = getattr(module, name, None)
        if isinstance(child, nnx.Conv):
            found.append(("kernel", child.kernel))
        elif isinstance(child, nnx.Linear):
            found += [("kernel", child.kernel), ("bias", child.bias)]
        elif isinstance(child, nnx.BatchNorm):
            found += [("scale", child.scale), ("bias", child.bias), ("mean", child.mean), ("var", child.var)]
        elif child is not None:
            found += leaves(child)
    return found


def matched(case):
    """Returns a Flax model of random weights and our network of the same weights."""
    make, text = CASES[case]
    model, architecture = make(nnx.Rngs(0)), Architecture.parse(text)
    generator, arrays = np.random.default_rng(1), {}
    shapes = architecture.program.arrays
    for name, (key, variable) in zip(shapes, leaves(model), strict=True):
        assert name.endswith(f"/{key}")
        values = generator.standard_normal(variable.shape).astype(np.float32) * 0.3
        values = 0.5 + np.abs(values) if key in ("scale", "var") else values
        variable[...] = jnp.asarray(values)
        arrays[name] = values.reshape(shapes[name])  # squeeze-and-excitation are 1x1 convolutions in ours
    return model, Network(architecture, arrays=arrays)


@nnx.jit
def call(module, images):
    return module(images)


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_flax_with_the_running_statistics(case):
    model, network = matched(case)
    model.eval()
    expected = call(model, IMAGES)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(call(network, IMAGES), expected, atol=2e-5, rtol=1e-4)


@functools.cache
def in_training(case):
    """Returns a Flax model and our network of the same weights after a pass in training, and losses and gradients."""
    both = matched(case)
    labels = jnp.arange(6) % 3

    def loss(module):
        return optax.softmax_cross_entropy_with_integer_labels(module(IMAGES), labels).mean()

    for module in both:
        module.train()
    return both, [nnx.jit(nnx.value_and_grad(loss))(module) for module in both]


@pytest.mark.parametrize("case", CASES)
def test_training_has_the_logits_and_gradients_of_flax(case):
    (model, network), ((expected, gradients), (found, ours)) = in_training(case)
    assert float(found) == pytest.approx(float(expected), abs=1e-5)
    named = nnx.merge(nnx.graphdef(model), gradients, nnx.state(model, nnx.BatchStat))
    ours = nnx.to_pure_dict(ours)["weights"]
    trainable = [variable[...] for key, variable in leaves(named) if key not in ("mean", "var")]
    names = [name for operation in network.architecture.program.operations for name in operation.weights]
    for name, gradient in zip(names, trainable, strict=True):
        np.testing.assert_allclose(np.asarray(ours[name]).reshape(gradient.shape), gradient, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("case", CASES)
def test_running_statistics_move_as_in_flax_but_with_the_unbiased_variance(case):
    """Flax keeps the biased variance of a batch; ours is PyTorch's, larger by n / (n - 1)."""
    (model, network), _ = in_training(case)
    before, after = matched(case)[1].arrays(), network.arrays()
    counts = {f"{operation.name}/var": 6 * math.prod(operation.output_shape[:2])
              for operation in network.architecture.program.operations if operation.statistics}
    momentum = network.architecture.input.bn_momentum
    statistics = [(key, variable) for key, variable in leaves(model) if key in ("mean", "var")]
    names = [name for operation in network.architecture.program.operations for name in operation.statistics]
    for name, (key, variable) in zip(names, statistics, strict=True):
        expected = np.asarray(variable[...])
        if key == "var":
            kept, count = momentum * before[name], counts[name]
            expected = kept + (expected - kept) * count / (count - 1)
        np.testing.assert_allclose(after[name], expected, atol=2e-5, rtol=1e-4)
        assert not np.allclose(after[name], before[name])


def test_evaluation_leaves_the_running_statistics_alone():
    _, network = matched("v3")
    before = network.arrays()
    call(network, IMAGES)
    assert all(np.array_equal(before[name], array) for name, array in network.arrays().items())


def test_evaluation_of_an_image_does_not_depend_on_the_others():
    _, network = matched("v3")
    np.testing.assert_allclose(call(network, IMAGES[2:3]), call(network, IMAGES)[2:3], atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_are_flaxs(name):
    x = jnp.linspace(-8, 8, 1601)
    np.testing.assert_allclose(FUNCTIONS[name](x), ACTIVATIONS[name](x), atol=1e-6)


def member(name):
    """Returns a random member of a ready space, on data that it can be bound to."""
    given = dict(SPACES[name].input)
    space = SPACES[name].bind(28, given.get("channels", (1,))[0], 10)
    return space.decode(space.sample(np.random.default_rng(3)))


@pytest.mark.parametrize("name", SPACES)
def test_every_block_has_the_output_that_the_arithmetic_gives_it(name):
    x = jax.ShapeDtypeStruct((2, *member(name).program.input_shape), jnp.float32)
    for program in member(name).block_programs:
        weights, statistics = (
            {key: jax.ShapeDtypeStruct(shape, jnp.float32) for operation in program.operations
             for key, shape in getattr(operation, kind).items()} for kind in ("weights", "statistics"))
        x, after = jax.eval_shape(lambda w, s, x, program=program: run(program, w, s, x, train=True),
                                  weights, statistics, x)
        assert (x.shape, x.dtype) == ((2, *program.output_shape), jnp.float32)
        assert after == statistics


def test_every_value_has_the_shape_that_the_arithmetic_gives_it():
    program = matched("v3")[1].architecture.program
    weights, statistics = initial_weights(program, 0)
    for end in range(1, len(program.operations) + 1):
        beginning = Program(program.input_shape, program.operations[:end])
        found = jax.eval_shape(lambda part=beginning: run(part, weights, statistics, jnp.asarray(IMAGES), False)[0])
        assert found.shape == (6, *beginning.output_shape)


def counted_macs(jaxpr):
    """Returns the multiply-adds of a traced function: of its matrix products and convolutions, padding included."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            taps = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += math.prod(equation.outvars[0].aval.shape) * taps
        elif equation.primitive.name == "conv_general_dilated":
            kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
            out_axis = numbers.rhs_spec[0]
            taps = math.prod(size for axis, size in enumerate(kernel) if axis != out_axis)
            total += math.prod(equation.outvars[0].aval.shape) * taps
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                if isinstance(inner, ClosedJaxpr):
                    total += counted_macs(inner.jaxpr)
                elif isinstance(inner, Jaxpr):
                    total += counted_macs(inner)
    return total


@pytest.mark.parametrize("name", SPACES)
def test_macs_are_those_of_the_traced_program(name, monkeypatch):
    def depthwise(x, kernel, stride, pads):
        """The same convolution as one operation of XLA."""
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, feature_group_count=x.shape[-1],
                                            dimension_numbers=("NHWC", "HWIO", "NHWC"))

    monkeypatch.setattr(kernels, "depthwise", depthwise)
    program = member(name).program
    arrays = {key: jax.ShapeDtypeStruct(shape, jnp.float32) for key, shape in program.arrays.items()}
    images = jax.ShapeDtypeStruct((1, *program.input_shape), jnp.float32)
    traced = jax.make_jaxpr(lambda arrays, images: forward(program, arrays, images))(arrays, images)
    assert counted_macs(traced.jaxpr) == member(name).macs


def test_a_network_is_a_module_that_splits_merges_and_compiles():
    network = Network(Architecture.parse("in_r13_c3+conv_k3_c8_s2_relu+head_c16_relu_n3"))
    expected = network(IMAGES)
    graph, weights, statistics = nnx.split(network, nnx.Param, nnx.BatchStat)
    assert sum(leaf.size for leaf in jax.tree.leaves(weights)) == network.architecture.params
    assert np.array_equal(nnx.merge(graph, weights, statistics)(IMAGES), expected)
    np.testing.assert_allclose(call(network, IMAGES), expected, atol=1e-5)

    @jax.jit
    def infer(state, x):
        return nnx.merge(graph, state)(x)

    np.testing.assert_allclose(infer(nnx.state(network), IMAGES), expected, atol=1e-5)


def test_logits_are_those_of_the_module_and_compiled_once_for_equal_networks():
    networks = [matched("v3")[1] for _ in range(2)]
    expected = call(networks[0], IMAGES)
    np.testing.assert_allclose(logits_of(networks[0], IMAGES), expected, atol=1e-6)
    with jax.no_tracing(True):
        np.testing.assert_allclose(logits_of(networks[1], IMAGES), expected, atol=1e-6)


def test_a_network_is_trained_by_an_optimizer_of_flax():
    network = Network(Architecture.parse("in_r13_c3+conv_k3_c8_s2_relu+head_c16_relu_n3"), seed=1)
    network.train()
    optimizer = nnx.Optimizer(network, optax.adam(0.01), wrt=nnx.Param)
    labels = jnp.arange(6) % 3
    before = network.arrays()

    @nnx.jit
    def step(module, optimizer):
        value, gradients = nnx.value_and_grad(lambda module: optax.softmax_cross_entropy_with_integer_labels(
            module(IMAGES), labels).mean())(module)
        optimizer.update(module, gradients)
        return value

    losses = [float(step(network, optimizer)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    assert all(not np.array_equal(before[name], array) for name, array in network.arrays().items())


def test_a_new_network_evaluates_until_it_is_told_to_train():
    network = Network(Architecture.parse("in_r13_c3+conv_k3_c8_s2_relu+head_c16_relu_n3"))
    still = network(IMAGES)
    network.train()
    moving = network(IMAGES)
    network.eval()
    assert not np.allclose(still, moving)
    assert not np.allclose(network(IMAGES), still)  # the statistics have moved
    assert np.array_equal(network(IMAGES), network(IMAGES))


def test_layers_compute_in_the_type_of_the_images():
    _, network = matched("v1, symmetric padding")
    half = call(network, jnp.asarray(IMAGES, jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(np.float32), call(network, IMAGES), atol=0.15)


def test_the_seed_gives_the_weights_and_arrays_take_their_place():
    architecture = Architecture.parse("in_r13_c3+conv_k3_c8_s2_relu+head_c16_relu_n3")
    weights, statistics = initial_weights(architecture.program, seed=5)
    found = Network(architecture, seed=5).arrays()
    assert found.keys() == (weights | statistics).keys()
    assert all(np.array_equal(found[name], array) for name, array in (weights | statistics).items())
    doubled = {name: 2 * array for name, array in found.items()}
    assert all(np.array_equal(array, doubled[name])
               for name, array in Network(architecture, arrays=doubled).arrays().items())
    with pytest.raises(KeyError):
        Network(architecture, arrays={})
