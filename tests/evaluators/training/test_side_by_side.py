"""Trainings of several networks as one program, against those of each alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.evaluator import Diverged, Fidelity
from evaluators.networks.weights import initial_weights
from evaluators.recipe import Optimizer, Recipe
from evaluators.training import step
from evaluators.training.adamw import coefficients
from evaluators.training.partition import cut
from evaluators.training.side_by_side import aligned, inference, joined, parted, training_step
from evaluators.training.train import evaluate, evaluate_side_by_side
from nas.testing import two_classes
from search_spaces import Architecture, InvalidInput, load_space
from tests.evaluators.training.test_training_of_blocks import TOKENS


def alone(token, channels=8):
    return Architecture.parse(f"in_r8_c3+conv_k3_c{channels}_s1_relu+conv_k1_c8_s1_relu+{token}+norm_relu+fc_n4")


GROUP = tuple(Architecture.parse(f"in_r8_c3+conv_k3_c{channels}_s2_hswish+{blocks}+head_c{channels}_relu_n4") for
              channels, blocks in ((8, "mb_k3_e2_c8_s1_se0.25_hswish"), (12, "mb_k3_e3_c12_s1_se0.25_hswish"),
                                   (8, "shuffle2_c8_s1_relu"), (4, "mb_k3_e2_c4_s1_se0.5_hswish+basic_c8_s1_relu")))
PAIR = tuple(Architecture.parse(f"in_r8_c3+conv_k3_c{channels}_s2_hswish{block}+fc_n4")
             for channels, block in ((4, ""), (6, "+mb_k3_e1_c6_s1_se0.5_hswish")))
EXACT = 1e-11  # in float64: sums of other lengths, with zeros among them, may be added up in another order


@pytest.mark.parametrize("group", [PAIR, pytest.param(GROUP, marks=pytest.mark.slow)] + [
    pytest.param((alone(token), alone(token, 16), alone(others), alone(token)), marks=pytest.mark.slow)
    for token, others in zip(TOKENS, TOKENS[1:] + TOKENS[:1], strict=True)])
def test_steps_and_logits_of_each_network_are_those_of_it_alone(group):
    programs, optimizer = tuple(network.program for network in group), Optimizer()
    with jax.enable_x64(True):
        generator = np.random.default_rng(0)
        states = [step.pack(program, *({name: array.astype(np.float64) for name, array in part.items()}
                                       for part in initial_weights(program, 0))) for program in programs]
        together, of_all = joined(programs, states), training_step(programs, optimizer)
        for number in (1, 2):
            images, labels = jnp.asarray(generator.standard_normal((4, 8, 8, 3))), jnp.arange(4)
            of_step = coefficients(optimizer, 3e-3, number)
            together, losses = of_all(together, images, labels, of_step)
            for index, program in enumerate(programs):
                states[index], loss = step.training_step(program, optimizer, True)(
                    states[index], images, labels, of_step)
                assert float(losses[index]) == pytest.approx(float(loss), rel=EXACT)
        logits = inference(programs)(together, images)
        for program, own, expected, found in zip(programs, logits, states, parted(programs, together), strict=True):
            for name, array in step.unpack(program, expected).items():
                np.testing.assert_allclose(step.unpack(program, found)[name], array, atol=EXACT, err_msg=name)
            for moments, others in zip(step.unpack_moments(program, found), step.unpack_moments(program, expected),
                                       strict=True):
                assert all(np.allclose(moments[name], others[name], atol=EXACT) for name in others)
            np.testing.assert_allclose(own, step.inference(program, True)(expected, images), atol=EXACT)


def members(seed, count):
    generator, found = np.random.default_rng(seed), []
    while len(found) < count:
        space = load_space(generator.choice(["fitted", "mobile", "shufflenet-v2", "resnet"])).bind(32, 3, 10)
        try:
            found.append(space.decode(space.sample(generator)).program)
        except InvalidInput:  # some members of a space are no networks
            continue
    return tuple(found)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_stacks_hold_each_piece_once_in_its_order_and_have_room_for_it(seed, count):
    programs = members(seed, count)
    stacks = aligned(programs)
    for network, program in enumerate(programs):
        assert [use for stack in stacks for number, use in stack.uses if number == network] == list(cut(program))
    for stack in stacks:
        assert len(dict(stack.uses)) == len(stack.uses)
        for _, use in stack.uses:
            for wide, shape in zip(stack.piece.weights.values(), use.piece.weights.values(), strict=True):
                assert all(np.greater_equal(wide, shape))
    assert len(stacks) >= max(len(cut(program)) for program in programs)


def test_networks_that_differ_in_channels_only_have_a_stack_for_each_piece_and_equal_ones_nothing_to_fill():
    narrow, wide = (alone(f"mb_k3_e{expansion}_c8_s1_se0.25_hswish", 8 * expansion).program for expansion in (2, 3))
    assert len(aligned((narrow, wide, narrow))) == len(cut(wide))
    assert [stack.piece for stack in aligned((narrow, narrow))] == [use.piece for use in cut(narrow)]


def test_pieces_that_put_channels_in_another_order_are_stacked_only_where_they_are_equal():
    narrow, wide = (alone(f"shuffle2_c{channels}_s2_relu").program for channels in (16, 24))
    reordering = [stack for stack in aligned((narrow, wide)) if any(
        type(operation.layer).__name__ in ("Slice", "Shuffle", "Concatenate") for operation in stack.piece.operations)]
    assert reordering
    assert all(len(stack.uses) == 1 for stack in reordering)
    assert all(len(stack.uses) == 2 for stack in aligned((wide, wide)))


def test_states_come_apart_as_they_were():
    programs = tuple(network.program for network in GROUP)
    generator = np.random.default_rng(0)

    def drawn(program):
        weights, statistics = ({name: generator.standard_normal(array.shape).astype(np.float32)
                                for name, array in part.items()} for part in initial_weights(program, 0))
        return step.pack(program, weights, statistics, (weights, weights), weights)

    states = [drawn(program) for program in programs]
    jax.tree.map(np.testing.assert_array_equal, parted(programs, joined(programs, states)), states)


DATA = two_classes()
PLAIN = Recipe(2, batch=24, seed=3)
EVERYTHING = Recipe(2, batch=24, augmentation="randaugment-flip", seed=3, mixup=0.2, cutmix=1.0, average=0.8,
                    class_weights="balanced")


def small(channels):
    return Architecture.parse(f"in_r12_c1+conv_k3_c{channels}_s2_relu+head_c{channels}_relu_n2")


@pytest.mark.parametrize("recipe", [PLAIN, pytest.param(EVERYTHING, marks=pytest.mark.slow)])
def test_candidates_are_scored_as_alone_and_one_that_diverges_leaves_the_others_as_they_are(recipe):
    """In float32, where roundings of 1e-7 grow with each step; twelve steps leave a thousandth of a weight at most."""
    fidelity = Fidelity(recipe, 1)
    begun = [evaluate(small(channels), DATA, fidelity) for channels in (4, 8)]
    lost = {name: array * np.nan if "kernel" in name else array for name, array in begun[0].checkpoint.items()}
    candidates = [(small(channels), dataclasses.replace(fidelity, epochs=2, checkpoint=checkpoint))
                  for channels, checkpoint in ((4, lost), (4, begun[0].checkpoint), (8, begun[1].checkpoint))]
    diverged, *scores = evaluate_side_by_side(candidates, DATA)
    assert isinstance(diverged, Diverged)
    assert str(diverged) == "the loss became infinite or not a number in epoch 2"
    for (architecture, going_on), score in zip(candidates[1:], scores, strict=True):
        expected = evaluate(architecture, DATA, going_on)
        assert score.total == expected.total
        assert abs(score.accuracy - expected.accuracy) <= 1 / score.total
        assert score.compiled == "side by side"
        for kind in ("arrays", "checkpoint"):
            ours, theirs = getattr(score, kind), getattr(expected, kind)
            assert ours.keys() == theirs.keys()
            for name, array in theirs.items():
                np.testing.assert_allclose(ours[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
