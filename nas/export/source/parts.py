"""A network as modules, which are its blocks and the named parts within, and what several modules have in common."""

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces import layers
from search_spaces.architecture import Architecture
from search_spaces.layers import Activation, BatchNorm, Branches, Convolution, Dense, Pool
from search_spaces.program import Operation

CONVOLUTION = ("convolution", "batch_norm", "activation")  # what a usual convolution consists of, in this order


@dataclass(frozen=True, eq=False)
class Layer:
    """A primitive layer or a join in its place, with all that its source depends on."""

    operation: Operation
    attributes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Module:
    """A block or a named part of one, as it occurs once.

    Attributes:
        name: of the class of a block, or of the part.
        parts: what it consists of.
        inputs: its channels in.
        summary: a line on a block; empty for parts of one.
    """

    name: str
    parts: "Parts"
    inputs: int
    summary: str = ""

    @cached_property
    def kind(self) -> tuple[str, ...]:
        """The modules that are tried as one class are of one kind: usual convolutions, blocks, parts of like names."""
        labels = [part.name for part in self.parts if not part.modules and not part.branches]
        if len(labels) == len(self.parts) and labels == [label for label in CONVOLUTION if label in labels] and (
                labels[0] == CONVOLUTION[0]):
            return CONVOLUTION
        return (self.name,) if self.summary else tuple(part.name for part in self.parts if part.name not in CONVOLUTION)

    @property
    def modules(self) -> Iterator["Module"]:
        """The modules within, as deep as they lie, each after those that lie in it."""
        for module in modules_in(self.parts):
            yield from module.modules
            yield module


@dataclass(frozen=True)
class Part:
    """A layer, a module, a row of modules or a join of branches at one place of some modules.

    Attributes:
        name: the label of the layer or join, or a name of its own.
        occurrences: the same in each of the modules; None where one goes without it.
        branches: of a join.
        main: the branch that is left where there is no join; None where there always is one.
    """

    name: str
    occurrences: tuple[Layer | Module | tuple[Module, ...] | None, ...]
    branches: tuple["Parts", ...] = ()
    main: int | None = None

    @property
    def first(self) -> Layer | Module | tuple[Module, ...]:
        """The first occurrence that there is."""
        return next(occurrence for occurrence in self.occurrences if occurrence is not None)

    @property
    def modules(self) -> list[Module]:
        """The modules at this place, rows one after the other."""
        found: list[Module] = []
        for occurrence in self.occurrences:
            found += [occurrence] if isinstance(occurrence, Module) else occurrence if isinstance(
                occurrence, tuple) else []
        return found

    def padded(self, before: int, after: int) -> "Part":
        """Returns the part with so many more modules before and after its own, which go without it."""
        return dataclasses.replace(
            self, occurrences=(None,) * before + self.occurrences + (None,) * after,
            branches=tuple(tuple(part.padded(before, after) for part in branch) for branch in self.branches))


Parts = tuple[Part, ...]
Key = Callable[[Part], Hashable]


def modules_in(parts: Parts) -> Iterator[Module]:
    """Yields the modules of parts and of their branches, in the order in which they are executed."""
    for part in parts:
        for branch in part.branches:
            yield from modules_in(branch)
        yield from part.modules


def blocks_of(architecture: Architecture) -> list[Module]:
    """Returns the blocks of a network."""
    found = []
    for block, program in zip(architecture.blocks, architecture.block_programs, strict=True):
        expression = block.layers(program.input_shape[2], architecture.input)
        parts = _read(expression, iter(program.operations), architecture.input.padding)
        name = type(block).__name__
        found.append(Module(name, parts, program.input_shape[2], (type(block).__doc__ or name).partition("\n")[0]))
    return found


def _read(layer: layers.Layer, operations: Iterator[Operation], padding: str) -> Parts:
    """Returns the parts of an expression, whose operations come in the order in which `trace` visits it."""
    if isinstance(layer, layers.Sequence):
        parts = tuple(part for each in layer.parts for part in _read(each, operations, padding))
    elif isinstance(layer, Branches):
        branches = tuple(_read(branch, operations, padding) for branch in layer.branches)
        parts = (Part(layer.join.label, (Layer(next(operations), {}),), branches),)
    else:
        operation = next(operations)
        name = f"{layer.function}_pool" if isinstance(layer, Pool) else layer.label
        return (Part(name, (Layer(operation, _attributes(operation, padding)),)),)
    if not layer.name or not parts:
        return parts
    if len(parts) == 1 and not parts[0].branches:
        return (dataclasses.replace(parts[0], name=layer.name),)
    return (Part(layer.name, (Module(layer.name, parts, _inputs(parts)),)),)


