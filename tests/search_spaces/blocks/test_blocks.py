"""Every block with random small options: a network with exactly the stated channels, or one line that tells a rule."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import InvalidInput
from search_spaces.blocks import BLOCKS, Input
from search_spaces.layers import PADDINGS
from search_spaces.notation import build, parse, write
from search_spaces.program import trace

# The channels that leave a block, from its options and the channels that enter it.
LEAVES = {
    **dict.fromkeys(("conv", "sep", "mb", "fused", "sand", "shuffle", "shuffle2", "fire", "basic", "basic2",
                     "bottleneck", "bottleneck2", "xception"), lambda block, enter: block.channels),
    **dict.fromkeys(("head", "fc", "convfc"), lambda block, enter: block.classes),
    **dict.fromkeys(("pool", "gap", "norm", "inceptionresa", "inceptionresb", "inceptionresc"),
                    lambda block, enter: enter),
    "dense": lambda block, enter: block.channels or enter + block.count * block.growth,
    "inception": lambda block, enter: block.one + block.three + block.five + (block.pool or enter),
    "inceptiona": lambda block, enter: block.one + block.five + block.double + block.pool,
    "inceptionb": lambda block, enter: block.one + 2 * block.channels + block.pool,
    "inceptionc": lambda block, enter: block.one + 4 * block.split + block.pool,
    "reductiona": lambda block, enter: block.channels + block.double + enter,
    "reductionb": lambda block, enter: block.channels + block.factorised + enter,
    "reductionresb": lambda block, enter: block.first + block.second + block.double + enter,
    "stemreduction": lambda block, enter: block.channels + enter,
    "stemsplit": lambda block, enter: 2 * block.channels,
}
inputs = st.builds(Input, st.integers(1, 17), st.integers(1, 12), st.sampled_from(PADDINGS))


def tokens(kind):
    """Tokens of a kind with one small value for each option, sensible or not."""
    values = {}
    for field in dataclasses.fields(BLOCKS[kind]):
        if "words" in field.metadata:
            values[field.name] = st.sampled_from(list(field.metadata["words"].values()))
        elif field.type is int:
            values[field.name] = st.integers(0, 12)
        else:
            values[field.name] = st.sampled_from((0, 0.1, 0.25, 0.5, 1, 1.5, 3, 40))
    return st.fixed_dictionaries(values).map(
        lambda chosen: write(kind, BLOCKS[kind], {name: (value,) for name, value in chosen.items()}))


@pytest.mark.parametrize("kind", BLOCKS)
@given(conventions=inputs, data=st.data())
def test_a_block_leaves_exactly_the_stated_channels_or_tells_a_rule(kind, conventions, data):
    token = data.draw(tokens(kind))
    try:
        block = build(*parse(token, BLOCKS), token)
        program = trace(block.layers(conventions.channels, conventions),
                        (conventions.resolution, conventions.resolution, conventions.channels))
    except InvalidInput as error:
        assert len(str(error).splitlines()) == 1
        return
    assert program.output_shape[2] == LEAVES[kind](block, conventions.channels)
    assert all(min(operation.output_shape) >= 1 for operation in program.operations)
    assert all(min(shape) >= 1 for operation in program.operations for shape in operation.weights.values())
