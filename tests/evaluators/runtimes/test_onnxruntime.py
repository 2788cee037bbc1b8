import json
import subprocess
import sys
from collections import Counter

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from evaluators.networks.network import forward
from evaluators.runtimes import RUNTIMES, Options, Target, runtime_of
from evaluators.runtimes.onnx_graph import EMITTERS, onnx_model
from evaluators.runtimes.onnx_int8 import in_int8
from evaluators.runtimes.quantisation import LARGEST_WEIGHTS, quantised
from search_spaces import SPACES, Architecture
from search_spaces.layers import (
    ACTIVATIONS,
    GATES,
    IDENTITY,
    PADDINGS,
    Activation,
    Add,
    BatchNorm,
    Branches,
    Concatenate,
    Convolution,
    Dense,
    GlobalPool,
    Multiply,
    Pool,
    Scale,
    Sequence,
    Shuffle,
    Slice,
)
from search_spaces.program import trace

ONNX = RUNTIMES["onnxruntime"]
GATE = Sequence((GlobalPool(), Convolution(3, bias=True), Activation("hsigmoid")))
LAYERS = {
    **{name: Activation(name) for name in ACTIVATIONS + GATES},
    "convolution": Convolution(8, (3, 3)),
    "convolution with bias": Convolution(8, (3, 3), bias=True),
    "rectangular convolution": Convolution(8, (1, 5)),
    "grouped convolution": Convolution(6, (3, 3), groups=3),
    "batch norm": BatchNorm(epsilon=0.01),
    "batch norm of rows": Sequence((Dense(6), Activation("relu"), BatchNorm())),
    "global pool": GlobalPool(),
    "largest of a window": Pool("max", 3, 2, "same"),
    "largest of a window with a symmetric edge": Pool("max", 3, 2, "symmetric"),
    "average of a window": Pool("average", 3, 1, "same"),
    "average that counts its padding": Pool("average", 3, 2, "symmetric", count_padding=True),
    "pool that hangs over the edge": Pool("max", 3, 2, "valid", ceil=True),
    "average that hangs over the edge": Pool("average", 2, 2, "valid", ceil=True),
    "slice": Slice(1, 3),
    "shuffle": Sequence((Convolution(6), Shuffle(2))),
    "scale": Scale(0.17),
    "dense over pixels": Dense(7),
    "dense without bias": Dense(7, bias=False),
    "dense twice": Sequence((Dense(6), Activation("hswish"), Dense(4))),
    "sum of two": Branches(Add(), (IDENTITY, Convolution(3, (3, 3)))),
    "sum of three": Branches(Add(), (IDENTITY, Convolution(3), Activation("swish"))),
    "product with a gate of one pixel": Branches(Multiply(), (IDENTITY, GATE)),
    "product with a gate of the same size": Branches(Multiply(), (IDENTITY, Convolution(3))),
    "product with a dense gate": Branches(Multiply(), (IDENTITY, Sequence((Dense(3), Activation("sigmoid"))))),
    "concatenation": Branches(Concatenate(), (IDENTITY, Convolution(2), Activation("relu"))),
    "rows read as pixels twice": Sequence((Dense(3), Branches(Concatenate(), (Convolution(2), Convolution(4))))),
    "pixels read as rows twice": Sequence((GlobalPool(), Branches(Add(), (Dense(4), Dense(4))))),
}


def _images(program, batch, seed=0):
    return 3 * np.random.default_rng(seed).standard_normal((batch, *program.input_shape), np.float32)


def _run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images.transpose(0, 3, 1, 2)})[0]


@pytest.fixture(scope="session")
def check(assert_computes):
    def run_both(program, arrays, batch=2):
        model, images = onnx_model(program, arrays), _images(program, batch)
        onnx.checker.check_model(model, full_check=True)
        height, width, channels = program.output_shape
        found = _run(model, images).reshape(batch, channels, height, width).transpose(0, 2, 3, 1)
        assert_computes(program, arrays, images, found)

    return run_both


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_onnx_runtime_computes_every_layer(layer, random_arrays, check):
    program = trace(layer, (5, 6, 3))
    check(program, random_arrays(program, 0))


