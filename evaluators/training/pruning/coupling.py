"""Channels that belong together, found by walking a program: removed are all of a group, or none.

A convolution or a dense layer reads some groups and makes new ones. All other operations hand channels on, so that an
addition, a gate, a concatenation, a shuffle or a depthwise convolution puts those that meet in it into one group.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from search_spaces.layers import Add, Concatenate, Convolution, Dense, Multiply, Shuffle, Slice
from search_spaces.program import Operation, Program

Selection = tuple[np.ndarray, ...]  # for each value of a program, the channels that another, larger program has for it


@dataclass(frozen=True)
class Coupling:
    """The groups of channels of a program, in the order of their first channels.

    Attributes:
        groups: for each value, the group of each channel.
        kinds: for each group a number that says in which values it has how many channels; groups of one kind can take
            each other's place, in programs of the same operations too.
    """

    groups: tuple[np.ndarray, ...]
    kinds: np.ndarray

    @classmethod
    def of(cls, program: Program) -> "Coupling":
        """Returns the groups of a program."""
        widths = [program.input_shape[2], *(operation.output_shape[2] for operation in program.operations)]
        values = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
        links = [_linked(operation, [values[value] for value in operation.inputs], values[index])
                 for index, operation in enumerate(program.operations, start=1)]
        before, after = (np.concatenate([link[end] for part in links for link in part]) for end in (0, 1))
        graph = coo_array((np.ones(len(before)), (before, after)), shape=(sum(widths), sum(widths)))
        _, labels = connected_components(graph, directed=False)
        _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
        labels = np.argsort(np.argsort(first))[labels]
        return cls(tuple(np.split(labels, np.cumsum(widths)[:-1])), _kinds(program, values, labels))

    def sums(self, scores: Selection) -> np.ndarray:
        """Returns the sums `[groups]` of the scores of each group's channels; these scores are given by value."""
        return np.bincount(np.concatenate(self.groups), np.concatenate(scores), len(self.kinds))


def _linked(operation: Operation, inputs: list[np.ndarray], output: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns pairs of the channels that an operation hands on, and those that they become."""
    match operation.layer:
        case Convolution() as layer:
            return [(inputs[0], output)] if layer.is_depthwise(len(inputs[0])) else []
        case Dense():
            return []
        case Slice(begin, end):
            return [(inputs[0][begin:end], output)]
        case Shuffle(groups):
            return [(inputs[0].reshape(groups, -1).T.ravel(), output)]
        case Concatenate():
            return [(np.concatenate(inputs), output)]
        case Add() | Multiply():
            return [(value, output) for value in inputs]
        case _:
            return [(inputs[0], output)]


def _kinds(program: Program, values: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Returns the kinds of the groups: sums of random numbers that stand for values, and for groups of convolutions.

    Such sums of 64 bits are equal for equal kinds, and but for a chance of 1 in 2^64 for these only.
    """
    generator, kinds = np.random.default_rng(0), np.zeros(labels.max() + 1, np.uint64)

    def note(channels: np.ndarray) -> None:
        np.add.at(kinds, labels[channels], generator.integers(2**64, dtype=np.uint64))

    for value in values:
        note(value)
    for operation, output in zip(program.operations, values[1:], strict=True):
        layer = operation.layer
        if isinstance(layer, Convolution) and layer.groups > 1 and not layer.is_depthwise(operation.input_shapes[0][2]):
            for channels in (values[operation.inputs[0]], output):
                for part in np.split(channels, layer.groups):
                    note(part)
    return kinds


def selection(large: Coupling, small: Coupling, scores: np.ndarray) -> Selection | None:
    """Returns the channels that a program keeps which becomes a smaller one of the same operations.

    Of each kind the groups of highest score are kept, in their order.

    Args:
        large: the groups of the program.
        small: those of the smaller program.
        scores: of each group of the larger one.

    Returns:
        For each value of the smaller program the channels of the larger one; None where it has more groups of a kind,
        other inputs or other classes.
    """
    count = len(large.kinds)
    _, kinds = np.unique(np.concatenate([large.kinds, small.kinds]), return_inverse=True)
    before, after = kinds[:count], kinds[count:]
    there, needed = (np.bincount(of, minlength=kinds.max() + 1) for of in (before, after))
    if np.any(needed > there):
        return None
    best = np.lexsort((np.arange(count), -scores, before))
    place = np.arange(count) - (np.cumsum(there) - there)[before[best]]  # among those of its kind
    kept = np.sort(best[place < needed[before[best]]])
    became = np.empty(len(after), int)
    became[np.argsort(after, kind="stable")] = kept[np.argsort(before[kept], kind="stable")]
    chosen = tuple(_matched(groups, became[own]) for groups, own in zip(large.groups, small.groups, strict=True))
    whole = all(np.array_equal(chosen[value], np.arange(len(large.groups[value]))) for value in (0, -1))
    return chosen if whole else None


def _matched(groups: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns the channels of a value that are of the wanted groups, in their order; of one group, the first first."""
    ours = np.flatnonzero(np.isin(groups, wanted))
    found = np.empty(len(wanted), int)
    found[np.argsort(wanted, kind="stable")] = ours[np.argsort(groups[ours], kind="stable")]
    return found
