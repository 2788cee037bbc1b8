import ast
import dataclasses
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.blocks import BLOCKS, KIND_OF, Input, round_channels
from search_spaces.errors import InvalidInput

EVERY_KIND = pytest.mark.parametrize("block", [Input, *BLOCKS.values()], ids=["in", *BLOCKS])


@given(st.floats(1, 5000), st.integers(1, 64))
def test_rounding_keeps_to_the_divisor_and_loses_at_most_a_tenth(channels, divisor):
    rounded = round_channels(channels, divisor)
    assert rounded % divisor == 0
    assert rounded >= max(divisor, 0.9 * channels)
    assert abs(rounded - channels) <= max(divisor, divisor - channels)


@pytest.mark.parametrize(("channels", "divisor", "rounded"), [
    (24 * 0.75, 8, 24),  # MobileNetV2 0.75: 18 -> 16 would lose more than a tenth
    (32 * 0.35, 8, 16), (16 * 1.4, 8, 24), (96 * 1.4, 8, 136), (320 * 1.4, 8, 448),  # MobileNetV2 1.4 and 0.35
    (72 * 0.25, 8, 24), (120 * 0.25, 8, 32), (16 * 0.25, 8, 8), (480 * 0.25, 8, 120),  # MobileNetV3's squeezes
    (3, 1, 3), (1, 8, 8), (12 * 0.75, 8, 16),
])
def test_rounding_of_published_widths(channels, divisor, rounded):
    # MobileNetV2 (Sandler et al. 2018) and V3 (Howard et al. 2019) as published in tensorflow/models and torchvision.
    assert round_channels(channels, divisor) == rounded


@pytest.mark.parametrize(("options", "rule"), [
    ({"resolution": 0}, "`resolution` must be at least 1, but got r0"),
    ({"channels": 0}, "`channels` must be at least 1, but got c0"),
    ({"bn_momentum": 0.0}, "`bn_momentum` must lie between 0 and 1, but got mom0"),
    ({"bn_momentum": 1.0}, "`bn_momentum` must lie between 0 and 1, but got mom1"),
    ({"bn_epsilon": 0.0}, "`bn_epsilon` must be positive, but got eps0"),
])
def test_an_input_states_the_rule_that_a_value_breaks(options, rule):
    with pytest.raises(InvalidInput) as error:
        Input(**{"resolution": 28, "channels": 1} | options)
    assert str(error.value).startswith(rule)


@EVERY_KIND
def test_every_field_is_an_option_with_a_key_or_words_of_its_own(block):
    fields = dataclasses.fields(block)
    keys = [field.metadata["key"] for field in fields if "key" in field.metadata]
    words = [name for field in fields for name in field.metadata.get("words", ())]
    assert all(("key" in field.metadata) != ("words" in field.metadata) for field in fields)
    assert all(field.metadata["what"] for field in fields)
    assert len(set(keys)) == len(keys)
    assert len(set(words)) == len(words)
    assert all(key.isascii() and key.isalpha() and key.islower() for key in keys)
    assert not any(word.rstrip("0123456789.") in keys for word in words), "a word must not read as key and number"
    assert not any(sign in word for word in words for sign in "+/_ ")


@EVERY_KIND
def test_every_numeric_option_is_declared_whole_or_real(block):
    # a type that is a string (postponed evaluation) would read every whole number as a real one
    assert all(field.type in (int, float) for field in dataclasses.fields(block) if "key" in field.metadata)


@pytest.mark.parametrize("kind", BLOCKS)
def test_no_option_of_a_block_is_mistaken_for_a_part_of_a_space(kind):
    fields = dataclasses.fields(BLOCKS[kind])
    assert not any(field.metadata.get("key", "").startswith("x") for field in fields), "x is the depth of a stage"
    assert not any(word.startswith("x") for field in fields for word in field.metadata.get("words", ()))
    assert not {"kind", "depth"} & {field.name for field in fields}, "parameters of a space have these names"
    assert kind not in ("in", "scale")
    assert not set(kind) & set("+/_ ")


def test_kinds_and_blocks_are_one_to_one():
    assert {kind: KIND_OF[block] for kind, block in BLOCKS.items()} == {kind: kind for kind in BLOCKS}


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_is_a_frozen_dataclass_whose_optional_fields_come_last(kind):
    block = BLOCKS[kind]
    assert block.__dataclass_params__.frozen
    (tree,) = ast.parse(inspect.getsource(block)).body
    assert isinstance(tree, ast.ClassDef)
    assert not tree.bases, "blocks inherit nothing"
