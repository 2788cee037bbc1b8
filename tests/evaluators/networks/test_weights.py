import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save, save_file

from evaluators.networks.weights import initial_arrays, initial_weights, read_tensors
from search_spaces import SPACES, Architecture, InvalidInput

ARCHITECTURE = Architecture.parse(
    "in_r12_c3+conv_k3_c64_s2_relu+mb_k5_e6_c64_s1_se0.25_hswish+head_c256_relu_d200_n10")


def test_every_array_of_the_program_is_there_with_its_shape():
    space = SPACES["mobile"].bind(28, 1, 10)
    generator = np.random.default_rng(0)
    for architecture in [ARCHITECTURE, *(space.decode(space.sample(generator)) for _ in range(3))]:
        weights, statistics = initial_weights(architecture.program, seed=0)
        operations = architecture.program.operations
        assert {name: array.shape for name, array in weights.items()} == {
            name: shape for operation in operations for name, shape in operation.weights.items()}
        assert {name: array.shape for name, array in statistics.items()} == {
            name: shape for operation in operations for name, shape in operation.statistics.items()}
        assert sum(array.size for array in weights.values()) == architecture.params
        assert {array.dtype for array in (weights | statistics).values()} == {np.dtype(np.float32)}
        arrays = initial_arrays(architecture.program, seed=0)
        assert {name: array.shape for name, array in arrays.items()} == architecture.program.arrays
        assert all(np.array_equal(array, (weights | statistics)[name]) for name, array in arrays.items())


def test_batch_norm_begins_as_the_identity_and_biases_at_zero():
    weights, statistics = initial_weights(ARCHITECTURE.program, seed=3)
    for name, array in (weights | statistics).items():
        if not name.endswith("/kernel"):
            assert np.all(array == float(name.endswith(("/scale", "/var")))), name


@pytest.mark.parametrize(("name", "fan_in", "gain"), [
    ("0.conv/convolution/kernel", 3 * 3 * 3, 2), ("1.mb/depthwise/convolution/kernel", 5 * 5, 2),
    ("1.mb/expand/convolution/kernel", 64, 2), ("2.head/hidden/dense/kernel", 256, 1),
])
def test_kernels_have_the_variance_of_their_source(name, fan_in, gain):
    kernel = initial_weights(ARCHITECTURE.program, seed=0)[0][name]
    deviation = (gain / fan_in) ** 0.5
    tolerance = 5 * deviation / (2 * kernel.size) ** 0.5  # five standard errors
    assert kernel.std() == pytest.approx(deviation, abs=tolerance)
    assert kernel.mean() == pytest.approx(0, abs=5 * deviation / kernel.size**0.5)


def test_the_seed_decides_and_no_two_kernels_are_alike():
    first, again, other = (initial_weights(ARCHITECTURE.program, seed)[0] for seed in (1, 1, 2))
    kernels = [name for name in first if name.endswith("/kernel")]
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in kernels)
    beginnings = [first[name].ravel()[:8].tobytes() for name in kernels]
    assert len(set(beginnings)) == len(kernels)


def _relabelled(content, name, dtype):
    """Returns a safetensors file whose header gives a tensor another type, as those of other tools may."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    header[name]["dtype"] = dtype
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length:]


@pytest.mark.parametrize("dtype", ["I32", "U32"])
def test_a_kernel_under_a_false_label_is_no_kernel(dtype, tmp_path):
    content = save({"0.conv/convolution/kernel": np.ones((3, 3, 1, 8), np.float32)}, {"architecture": "text"})
    (tmp_path / "w.safetensors").write_bytes(_relabelled(content, "0.conv/convolution/kernel", dtype))
    with pytest.raises(InvalidInput, match=re.escape(
            f"'0.conv/convolution/kernel' must be of floating point numbers (F64, F32, F16, BF16), but is of {dtype}")):
        read_tensors(tmp_path / "w.safetensors")


@pytest.mark.parametrize(("name", "values", "reason"), [
    ("kernel", np.ones(4, bool), "'kernel' must be of floating point numbers (F64, F32, F16, BF16), but is of BOOL"),
    *(("kernel", np.array([0, value], np.float64), f"'kernel' must be of finite numbers up to 1e+12, but has {shown}")
      for value, shown in ((np.nan, "nan"), (-np.inf, "inf"), (1e38, "1e+38"), (-1e300, "inf"))),
    *((name, np.array([1, -0.5], np.float32), f"'{name}' must be of variances, which are not negative, but has -0.5")
      for name in ("bn.running_var", "0.conv/batch_norm/var")),
])
def test_tensors_of_something_else_than_weights_are_refused(name, values, reason, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"other": np.ones(3, np.float32), name: values}, path)
    with pytest.raises(InvalidInput) as error:
        read_tensors(path)
    assert str(error.value) == f"weights must be a readable safetensors file, but got '{path}': {reason}"


def test_a_file_that_is_missing_is_named_once(tmp_path):
    with pytest.raises(InvalidInput) as error:
        read_tensors(path := tmp_path / "w.safetensors")
    assert str(error.value) == (
        f"weights must be a readable safetensors file, but got '{path}': No such file or directory")


@given(st.data())
def test_a_damaged_file_is_read_as_its_library_does_or_refused_in_one_line(tmp_path_factory, data):
    content = save({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16), "n": np.array([7])}, {"text": "x"})
    at, cut = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 9))
    damaged = content[:at] + data.draw(st.binary(max_size=9)) + content[at + cut:]
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damaged)
    try:
        tensors = read_tensors(path)[1]
    except InvalidInput as error:
        assert str(error).isprintable()
    else:
        expected = load(damaged)
        assert all(np.array_equal(tensor, expected[name].astype(np.float32)) for name, tensor in tensors.items())
