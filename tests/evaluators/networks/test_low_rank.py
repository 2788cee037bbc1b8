"""Factors of trained weights, against eigenvalues and against the networks that they stand for."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.networks.low_rank import factored, factors, is_factorable, nearest
from evaluators.networks.network import Network, logits_of
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput

WHOLE = Architecture.parse("in_r10_c3+conv_k3_c32_s2_relu+sep_k3_c64_s1_relu_dwbias+mb_k3_e3_c64_s1_se0.25_hswish"
                           "+head_c96_relu_n40_d64")
LOWER = Architecture.parse(WHOLE.text.replace("dwbias", "dwbias_rank0.25").replace("hswish", "hswish_rank0.5")
                           + "_rank0.25")


def logits(architecture, arrays):
    images = np.random.default_rng(1).standard_normal((3, *architecture.program.input_shape), np.float32)
    return np.asarray(logits_of(Network(architecture, arrays=arrays), images))


def of_low_rank(arrays, rank):
    """Arrays whose matrices of channels have no more than so many singular values."""
    found = dict(arrays)
    for name, array in arrays.items():
        if name.endswith("/kernel") and array.ndim in (2, 4) and array.shape[:-2] in ((), (1, 1)):
            left, right = nearest(array, rank)
            found[name] = left @ right
    return found


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_the_error_of_two_kernels_is_that_of_the_discarded_singular_values(inputs, outputs, data):
    kernel = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal((1, 1, inputs, outputs))
    rank = data.draw(st.integers(1, min(inputs, outputs)))
    left, right = nearest(kernel, rank)
    assert (left.shape, right.shape) == ((1, 1, inputs, rank), (1, 1, rank, outputs))
    # Eckart and Young 1936; squared singular values are the eigenvalues of the product with the transpose
    eigenvalues = np.linalg.eigvalsh(kernel[0, 0] @ kernel[0, 0].T)[::-1]
    assert np.sum((left @ right - kernel)**2) == pytest.approx(eigenvalues[rank:].sum(), abs=1e-9)


@pytest.mark.parametrize(("text", "expected"), [
    (WHOLE.text, True), (LOWER.text, False), ("in_r10_c3+sep_k3_c8_s1_relu+fc_n40", False),
    ("in_r10_c3+conv_k3_c64_s2_relu+basic_c64_s1_relu+fc_n2", False),
    ("in_r10_c3+conv_k3_c64_s2_relu+basic_c64_s1_relu+fc_n40", True)])  # 64 * 32 weights rather than 64 * 40
def test_a_network_is_factorable_where_two_layers_may_have_fewer_weights_than_one(text, expected):
    architecture = Architecture.parse(text)
    assert is_factorable(architecture) == expected
    arrays = of_low_rank(random_arrays(architecture, 0), 2)  # of which factors keep all energy
    assert (factored(architecture, arrays, 0.99)[0] != architecture) == expected


def test_at_full_rank_the_product_is_the_kernel():
    kernel = np.random.default_rng(0).standard_normal((24, 40)).astype(np.float32)
    left, right = nearest(kernel, 24)
    np.testing.assert_allclose(left @ right, kernel, atol=1e-5)


def test_where_the_weights_are_of_the_rank_the_logits_stay():
    arrays = of_low_rank(random_arrays(WHOLE, 0), 8)  # no layer of LOWER has fewer channels between two factors
    found = factors(WHOLE, arrays, LOWER)
    assert {name: array.shape for name, array in found.items()} == LOWER.program.arrays
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(logits(LOWER, found), logits(WHOLE, arrays), rtol=1e-5, atol=1e-5)


def test_what_has_no_factors_is_left_in_place():
    arrays = random_arrays(WHOLE, 0)
    found = factors(WHOLE, arrays, LOWER)
    kept = {name for name, shape in LOWER.program.arrays.items() if WHOLE.program.arrays.get(name) == shape}
    assert {name for name in kept if "batch_norm" in name} == {name for name in arrays if "batch_norm" in name}
    assert all(np.array_equal(found[name], arrays[name]) for name in kept)
    assert np.array_equal(found["3.head/classifier/dense_2/bias"], arrays["3.head/classifier/dense/bias"])


def test_a_block_has_the_fewest_weights_of_all_ranks_that_keep_the_energy_of_its_kernels():
    arrays = random_arrays(WHOLE, 0)
    lower, _ = factored(WHOLE, arrays, 0.6)
    for place in (1, 2, 3):
        enough = []
        for percent in range(1, 101):
            block = dataclasses.replace(WHOLE.blocks[place], rank=percent / 100)
            other = dataclasses.replace(WHOLE, blocks=(*WHOLE.blocks[:place], block, *WHOLE.blocks[place + 1:]))
            if all(kept >= 0.6 for kept in energies(arrays, factors(WHOLE, arrays, other))):
                enough.append(other.block_programs[place].params)
        assert min(enough) == lower.block_programs[place].params < WHOLE.block_programs[place].params


def energies(arrays, found):
    """The share of its energy that each kernel keeps which became two: what is not in the error of the product."""
    for name, kernel in arrays.items():
        second = re.sub("/kernel$", "_2/kernel", name)
        if name != second in found:
            error = kernel.astype(np.float64) - found[name].astype(np.float64) @ found[second]
            yield 1 - np.sum(error**2) / np.sum(kernel.astype(np.float64)**2)


def test_weights_of_a_low_rank_are_found_to_be_so():
    arrays = of_low_rank(random_arrays(WHOLE, 0), 8)
    lower, found = factored(WHOLE, arrays, 1 - 1e-9)
    assert [operation.output_shape[2] for operation in lower.program.operations
            if f"{operation.name}_2/kernel" in lower.program.arrays] == [8] * 6
    np.testing.assert_allclose(logits(lower, found), logits(WHOLE, arrays), rtol=1e-5, atol=1e-5)


def test_a_network_that_can_lose_nothing_stays_as_it_is():
    arrays = random_arrays(WHOLE, 0)
    lower, found = factored(WHOLE, arrays, 1.0)
    assert lower == WHOLE
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert factored(LOWER, random_arrays(LOWER, 0), 0.5)[0] == LOWER, "factors have no factors"


@pytest.mark.parametrize("share", [0, -1, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(InvalidInput, match=f"above 0 and at most 1, but got {share:g}"):
        factored(WHOLE, random_arrays(WHOLE, 0), share)


@pytest.mark.parametrize(("text", "of"), [
    (LOWER.text.replace("c64", "c72"), WHOLE), (LOWER.text.replace("r10", "r11"), WHOLE),
    (LOWER.text.replace("rank0.25", "rank0.5"), LOWER), (WHOLE.text, LOWER),
])
def test_another_network_has_no_factors_of_these_weights(text, of):
    with pytest.raises(InvalidInput, match="factors are of the same network but for `rank`, but got"):
        factors(of, random_arrays(of, 0), Architecture.parse(text))
