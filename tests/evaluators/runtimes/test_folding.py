import numpy as np
import pytest

from evaluators.runtimes.folding import fold_batch_norm
from search_spaces import SPACES, Architecture
from search_spaces.layers import (
    IDENTITY,
    Activation,
    Add,
    BatchNorm,
    Branches,
    Convolution,
    Dense,
    GlobalPool,
    Sequence,
)
from search_spaces.program import trace

NORM = BatchNorm()
FOLDED = {
    "a norm after a convolution": Sequence((Convolution(4, (3, 3)), NORM)),
    "a norm after a convolution with bias": Sequence((Convolution(4, bias=True), NORM)),
    "a norm after a grouped convolution": Sequence((Convolution(3, (3, 3), groups=3), NORM)),
    "a norm after a dense layer": Sequence((Dense(5, bias=False), NORM)),
    "two norms after a convolution": Sequence((Convolution(4), NORM, NORM)),
    "a norm in a branch": Sequence((Branches(Add(), (IDENTITY, Sequence((Convolution(3), NORM)))), Activation("relu"))),
}
KEPT = {
    "a norm of the input": NORM,
    "a norm after a sum": Sequence((Branches(Add(), (IDENTITY, Convolution(3))), NORM)),
    "a norm of a convolution that something else reads": Sequence((Convolution(3), Branches(Add(), (IDENTITY, NORM)))),
}


def _norms(program):
    return sum(isinstance(operation.layer, BatchNorm) for operation in program.operations)


@pytest.fixture
def assert_equal(numpy_forward):
    def check(program, arrays, folded, folded_arrays):
        images = np.random.default_rng(1).standard_normal((2, *program.input_shape), np.float32)
        np.testing.assert_allclose(numpy_forward(folded, folded_arrays, images), numpy_forward(program, arrays, images),
                                   rtol=1e-5, atol=1e-5)

    return check


@pytest.mark.parametrize("layer", FOLDED.values(), ids=FOLDED)
def test_a_norm_that_can_be_folded_disappears_and_changes_nothing(layer, random_arrays, assert_equal):
    program = trace(layer, (5, 5, 3))
    arrays = random_arrays(program, 0)
    folded, folded_arrays = fold_batch_norm(program, arrays)
    assert _norms(folded) == 0
    assert_equal(program, arrays, folded, folded_arrays)


@pytest.mark.parametrize("layer", KEPT.values(), ids=KEPT)
def test_a_norm_that_cannot_be_folded_stays(layer, random_arrays, assert_equal):
    program = trace(layer, (5, 5, 3))
    arrays = random_arrays(program, 0)
    folded, folded_arrays = fold_batch_norm(program, arrays)
    assert _norms(folded) == 1
    assert_equal(program, arrays, folded, folded_arrays)


def test_what_is_folded_names_exactly_the_arrays_that_it_needs(random_arrays):
    space = SPACES["mobile"].bind(28, 1, 10)
    program = space.decode(space.sample(np.random.default_rng(0))).program
    folded, arrays = fold_batch_norm(program, random_arrays(program, 0))
    assert {name: array.shape for name, array in arrays.items()} == folded.arrays


def test_the_arrays_that_come_in_stay_as_they_are(random_arrays):
    program = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3").program
    arrays = random_arrays(program, 0)
    before = {name: array.copy() for name, array in arrays.items()}
    fold_batch_norm(program, arrays)
    assert all(np.array_equal(before[name], arrays[name]) for name in before)


def test_a_program_without_norms_is_its_own_folding(random_arrays):
    program = trace(Sequence((Convolution(4), GlobalPool(), Dense(2))), (5, 5, 3))
    assert fold_batch_norm(program, random_arrays(program, 0))[0] == program
