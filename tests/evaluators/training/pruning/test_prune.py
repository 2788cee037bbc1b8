"""What is cut from a network, and in which order."""

import math

import numpy as np
import pytest

from evaluators.training.pruning.importance import Importance
from evaluators.training.pruning.prune import Prunable, cheapest, smallest
from nas.testing import random_arrays
from search_spaces import Architecture

NETWORK = Architecture.parse("in_r8_c1+conv_k3_c32_s2_relu+mb_k3_e1_c32_s1_se0_relu+mb_k3_e1_c32_s1_se0_relu"
                             "+head_c32_relu_n3")


def macs(architecture):
    return architecture.macs


@pytest.fixture
def network():
    """A network in which channel `c` of any operation counts `c`, and any block as much as ten such operations."""
    widths = [1, *(operation.output_shape[2] for operation in NETWORK.program.operations)]
    keeps = [program.input_shape == program.output_shape for program in NETWORK.block_programs]
    return Prunable(NETWORK, random_arrays(NETWORK, seed=0), Importance(
        tuple(np.arange(float(width)) for width in widths),
        tuple(10 * np.arange(program.output_shape[2]) if kept else np.full(program.output_shape[2], math.inf)
              for program, kept in zip(NETWORK.block_programs, keeps, strict=True))))


def test_the_channels_of_least_importance_are_cut_in_all_that_they_are_added_to(network):
    (cut,) = (cut for cut in network.smaller() if "conv_k3_c24" in cut.architecture.text)
    assert "mb_k3_e1_c24_s1_se0_relu+mb_k3_e1_c24_s1_se0_relu" in cut.architecture.text
    small = cut.made()
    assert small.arrays["0.conv/batch_norm/mean"].tolist() == network.arrays["0.conv/batch_norm/mean"][8:].tolist()
    assert small.arrays["2.mb/depthwise/convolution/kernel"].shape == (3, 3, 1, 24)
    operations = sum(operation.output_shape[2] == 32 for operation in NETWORK.program.operations)
    of_head = sum(operation.name.startswith("3.head") and operation.output_shape[2] == 32
                  for operation in NETWORK.program.operations)
    assert small.lost == cut.lost == sum(range(8)) * (operations - of_head)
    assert {name: array.shape for name, array in small.arrays.items()} == small.architecture.program.arrays


def test_a_block_is_left_out_with_what_is_known_of_it(network):
    cut = next(cut for cut in network.smaller() if cut.form.without == 1)
    small = cut.made()
    assert cut.lost == 10 * sum(range(32))
    assert small.arrays["1.mb/depthwise/convolution/kernel"] is network.arrays["2.mb/depthwise/convolution/kernel"]
    assert [len(scores) for scores in small.importance.channels] == [
        1, *(operation.output_shape[2] for operation in small.architecture.program.operations)]
    assert len(small.importance.blocks) == 3


def test_the_cheapest_form_loses_least_for_its_price_and_may_begin_with_a_block(network):
    first = min(network.smaller(), key=lambda cut: cut.lost / (NETWORK.macs - cut.architecture.macs))
    found = cheapest(network, macs, NETWORK.macs - 1)
    assert found.architecture == first.architecture
    half = cheapest(network, macs, NETWORK.macs / 2)
    assert half.architecture.macs <= NETWORK.macs / 2
    assert half.lost > found.lost
    without = cheapest(network, macs, NETWORK.macs - 1, begin_with_block=True)
    assert len(without.architecture.blocks) == 3
    assert cheapest(network, macs, 1.0) is None


def test_the_smallest_form_has_nothing_left_to_cut():
    least = smallest(NETWORK)
    assert least.text == "in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3"