def test_every_layer_that_can_be_written_is_checked():
    program_layers = {type(operation.layer) for layer in LAYERS.values()
                      for operation in trace(layer, (5, 6, 3)).operations}
    assert program_layers == set(EMITTERS)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_files_of_int8_compute_every_layer_on_its_grids(layer, random_arrays, numpy_forward, assert_on_grids):
    program = trace(layer, (5, 6, 3))
    images = _images(program, 4)
    network = quantised(program, random_arrays(program, 0), images, LARGEST_WEIGHTS["onnx"])
    model = in_int8(network)
    onnx.checker.check_model(model, full_check=True)
    height, width, channels = program.output_shape
    assert_on_grids(network, images, _run(model, images).reshape(4, channels, height, width).transpose(0, 2, 3, 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 5, 7]), st.sampled_from([1, 2]),
       st.sampled_from(PADDINGS), st.sampled_from([1, 4]))
def test_convolutions_agree_at_every_size_stride_and_padding(random_arrays, check, height, width, kernel, stride,
                                                             padding, groups):
    if padding == "valid":
        height, width = max(height, kernel), max(width, kernel)
    program = trace(Convolution(4, (kernel, kernel), stride, groups, padding), (height, width, 4))
    check(program, random_arrays(program, 0), batch=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.sampled_from([1, 2, 3, 4, 5, 7]), st.sampled_from([1, 2, 3]))
