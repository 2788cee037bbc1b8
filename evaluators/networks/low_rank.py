"""Low rank factors of trained weights: the two layers that come closest to one, by singular values.

Which layers may be two is said by the option `rank` of the blocks (docs/notation.md); all else of a network, batch norm
included, stays as it is. The kernel of the factors is the best there is of its rank, in squared error (Eckart and Young
1936); what that costs in accuracy, a fine-tuning may win back (Denton et al. 2014, section 3.2.1 and 4.3).
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from evaluators.networks.weights import Weights
from search_spaces.architecture import Architecture
from search_spaces.blocks import Block
from search_spaces.errors import require
from search_spaces.program import Operation, Program, trace

RANKS = tuple(percent / 100 for percent in range(99, 0, -1))  # that are tried, one after the other


def factored(architecture: Architecture, arrays: Weights, share: float) -> tuple[Architecture, Weights]:
    """Returns a network and its arrays, with two layers for one wherever that keeps enough of a kernel's energy.

    The energy of a kernel is the sum of its squares, which is that of its squared singular values. A block gets the
    `rank`, in hundredths, that leaves the fewest weights of those at which all of its kernels keep the share; one that
    has no such rank, or has a rank below 1 already, stays as it is, and so may the whole network.

    Args:
        architecture: the network.
        arrays: its trained weights and running statistics by name.
        share: the energy that each kernel must keep, above 0 and at most 1; 0.9 and more are usual.
    """
    require_share(share)
    blocks = tuple(
        _of_lowest_rank(block, name, program, architecture, arrays, share)
        for block, name, program in zip(architecture.blocks, architecture.block_names, architecture.block_programs,
                                        strict=True))
    lower = dataclasses.replace(architecture, blocks=blocks)
    return lower, factors(architecture, arrays, lower)


def is_factorable(architecture: Architecture) -> bool:
    """Tells whether a network has fewer weights with a block of a lower rank, whatever its weights are."""
    return any(lower.params < program.params
               for block, program in zip(architecture.blocks, architecture.block_programs, strict=True)
               for _, lower in _of_lower_rank(block, program, architecture))


def require_share(share: float) -> None:
    """Raises `InvalidInput` unless it is a share of energy to keep."""
    require(0 < share <= 1, f"the share of energy must be above 0 and at most 1, but got {share:g}")


def factors(architecture: Architecture, arrays: Weights, lower: Architecture) -> Weights:
    """Returns the arrays of a network of lower rank that come closest to those of a network, in squared error.

    Args:
        architecture: the network.
        arrays: its trained weights and running statistics by name.
        lower: the same network with a `rank` below 1 where the other has none.

    Raises:
        InvalidInput: networks that differ in more than that.
    """
    require(lower.input == architecture.input and len(lower.blocks) == len(architecture.blocks)
            and all(map(_is_of_rank, lower.blocks, architecture.blocks)),
            f"factors are of the same network but for `rank`, but got '{lower}' for '{architecture}'")
    found: Weights = {}
    for whole, parts in _pairs(architecture.program, lower.program):
        own = {key: arrays[f"{whole.name}/{key}"] for key in whole.layer.weights(*whole.input_shapes)}
        if len(parts) == 1:
            found |= {new: arrays[old] for new, old in zip(parts[0].arrays, whole.arrays, strict=True)}
            continue
        first, second = parts
        found[f"{first.name}/kernel"], found[f"{second.name}/kernel"] = nearest(own.pop("kernel"), _rank(first))
        found |= {f"{second.name}/{key}": array for key, array in own.items()}
    return found


def nearest(kernel: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns two kernels `[..., channels in, rank]` and `[..., rank, channels out]`, the product of which is nearest.

    Each has the square root of the singular values, so that both are of one size and learn alike.
    """
    left, values, right = np.linalg.svd(_matrix(kernel), full_matrices=False)
    root = np.sqrt(values[:rank])
    lead = kernel.shape[:-2]
    return ((left[:, :rank] * root).astype(kernel.dtype).reshape(*lead, -1, rank),
            (root[:, None] * right[:rank]).astype(kernel.dtype).reshape(*lead, rank, -1))


def _of_lowest_rank(block: Block, name: str, program: Program, architecture: Architecture, arrays: Weights,
                    share: float) -> Block:
    """Returns a block with the lowest rank at which its kernels keep a share of their energy, or as it is."""
    kept: dict[str, np.ndarray] = {}  # of each kernel, the share of energy at ranks from 1
    found, params = block, program.params
    for lower, traced in _of_lower_rank(block, program, architecture):
        changed = {whole.name: _rank(parts[0]) for whole, parts in _pairs(program, traced) if len(parts) > 1}
        for kernel in changed.keys() - kept.keys():
            kept[kernel] = _energies(arrays[f"{name}/{kernel}/kernel"])
        if not all(kept[kernel][count - 1] >= share for kernel, count in changed.items()):
            break
        if traced.params < params:
            found, params = lower, traced.params
    return found


def _of_lower_rank(block: Block, program: Program, architecture: Architecture) -> Iterator[tuple[Block, Program]]:
    """Yields a block at each lower rank with its program; none where it has no rank, or has a rank below 1 already."""
    for rank in RANKS if getattr(block, "rank", None) == 1 else ():
        lower = dataclasses.replace(block, rank=rank)  # type: ignore[type-var]
        yield lower, trace(lower.layers(program.input_shape[2], architecture.input), program.input_shape)


def _energies(kernel: np.ndarray) -> np.ndarray:
    """Returns the share of a kernel's energy in its 1, 2, ... largest singular values; of a kernel of zeros, all."""
    squares = np.cumsum(np.linalg.svd(_matrix(kernel), compute_uv=False)**2)
    return squares / squares[-1] if squares[-1] else np.ones_like(squares)


def _pairs(whole: Program, lower: Program) -> Iterator[tuple[Operation, list[Operation]]]:
    """Yields each operation of a program and its form at a lower rank: one operation, or two factors."""
    left = iter(lower.operations)
    for operation in whole.operations:
        first = next(left)
        yield operation, [first] if first.output_shape == operation.output_shape else [first, next(left)]


def _rank(first: Operation) -> int:
    """Returns the channels between two factors, which are always fewer than those of the whole layer."""
    return first.output_shape[2]


def _is_of_rank(lower: Block, block: Block) -> bool:
    """Tells whether two blocks are equal, or but for a rank that the second one does not have."""
    return lower == block or (type(lower) is type(block) and getattr(block, "rank", None) == 1
                              and dataclasses.replace(lower, rank=1.0) == block)  # type: ignore[type-var]


def _matrix(kernel: np.ndarray) -> np.ndarray:
    """Returns the kernel of a dense layer or a 1x1 convolution, channels in by channels out, in float64."""
    return kernel.reshape(kernel.shape[-2:]).astype(np.float64)
