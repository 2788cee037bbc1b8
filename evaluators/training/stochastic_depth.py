"""Stochastic depth (Huang et al. 2016): in training, images skip residual branches at random.

Residual branches are derived from the program, so that every block that has one is trained so: an addition of which
one input is computed from the other. That of a projected shortcut has none.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from search_spaces.layers import Add, Shape
from search_spaces.program import Operation, Program


@dataclass(frozen=True)
class DropPath:
    """The end of a residual branch in training: each image's values are scaled by a factor that is given."""

    label: ClassVar[str] = "drop_path"

    def output_shape(self, *shapes: Shape) -> Shape:
        """Returns the input's shape."""
        return shapes[0]

    def weights(self, *shapes: Shape) -> dict[str, tuple[int, ...]]:
        """Returns no weights."""
        return {}


def residual_branches(program: Program) -> dict[int, int]:
    """Returns the value of the residual branch of each addition that has one, by the addition's index."""
    ancestors: list[frozenset[int]] = [frozenset()]
    found = {}
    for index, operation in enumerate(program.operations):
        if isinstance(operation.layer, Add) and len(operation.inputs) == 2:
            for skip, branch in (operation.inputs, operation.inputs[::-1]):
                if skip in ancestors[branch]:
                    found[index] = branch
        ancestors.append(frozenset(operation.inputs).union(*(ancestors[value] for value in operation.inputs)))
    return found


def with_stochastic_depth(program: Program) -> Program:
    """Returns the program with a `DropPath` at the end of each residual branch; names of arrays stay as they are."""
    branches, operations, number = residual_branches(program), [], {0: 0}
    for index, operation in enumerate(program.operations):
        inputs = tuple(number[value] for value in operation.inputs)
        if index in branches:
            place = operation.inputs.index(branches[index])
            shape = operation.input_shapes[place]
            operations.append(Operation(f"{operation.name}/{DropPath.label}", DropPath(), (inputs[place],), (shape,),
                                        shape))
            inputs = (*inputs[:place], len(operations), *inputs[place + 1:])
        operations.append(dataclasses.replace(operation, inputs=inputs))
        number[index + 1] = len(operations)
    return Program(program.input_shape, tuple(operations))


def keeping(branches: int, most: float, batch: int, generator: np.random.Generator) -> np.ndarray:
    """Returns the factors `[branches, batch]` of the branches in a step: 0, or one whose expected value is then 1.

    Args:
        branches: how many there are.
        most: the probability of 0 in the last one; it grows evenly from the first on (equation 4).
        batch: images.
        generator: what the factors are drawn from.
    """
    kept = 1 - most * np.arange(1, branches + 1)[:, None] / max(branches, 1)
    return np.where(generator.random((branches, batch)) < kept, 1 / kept, 0).astype(np.float32)