def test_same_padding_is_what_onnx_calls_same_upper(size, kernel, stride):
    program = trace(Convolution(2, (kernel, kernel), stride), (size, size, 3))
    weights = np.random.default_rng(0).standard_normal((kernel, kernel, 3, 2)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "kernel"], ["out"], auto_pad="SAME_UPPER", strides=[stride, stride])
    graph = helper.make_graph(
        [node], "same", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(weights.transpose(3, 2, 0, 1)), "kernel")])
    theirs = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    images = _images(program, 1)
    ours = _run(onnx_model(program, {"convolution/kernel": weights}), images)
    np.testing.assert_allclose(ours, _run(theirs, images).reshape(1, -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_onnx_runtime_computes_random_members_of_the_ready_space(seed, random_arrays, check):
    space = SPACES["mobile"].bind(28, 1, 10)
    program = space.decode(space.sample(np.random.default_rng(seed))).program
    check(program, random_arrays(program, seed))


def test_a_file_computes_what_the_trained_network_does(random_arrays):
    program = Architecture.parse(
        "in_r12_c1+conv_k3_c16_s2_relu6+mb_k3_e3_c16_s1_se0.25_hswish+head_c16_swish_n10_d8").program
    arrays, images = random_arrays(program, 0), _images(program, 2)
    expected = jax.jit(lambda x: forward(program, arrays, x))(images)
    np.testing.assert_allclose(_run(onnx_model(program, arrays), images), expected, rtol=1e-4, atol=1e-4)


def test_onnx_runtime_computes_a_network_for_larger_images_with_symmetric_padding(random_arrays, check):
    program = Architecture.parse(
        "in_r64_c3_symmetric_eps0.001+conv_k3_c16_s2_hswish+sep_k3_c16_s2_relu+mb_k5_e4_c24_s2_se0.25_swish_sigmoid"
        "_seswish_sein_sediv1+mb_k3_e1_c24_s1_se0_relu6+head_c64_hswish_n10_d32").program
    check(program, random_arrays(program, 0))


@pytest.fixture
def written(tmp_path, random_arrays):
    architecture = Architecture.parse(
        "in_r12_c1+conv_k3_c16_s2_relu6+mb_k3_e3_c16_s1_se0.25_hswish+head_c16_relu_n10_d8")
    arrays = random_arrays(architecture.program, 0)
    path = tmp_path / "model.onnx"
    ONNX.write(architecture, arrays, path, {"architecture": architecture.text, "accuracy": "0.9"})
    return architecture, arrays, path


@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_that_is_written_and_loaded_runs_any_number_of_images(written, batch, assert_computes):
    architecture, arrays, path = written
    images = _images(architecture.program, batch)
    assert_computes(architecture.program, arrays, images, ONNX.load(path, Options(batch=batch)).run(images))


def test_a_file_has_its_metadata_and_the_names_of_operations_and_nothing_beside_it(written):
    architecture, _, path = written
    model = onnx.load(path)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "architecture": architecture.text, "accuracy": "0.9"}
    operations = {operation.name for operation in architecture.program.operations}
    assert {node.name for node in model.graph.node} - operations == {"2.head/global_pool/rows"}
    assert [(value.name, value.doc_string) for value in model.graph.input] == [
        ("image", "float32 [batch, channels, height, width]")]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_file_that_normalises_takes_bytes_as_image_files_are_read(precision, tmp_path, random_arrays):
    architecture = Architecture.parse("in_r12_c3+conv_k3_c16_s2_relu6+head_c16_relu_n10")
    arrays = random_arrays(architecture.program, 0)
    runtime = runtime_of(Target("onnxruntime", Options(precision=precision)))
    mean, std = [0.1, 0.5, 0.7], [0.2, 0.3, 0.004]
    texts = {"mean": json.dumps(mean), "std": json.dumps(std)}
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    images = ((pixels / 255 - mean) / std).astype(np.float32)
    logits = []
    for inside in (False, True):
        runtime.write(architecture, arrays, tmp_path / "model.onnx", texts, images, inside=inside)
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        logits += session.run(None, {"image": pixels if inside else images.transpose(0, 3, 1, 2)})
    (taken,) = session.get_inputs()
    assert (taken.type, taken.shape) == ("tensor(uint8)", ["batch", 12, 12, 3])
    allowed = 1e-4 if precision == "float32" else 0.05  # a value between two steps may be rounded to either
    np.testing.assert_allclose(logits[1], logits[0], atol=allowed * np.abs(logits[0]).max())


def test_onnx_runtime_fuses_every_activation_that_follows_a_convolution(tmp_path, random_arrays):
    for activation in ("relu", "relu6", "hswish"):
        program = Architecture.parse(
            f"in_r12_c1+conv_k3_c16_s2_{activation}+mb_k3_e3_c16_s1_se0_{activation}+head_c16_{activation}_n10").program
        settings = onnxruntime.SessionOptions()
        settings.optimized_model_filepath = str(tmp_path / "optimised.onnx")
        settings.log_severity_level = 3
        onnxruntime.InferenceSession(onnx_model(program, random_arrays(program, 0)).SerializeToString(), settings,
                                     providers=["CPUExecutionProvider"])
        kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
        assert not {"Relu", "Clip", "HardSwish", "BatchNormalization", "Mul"} & set(kinds), kinds


def test_a_layer_without_an_onnx_form_is_refused_by_name(monkeypatch, random_arrays):
    monkeypatch.delitem(EMITTERS, GlobalPool)
    program = trace(GlobalPool(), (4, 4, 2))
    with pytest.raises(NotImplementedError, match="GlobalPool"):
        onnx_model(program, {})


def test_timed_runs_read_the_images_that_were_prepared(written):
    architecture, _, path = written
    run = ONNX.load(path, Options()).prepared(_images(architecture.program, 1))
    assert run() is None


def test_nothing_of_the_registry_imports_jax_or_a_runtime():
    code = "import sys, evaluators.runtimes; print([m for m in ('jax', 'onnx', 'onnxruntime') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_files_of_int8_hold_int8_and_compute_nearly_the_same(name, tmp_path, random_arrays, numpy_forward):
    pytest.importorskip(name)
    space = SPACES["mobile"].bind(28, 1, 10)
    architecture = space.decode(space.sample(np.random.default_rng(3)))
    arrays, images = random_arrays(architecture.program, 0), _images(architecture.program, 16)
    runtime = runtime_of(Target(name, Options(precision="int8")))
    path = tmp_path / "model.onnx"
    runtime.write(architecture, arrays, path, {"architecture": architecture.text}, images)
    model = onnx.load(path)
    kernels = {tensor.name: tensor.data_type for tensor in model.graph.initializer if "kernel" in tensor.name
               and not tensor.name.endswith(("_scale", "_zero_point"))}
    assert set(kernels.values()) == {TensorProto.INT8}
    assert {entry.key: entry.value for entry in model.metadata_props}["architecture"] == architecture.text
    assert list(tmp_path.iterdir()) == [path]
    logits = runtime.load(path, Options()).run(images)
    expected = numpy_forward(architecture.program, arrays, images).reshape(16, 10)
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.9
    assert np.abs(logits - expected).max() > 1e-3 * np.abs(expected).max(), "float32 would be closer"
