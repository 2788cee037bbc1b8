"""The arithmetic against what JAX traces: shapes, and the multiply-adds of convolutions and products."""

import math

import jax
import numpy as np
import pytest

from evaluators.networks.network import forward
from search_spaces import SPACES
from search_spaces.zoo import ZOO

NETWORKS = ("mobilenet_v1_0.25", "mobilenet_v2_0.5", "mobilenet_v3_small", "mnasnet_a1", "mobilenext_0.35",
            "efficientnet_b0", "efficientnet_edge_small", "shufflenet_v1_g3", "shufflenet_v2_0.5",
            "squeezenet_1.0_bypass", "resnet50", "resnetv2_18", "densenet121", "googlenet_5x5", "inception_v3",
            "inception_v4", "inception_resnet_v2", "xception")


def multiply_adds(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        out = equation.outvars[0].aval.shape
        if equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape  # height, width, channels in / groups, filters
            total += math.prod(out[:3]) * math.prod(kernel)
        elif equation.primitive.name == "dot_general":
            ((contracted, _), _) = equation.params["dimension_numbers"]
            total += math.prod(out) * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        else:  # of the forms for several platforms, the library's convolution is the one with multiply-adds
            inner = [multiply_adds(getattr(sub, "jaxpr", sub)) for sub in _inner(equation)]
            total += max(inner) if equation.primitive.name == "cond" else sum(inner)
    return total


def _inner(equation):
    for value in equation.params.values():
        for sub in value if isinstance(value, tuple) else (value,):
            if hasattr(sub, "eqns") or hasattr(getattr(sub, "jaxpr", None), "eqns"):
                yield sub


def traced(architecture):
    program = architecture.program
    arrays = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in program.arrays.items()}
    images = jax.ShapeDtypeStruct((1, *program.input_shape), np.float32)
    return jax.make_jaxpr(lambda arrays, images: forward(program, arrays, images))(arrays, images)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network_is_traced_as_counted(name):
    resolution = 96 if "inception" in name or name == "xception" else 64
    architecture = ZOO[name].architecture(resolution=resolution, classes=10)
    jaxpr = traced(architecture)
    assert jaxpr.out_avals[0].shape == (1, 10)
    assert multiply_adds(jaxpr.jaxpr) == architecture.macs


@pytest.mark.parametrize("seed", range(12))
def test_a_random_member_of_documented_is_traced_as_counted(seed):
    space = SPACES["documented"].bind(32, 3, 10)
    architecture = space.decode(space.sample(np.random.default_rng(seed)))
    jaxpr = traced(architecture)
    assert jaxpr.out_avals[0].shape == (1, 10)
    assert multiply_adds(jaxpr.jaxpr) == architecture.macs
