import jax.numpy as jnp
import numpy as np
import pytest

from evaluators.training.partition import cut
from experiments.benchmarks.step_parts import REST, kind, our_passes, parts_ms, plain_passes
from search_spaces import Architecture

SMALL = Architecture.parse("in_r12_c1_symmetric+conv_k3_c8_s2_relu6+mb_k3_e1_c8_s1_se0.25_hswish+head_c8_relu6_n3")


@pytest.mark.slow
def test_both_sides_compute_the_same_of_every_piece():
    generator = np.random.default_rng(0)
    for use in cut(SMALL.program):
        inputs = [jnp.asarray(generator.standard_normal((4, *shape), np.float32)) for shape in use.piece.input_shapes]
        weights = {name: jnp.asarray(generator.standard_normal(shape, np.float32))
                   for name, shape in use.piece.weights.items()}
        wanted = tuple(value > 0 for value in use.inputs)
        plain, own = plain_passes(use.piece, inputs, weights, wanted), our_passes(use.piece, inputs, weights, wanted)
        np.testing.assert_allclose(plain["forward"](), own["forward"]()[0], rtol=1e-4, atol=1e-4)
        below = plain["backward"]()[1], own["backward"]()[2]
        assert len(below[0]) == len(below[1]) == sum(wanted)
        for expected, found in zip(*below, strict=True):
            np.testing.assert_allclose(expected, found, rtol=1e-3, atol=1e-3)


def test_the_parts_of_a_step_are_of_all_kinds_and_add_up_to_it():
    found = parts_ms(SMALL, batch=4)
    assert set(found) == {kind(use.piece) for use in cut(SMALL.program)} | {REST}
    for side in ("plain", "ours"):
        parts = [value for own in found.values() for value in own[side].values()]
        assert sum(parts) > 0
        assert all(value > 0 for name, own in found.items() if name != REST for value in own[side].values())
    assert found[REST].keys() == {"plain", "ours"}


@pytest.mark.parametrize(("text", "names"), [
    ("in_r12_c1+conv_k3_c8_s2_relu6+head_c16_relu6_n3", {"other convolution", "batch norm, activation, skip",
     "pointwise convolution", "pooling, squeeze-and-excitation, classifier"})])
def test_pieces_are_called_by_their_first_layer(text, names):
    assert {kind(use.piece) for use in cut(Architecture.parse(text).program)} == names
