"""Files whose weights are stored as float16 or int8 compute in float32 with those weights."""

import functools

import numpy as np
import onnx
import onnxruntime
import pytest

from evaluators.runtimes import Options, Target, parse_target, runtime_of
from evaluators.runtimes.folding import fold_batch_norm
from evaluators.runtimes.stored_weights import in_storage
from evaluators.runtimes.target import STORED
from nas.measuring.meters import file_gauge
from search_spaces import Architecture, InvalidInput

# plain, depthwise and grouped convolutions, gates, dense layers, and batch norms that nothing folds
NETWORKS = ("in_r12_c3+conv_k3_c16_s2_relu6+sep_k3_c32_s1_relu+mb_k3_e3_c16_s1_se0.25_hswish+head_c64_relu_n10_d64",
            "in_r12_c1+conv_k3_c16_s2_relu+shuffle2_c64_s2_relu+head_c64_relu_n10")
PRECISE = functools.partial(np.testing.assert_allclose, rtol=0)


def rounded(kernel, precision):
    """Returns the numbers nearest to those of a kernel `[..., filters]` that the precision has."""
    if precision == "float16":
        return kernel.astype(np.float16).astype(np.float32)
    step = np.abs(kernel).max(tuple(range(kernel.ndim - 1))) / 127
    return (np.clip(np.round(kernel / step), -127, 127) * step).astype(np.float32)


@pytest.fixture(params=["onnxruntime", "litert", "openvino"])
def name(request):
    pytest.importorskip({"litert": "ai_edge_litert"}.get(request.param, request.param))
    return request.param


@pytest.mark.parametrize("text", NETWORKS)
@pytest.mark.parametrize("precision", STORED)
def test_a_file_computes_the_network_of_rounded_weights_and_is_as_much_smaller(
        text, precision, name, tmp_path, random_arrays, numpy_forward):
    architecture = Architecture.parse(text)
    arrays = random_arrays(architecture.program, 0)
    program, folded = fold_batch_norm(architecture.program, arrays)
    kernels = {key for key in folded if key.endswith("/kernel")}
    images = np.random.default_rng(1).standard_normal((3, *program.input_shape), np.float32)
    expected = numpy_forward(program, {key: rounded(array, precision) if key in kernels else array
                                       for key, array in folded.items()}, images).reshape(3, 10)
    sizes = {}
    for each in ("float32", precision):
        runtime = runtime_of(Target(name, Options(precision=each)))
        runtime.write(architecture, arrays, tmp_path / f"{each}{runtime.suffix}", {})
        sizes[each] = (tmp_path / f"{each}{runtime.suffix}").stat().st_size
    found = runtime.load(tmp_path / f"{precision}{runtime.suffix}", Options()).run(images)
    PRECISE(found, expected, atol=1e-5 * np.abs(expected).max())
    weights, filters = (sum(of(folded[key]) for key in kernels) for of in (np.size, lambda kernel: kernel.shape[-1]))
    spared = {"float16": 2, "int8-weights": 3}[precision] * weights
    nodes = 400 * len(kernels)  # bytes of what the file says of each kernel
    assert spared - nodes - 12 * filters <= sizes["float32"] - sizes[precision] <= spared


@pytest.mark.parametrize("precision", STORED)
def test_onnx_runtime_has_weights_of_float32_before_the_first_run(precision, tmp_path, random_arrays):
    architecture = Architecture.parse(NETWORKS[0])
    runtime = runtime_of(Target("onnxruntime", Options(precision=precision)))
    runtime.write(architecture, random_arrays(architecture.program, 0), tmp_path / "model.onnx", {})
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath, settings.log_severity_level = str(tmp_path / "optimised.onnx"), 3
    onnxruntime.InferenceSession(tmp_path / "model.onnx", settings, providers=["CPUExecutionProvider"])
    before, after = ({node.op_type for node in onnx.load(tmp_path / file).graph.node}
                     for file in ("model.onnx", "optimised.onnx"))
    assert "Cast" in before - after


@pytest.mark.parametrize("precision", STORED)
def test_xnnpack_takes_the_whole_network(precision, tmp_path, random_arrays):
    pytest.importorskip("ai_edge_litert")
    architecture = Architecture.parse(NETWORKS[0])
    runtime = runtime_of(Target("litert", Options(precision=precision)))
    runtime.write(architecture, random_arrays(architecture.program, 0), tmp_path / "model.tflite", {})
    session = runtime.load(tmp_path / "model.tflite", Options())
    session.run(np.zeros((1, 12, 12, 3), np.float32))
    kinds = [operator["op_name"] for operator in session.interpreter._get_ops_details()]
    assert kinds.count("DELEGATE") == 1
    assert kinds[-1] == "DELEGATE"


@pytest.mark.parametrize("precision", STORED)
def test_the_size_of_a_file_is_known_before_the_network_is_trained(precision, name, tmp_path, random_arrays):
    architecture = Architecture.parse(NETWORKS[0])
    target = parse_target(f"{name}:precision={precision}")
    runtime, path = runtime_of(target), tmp_path / "model"
    runtime.write(architecture, random_arrays(architecture.program, 5), path, {})
    with file_gauge(target) as gauge:
        assert gauge.size_bytes(architecture) == path.stat().st_size


@pytest.mark.parametrize("precision", STORED)
def test_a_filter_of_zeros_stays_one(precision, name, tmp_path, random_arrays):
    architecture = Architecture.parse(NETWORKS[0])
    arrays = random_arrays(architecture.program, 0)
    for key, array in arrays.items():
        if key.endswith("/kernel"):
            array[..., 0] = 0
    runtime = runtime_of(Target(name, Options(precision=precision)))
    runtime.write(architecture, arrays, tmp_path / "model", {})
    assert np.isfinite(runtime.load(tmp_path / "model", Options()).run(np.ones((1, 12, 12, 3), np.float32))).all()


@pytest.mark.parametrize("precision", STORED)
def test_what_cannot_store_weights_so_says_it_in_a_line(precision):
    with pytest.raises(InvalidInput, match=f"^`precision` of xla is float32, but got precision={precision}$"):
        parse_target(f"xla:precision={precision}")


def test_a_weight_that_float16_does_not_reach_is_refused():
    assert in_storage(np.float32([[65504]]), 1, "float16")[0] == 65504
    with pytest.raises(InvalidInput, match="at most 65504, but got 70000"):
        in_storage(np.float32([[70000]]), 1, "float16")
