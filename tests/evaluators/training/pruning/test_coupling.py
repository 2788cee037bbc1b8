"""Which channels are removed together."""

import numpy as np
import pytest

from evaluators.training.pruning.coupling import Coupling, selection
from search_spaces import Architecture


def coupling(blocks: str) -> Coupling:
    return Coupling.of(Architecture.parse(f"in_r8_c3+{blocks}").program)


def shared(found: Coupling, one: int, other: int) -> list[tuple[int, int]]:
    """Returns the pairs of channels of two values that are in one group."""
    return sorted((int(a), int(b)) for a, b in zip(*np.nonzero(found.groups[one][:, None] == found.groups[other]),
                                                   strict=True))


def test_only_what_hands_channels_on_couples_them():
    # values: image, convolution, batch norm, activation, depthwise, batch norm, activation, pointwise, ..., pool, dense
    found = coupling("conv_k3_c4_s1_relu+sep_k3_c5_s1_relu+fc_n2")
    assert shared(found, 0, 1) == [], "a convolution makes channels anew"
    assert all(shared(found, 1, value) == [(c, c) for c in range(4)] for value in (2, 3, 4, 5, 6))
    assert shared(found, 6, 7) == []
    assert len(found.kinds) == 3 + 4 + 5 + 2


def test_an_addition_couples_what_it_adds_and_a_gate_what_it_gates():
    found = coupling("conv_k3_c8_s1_relu+mb_k3_e2_c8_s1_se0.5_relu+fc_n2")
    operations = [operation.name for operation in Architecture.parse(
        "in_r8_c3+conv_k3_c8_s1_relu+mb_k3_e2_c8_s1_se0.5_relu+fc_n2").program.operations]
    value = {name: index for index, name in enumerate(operations, start=1)}
    same = [(c, c) for c in range(8)]
    assert shared(found, value["0.conv/activation"], value["1.mb/project/batch_norm"]) == same
    assert shared(found, value["1.mb/expand/convolution"], value["1.mb/squeeze_excite/excite/convolution"]) == [
        (c, c) for c in range(16)]
    assert shared(found, value["1.mb/squeeze_excite/squeeze/convolution"], value["1.mb/expand/convolution"]) == []


def test_channels_keep_their_group_through_a_slice_and_a_shuffle():
    # half of the channels pass: of 8, the first four come out at even places (Ma et al. 2018, figure 3c)
    blocks = "conv_k3_c8_s1_relu+shuffle2_c8_s1_relu+fc_n2"
    program = Architecture.parse(f"in_r8_c3+{blocks}").program
    shuffle = [operation.layer.label for operation in program.operations].index("shuffle") + 1
    assert shared(coupling(blocks), 3, shuffle) == [(c, 2 * c) for c in range(4)]


@pytest.mark.parametrize(("small", "kept"), [
    ("conv_k3_c8_s1_relu+conv_k3_c16_s1_relu_g2+fc_n2", [4, 5, 6, 7, 12, 13, 14, 15]),
    ("conv_k3_c16_s1_relu+conv_k3_c32_s1_relu_g2+fc_n2", None),  # it has more groups
    ("conv_k3_c4_s1_relu+conv_k3_c16_s1_relu_g2+fc_n3", None),  # and this one other classes
])
def test_of_each_kind_the_groups_of_highest_score_are_kept_in_their_order(small, kept):
    large = coupling("conv_k3_c16_s1_relu+conv_k3_c16_s1_relu_g2+fc_n2")
    chosen = selection(large, coupling(small), np.arange(len(large.kinds)))
    assert (chosen and chosen[1].tolist()) == kept, "half of what each of two groups of a convolution reads"
    assert chosen is None or chosen[0].tolist() == [0, 1, 2]
