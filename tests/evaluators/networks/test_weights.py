import numpy as np
import pytest

from evaluators.networks.weights import initial_arrays, initial_weights
from search_spaces import SPACES, Architecture

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
