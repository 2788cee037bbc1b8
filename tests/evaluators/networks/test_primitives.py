"""Pools, slices, shuffles and scales: the interpreters against plain loops, and against each other."""

import jax
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluators.networks.network import run
from evaluators.runtimes.litert import litert_model
from evaluators.runtimes.onnx_graph import onnx_model
from search_spaces import InvalidInput
from search_spaces.layers import PADDINGS, Pool, Scale, Sequence, Shuffle, Slice
from search_spaces.program import trace

pools = st.builds(Pool, st.sampled_from(("max", "average")), st.integers(1, 4), st.integers(1, 3),
                  st.sampled_from(PADDINGS), st.booleans())


def flax(layer, images):
    program = trace(layer, images.shape[1:])
    return np.asarray(jax.jit(lambda images: run(program, {}, {}, images, train=False)[0])(images))


def onnx(layer, images):
    program = trace(layer, images.shape[1:])
    session = onnxruntime.InferenceSession(onnx_model(program, {}).SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    (rows,) = session.run(None, {"image": np.ascontiguousarray(images.transpose(0, 3, 1, 2))})
    height, width, channels = program.output_shape
    return rows.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)


def litert(layer, images):
    program = trace(layer, images.shape[1:])
    interpreter = Interpreter(model_content=litert_model(program, {}))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    rows = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return rows.reshape(-1, *program.output_shape)


def pooled(layer, image):
    """Returns the pool of one image `[H, W, C]`, window by window."""
    height, width, channels = layer.output_shape(image.shape)
    (top, _), (left, _) = layer.pads(image.shape)
    out = np.empty((height, width, channels))
    for row in range(height):
        for column in range(width):
            y, x = row * layer.stride - top, column * layer.stride - left
            window = image[max(y, 0):y + layer.kernel, max(x, 0):x + layer.kernel].reshape(-1, channels)
            total = layer.kernel**2 if layer.count_padding else len(window)
            out[row, column] = window.max(0) if layer.function == "max" else window.sum(0) / total
    return out


def images(height, width, channels, seed=0):
    return np.random.default_rng(seed).standard_normal((2, height, width, channels), np.float32)


@settings(max_examples=30, deadline=None)  # the first example compiles
@given(pools, st.integers(1, 9), st.integers(1, 9))
def test_pools_are_those_of_plain_loops(layer, height, width):
    given_images = images(height, width, 2)
    try:
        layer.output_shape(given_images.shape[1:])
    except InvalidInput as error:
        assert "at least one pixel" in str(error)
        assume(False)
    # PyTorch has no padding above half a kernel; with it a window of padding alone would have no value
    assume(all(pad < layer.kernel for pads in layer.pads(given_images.shape[1:]) for pad in pads))
    expected = np.stack([pooled(layer, image) for image in given_images])
    np.testing.assert_allclose(flax(layer, given_images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(onnx(layer, given_images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(litert(layer, given_images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", PADDINGS)
def test_an_average_that_counts_its_padding_divides_by_the_window(padding):
    layer, given_images = Pool("average", 3, 2, padding, count_padding=True), images(7, 9, 3)
    expected = np.stack([pooled(layer, image) for image in given_images])
    np.testing.assert_allclose(flax(layer, given_images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(onnx(layer, given_images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(litert(layer, given_images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil", "out"), [
    # sizes of torchvision's SqueezeNet 1.0 and GoogLeNet at 224 pixels, and of its Inception v3 at 299
    (109, 3, 2, "valid", True, 54), (54, 3, 2, "valid", True, 27), (27, 3, 2, "valid", True, 13),
    (112, 3, 2, "valid", True, 56), (14, 2, 2, "valid", True, 7), (147, 3, 2, "valid", False, 73),
    (112, 3, 2, "symmetric", False, 56), (35, 3, 1, "symmetric", False, 35), (7, 3, 2, "same", False, 4),
])
def test_published_sizes_of_pools(size, kernel, stride, padding, ceil, out):
    assert Pool("max", kernel, stride, padding, ceil).output_shape((size, size, 3)) == (out, out, 3)


def test_shuffling_interleaves_the_groups():
    # Zhang et al. 2018, section 3.1: reshape to (groups, n), transpose, flatten
    given_images = np.broadcast_to(np.arange(6, dtype=np.float32), (2, 2, 3, 6))
    for interpret in (flax, onnx, litert):
        assert interpret(Shuffle(2), given_images)[0, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]
        assert interpret(Shuffle(3), given_images)[0, 0, 0].tolist() == [0, 2, 4, 1, 3, 5]


def test_slices_and_scales():
    given_images = images(3, 2, 6)
    layer = Sequence((Slice(1, 4), Scale(0.25)))
    for interpret in (flax, onnx, litert):
        np.testing.assert_allclose(interpret(layer, given_images), given_images[..., 1:4] / 4)


@pytest.mark.parametrize("layer", [Pool("max", 3, 2, "symmetric"), Pool("average", 3, 2, "same"), Shuffle(2),
                                   Slice(1, 3), Scale(3.0)])
def test_gradients_are_finite_and_reach_the_input(layer):
    program = trace(layer, (6, 6, 4))
    gradient = jax.jit(jax.grad(lambda x: run(program, {}, {}, x, train=True)[0].sum()))(images(6, 6, 4))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).sum() > 0


@pytest.mark.parametrize(("layer", "rule"), [
    (Slice(2, 9), "a slice must keep some of the channels, but got 2 to 9 of 4"),
    (Slice(2, 2), "a slice must keep some of the channels, but got 2 to 2 of 4"),
    (Shuffle(3), "`groups` must be at least 1 and divide the channels, but got groups=3 for 4 channels"),
    (Pool("max", 3, 2, "valid"), "a layer's output must keep at least one pixel, but 3x3 stride 2 on 2x2 leaves 0x0"),
])
def test_what_does_not_fit_is_told_with_the_layer(layer, rule):
    with pytest.raises(InvalidInput) as error:
        trace(layer, (2, 2, 4))
    assert rule in str(error.value)
    assert "(layer " in str(error.value)


def test_an_unknown_pool_is_told():
    with pytest.raises(InvalidInput, match="`pool` must be one of max, average, but got 'median'"):
        Pool("median", 3, 1)