def _inputs(parts: Parts) -> int:
    """Returns the channels that some parts read."""
    part = parts[0]
    if part.branches:
        return _inputs(next(branch for branch in part.branches if branch))
    if isinstance(part.first, Layer):
        return part.first.operation.input_shapes[0][2]
    return part.modules[0].inputs


def _attributes(operation: Operation, padding: str) -> dict[str, Any]:
    """Returns the distinguishing attributes of a layer; `padding` is the network's, and that of what pads nothing."""
    layer, shape = operation.layer, operation.input_shapes[0]
    match layer:
        case Convolution():
            return {"inputs": shape[2], "filters": layer.filters, "kernel": layer.kernel, "stride": layer.stride,
                    "groups": layer.groups, "padding": padding if layer.kernel == (1, 1) else layer.padding,
                    "bias": layer.bias}
        case BatchNorm():
            return {"features": shape[2], "momentum": layer.momentum, "epsilon": layer.epsilon}
        case Dense():
            return {"flat": shape[:2] == (1, 1), "inputs": shape[0] * shape[1] * shape[2],
                    "features": layer.features, "bias": layer.bias}
        case Activation():
            return {"activation": layer.function}
        case Pool():
            pads = layer.pads(shape)
            return {"function": layer.function, "kernel": layer.kernel, "stride": layer.stride,
                    "padding": "same" if layer.padding == "same" else pads if any(map(any, pads)) else "valid",
                    "count_padding": layer.count_padding}
    return dict(vars(layer))


def merged(one: Parts, other: Parts, key: Key) -> Parts | None:
    """Returns the parts of some modules and those of others as the parts of all; None where they have too little alike.

    Parts of equal keys are aligned; what has no partner is there in some modules only.
    """
    return _merged(one, other, key, _count(one), _count(other))


def _count(parts: Parts) -> int:
    return len(parts[0].occurrences)


def _merged(one: Parts, other: Parts, key: Key, ones: int, others: int) -> Parts | None:
    one, other = _with_sum(one, other, ones), _with_sum(other, one, others)
    pairs = _aligned([*map(key, one)], [*map(key, other)])
    if one and other and all(left is None or right is None for left, right in pairs):
        return None
    found: list[Part] = []
    for left, right in pairs:
        if left is not None and right is not None:
            both = _joined(one[left], other[right], key, ones, others)
        else:
            single = one[left].padded(0, others) if left is not None else other[right or 0].padded(ones, 0)
            both = None if single.branches else single
        if both is None:
            return None
        found.append(both)
    return tuple(found)


def _joined(one: Part, other: Part, key: Key, ones: int, others: int) -> Part | None:
    """Returns two parts of equal keys as one; None where their branches differ."""
    branches = []
    for left, right in zip(one.branches, other.branches, strict=True):
        branch = _merged(left, right, key, ones, others)
        if branch is None:
            return None
        branches.append(branch)
    if None not in (one.main, other.main) and one.main != other.main:
        return None
    main = other.main if one.main is None else one.main
    return Part(one.name, one.occurrences + other.occurrences, tuple(branches), main)


def _with_sum(parts: Parts, example: Parts, count: int) -> Parts:
    """Returns parts as the main branch of a sum that they go without, where an example is such a sum."""
    if _is_sum(parts) or not _is_sum(example):
        return parts
    main = max((0, 1), key=lambda index: len(example[0].branches[index]))
    return (Part(example[0].name, (None,) * count, ((), parts) if main else (parts, ()), main),)


def _is_sum(parts: Parts) -> bool:
    return len(parts) == 1 and len(parts[0].branches) == 2 and parts[0].name == layers.Add.label


def _aligned(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[tuple[int | None, int | None]]:
    """Returns the places of two lists in one order, paired along their longest common subsequence."""
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for left in reversed(range(len(one))):
        for right in reversed(range(len(other))):
            lengths[left][right] = (lengths[left + 1][right + 1] + 1 if one[left] == other[right]
                                    else max(lengths[left + 1][right], lengths[left][right + 1]))
    pairs: list[tuple[int | None, int | None]] = []
    left = right = 0
    while left < len(one) or right < len(other):
        if left < len(one) and right < len(other) and one[left] == other[right]:
            pairs.append((left, right))
            left, right = left + 1, right + 1
        elif right == len(other) or (left < len(one) and lengths[left + 1][right] >= lengths[left][right + 1]):
            pairs.append((left, None))
            left += 1
        else:
            pairs.append((None, right))
            right += 1
    return pairs
