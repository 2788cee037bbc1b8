"""Files of int8 compute the same on x86 processors with and without VNNI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from evaluators.runtimes import Options, Target, runtime_of
from search_spaces import Architecture
from search_spaces.zoo import load_network

INT8 = {name: runtime_of(Target(name, Options(precision="int8"))) for name in ("onnxruntime", "litert")}
NETWORKS = {
    "plain": "in_r12_c3+conv_k3_c16_s2_relu6+sep_k3_c16_s1_relu+head_c16_relu_n10_d8",
    "inverted bottlenecks": "in_r12_c1+conv_k3_c16_s2_relu6+mb_k3_e3_c16_s1_se0.25_hswish+head_c16_relu_n10",
    "swish": "in_r12_c1+conv_k3_c16_s2_swish+mb_k3_e3_c16_s1_se0.25_swish+fc_n10",
    "residual": load_network("resnet18", 32, 3, 10).text.replace("_c64", "_c16"),
}
HIDING = Path(__file__).parent / "without_vnni.c"
RUN = """
import sys
import numpy as np
from evaluators.runtimes import RUNTIMES, Options
np.save(sys.argv[3], RUNTIMES[sys.argv[4]].load(sys.argv[1], Options()).run(np.load(sys.argv[2])))
"""


def added_in_pairs(values, weights):
    """Returns `values @ weights` as vpmaddubsw and vpmaddwd compute it: pairs of products, saturated to 16 bits.

    Args:
        values: uint8 `[..., K]`, K even.
        weights: int8 `[K]`.
    """
    products = values.astype(np.int32) * weights.astype(np.int32)
    pairs = products[..., ::2] + products[..., 1::2]
    return np.clip(pairs, -2**15, 2**15 - 1).sum(-1)


def weights_of(path):
    """Returns the int8 weights of a file, each as `[filters, K]` for sums over K, by name."""
    model = onnx.load(path)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name: array.T if array.ndim == 2 else array.reshape(len(array), -1) for name, array in found.items()
            if array.dtype == np.int8 and array.ndim > 1}


@pytest.fixture
def write(tmp_path, random_arrays):
    """Writes a network as an int8 file; its weights are random but for one filter of large ones."""
    def write(text, runtime="onnxruntime"):
        architecture = Architecture.parse(text)
        arrays = random_arrays(architecture.program, 0)
        for name, array in arrays.items():
            if name.endswith("/kernel"):
                array[..., 0] = np.abs(array).max()
        path = tmp_path / f"model{INT8[runtime].suffix}"
        INT8[runtime].write(architecture, arrays, path, {}, images_of(architecture))
        return architecture, path
    return write


def images_of(architecture, count=16):
    return np.random.default_rng(1).standard_normal((count, *architecture.program.input_shape), np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_that_are_written_never_saturate_the_sum_of_two_products(name, write):
    _, path = write(NETWORKS[name])
    found = weights_of(path)
    assert len(found) >= 3
    brightest = np.uint8(255)
    for weights in found.values():
        assert np.abs(weights.astype(int)).max() == 64, "all of the 7 bits are used"
        worst = np.sort(np.abs(weights.astype(int)), axis=1)[:, -2:].sum(1) * int(brightest)  # whichever pair meets
        assert worst.max() < 2**15
        even = weights[:, :weights.shape[1] // 2 * 2]
        for weight in even:
            values = np.where(weight > 0, brightest, 0).astype(np.uint8), np.where(weight < 0, brightest, 0)
            for value in values:
                assert added_in_pairs(value, weight) == value.astype(int) @ weight.astype(int)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(-64, 64)), min_size=2, max_size=64))
def test_sums_of_7_bits_are_exact_in_pairs(drawn):
    values, weights = (np.array(side) for side in zip(*drawn[:len(drawn) // 2 * 2], strict=True))
    assert added_in_pairs(values.astype(np.uint8), weights.astype(np.int8)) == values @ weights


def test_sums_of_8_bits_are_not():
    values, weights = np.full(4, 255, np.uint8), np.full(4, 127, np.int8)
    assert added_in_pairs(values, weights) == 2 * (2**15 - 1) < 4 * 255 * 127


@pytest.fixture(scope="session")
def without_vnni(tmp_path_factory):
    """The environment of processes in which the processor seems to have no VNNI."""
    flags = Path("/proc/cpuinfo")
    if not (flags.exists() and "cpuid_fault" in flags.read_text() and shutil.which("cc")):
        pytest.skip("needs a C compiler, and a processor that lets Linux hide what it has")
    library = tmp_path_factory.mktemp("hiding") / "without_vnni.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, HIDING], check=True)
    return os.environ | {"LD_PRELOAD": str(library)}


@pytest.mark.parametrize(("name", "runtime"), [*((name, "onnxruntime") for name in NETWORKS), ("plain", "litert")])
def test_a_file_gives_the_same_logits_where_the_processor_has_no_vnni(name, runtime, write, without_vnni, tmp_path):
    architecture, path = write(NETWORKS[name], runtime)
    images = images_of(architecture)
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", RUN, path, tmp_path / "images.npy", tmp_path / "logits.npy", runtime],
                   env=without_vnni, check=True)
    here, there = INT8[runtime].load(path, Options()).run(images), np.load(tmp_path / "logits.npy")
    step = np.abs(here).max() / 64
    np.testing.assert_allclose(there, here, atol=step)
    assert np.array_equal(there.argmax(-1), here.argmax(-1))
