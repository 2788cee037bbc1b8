"""A trained network and its smaller forms, each with the importance that it loses."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from evaluators.networks.weights import Weights
from evaluators.training.pruning.coupling import Coupling, Selection, selection
from evaluators.training.pruning.importance import Importance
from evaluators.training.pruning.slicing import sliced, without_block
from search_spaces.architecture import Architecture
from search_spaces.smaller import Smaller, smaller

Price = Callable[[Architecture], float]


@dataclass(frozen=True)
class Prunable:
    """A trained network whose parts are known by their importance.

    Attributes:
        architecture: the network.
        arrays: its arrays by name.
        importance: that of its channels and blocks.
        lost: the importance of what was cut from it since it was found.
    """

    architecture: Architecture
    arrays: Weights
    importance: Importance
    lost: float = 0.0

    @cached_property
    def coupling(self) -> Coupling:
        """The groups of channels that belong together in the network."""
        return Coupling.of(self.architecture.program)

    @property
    def share_lost(self) -> float:
        """The share of all importance that was cut from it."""
        return self.lost / (self.lost + sum(float(scores.sum()) for scores in self.importance.channels))

    @cached_property
    def _scores(self) -> np.ndarray:
        return self.coupling.sums(self.importance.channels)

    def smaller(self) -> "Iterator[Cut]":
        """Yields the cuts to forms that are smaller by one notch and can have the arrays of the network."""
        for form in smaller(self.architecture):
            if form.without is not None:
                yield Cut(self, form, float(self.importance.blocks[form.without].sum()))
                continue
            chosen = selection(self.coupling, Coupling.of(form.architecture.program), self._scores)
            if chosen is not None:
                channels = self.importance.channels
                kept = sum(float(scores[own].sum()) for scores, own in zip(channels, chosen, strict=True))
                yield Cut(self, form, sum(float(scores.sum()) for scores in channels) - kept, chosen)


@dataclass(frozen=True)
class Cut:
    """A smaller form of a network.

    Attributes:
        of: the network.
        form: the smaller one.
        lost: the importance of what is cut away.
        chosen: the channels that are kept, unless a block is left out.
    """

    of: Prunable
    form: Smaller
    lost: float
    chosen: Selection | None = None

    @property
    def architecture(self) -> Architecture:
        """The smaller network."""
        return self.form.architecture

    def made(self) -> Prunable:
        """Returns the smaller network with the arrays and the importance of its channels."""
        large, small, old = self.of.architecture, self.architecture, self.of.importance
        lost = self.of.lost + self.lost
        if self.chosen is None:
            index = self.form.without
            assert index is not None
            begin = 1 + sum(len(program.operations) for program in large.block_programs[:index])
            end = begin + len(large.block_programs[index].operations)
            return Prunable(small, without_block(large, self.of.arrays, index), Importance(
                old.channels[:begin] + old.channels[end:], old.blocks[:index] + old.blocks[index + 1:]), lost)
        ends = np.cumsum([len(program.operations) for program in large.block_programs])
        return Prunable(small, sliced(large.program, self.of.arrays, small.program, self.chosen), Importance(
            tuple(scores[own] for scores, own in zip(old.channels, self.chosen, strict=True)),
            tuple(scores[self.chosen[end]] for scores, end in zip(old.blocks, ends, strict=True))), lost)


def cheapest(network: Prunable, price: Price, most: float, *, begin_with_block: bool = False) -> Prunable | None:
    """Returns a form of at most a price, which is cut notch by notch where least importance is lost for the price.

    With `begin_with_block` the first cut leaves a block out. None where no form is as cheap, or no block can be left
    out.
    """
    first = begin_with_block
    while first or price(network.architecture) > most:
        cuts = [cut for cut in network.smaller() if not first or cut.chosen is None]
        rates = [_rate(cut, price) for cut in cuts]
        if not rates or min(rates) == math.inf:
            return None
        network, first = cuts[int(np.argmin(rates))].made(), False
    return network


def _rate(cut: Cut, price: Price) -> float:
    """Returns the importance that is lost for each unit of the price, infinite where nothing is gained."""
    gained = price(cut.of.architecture) - price(cut.architecture)
    return cut.lost / gained if gained > 0 else math.inf


def smallest(architecture: Architecture) -> Architecture:
    """Returns the form in which nothing can be cut any more, made of the largest cuts."""
    while True:
        coupling = Coupling.of(architecture.program)
        forms = [form.architecture for form in smaller(architecture)
                 if form.without is not None or selection(coupling, Coupling.of(form.architecture.program), np.zeros(
                     len(coupling.kinds))) is not None]
        if not forms:
            return architecture
        architecture = min(forms, key=lambda form: form.macs)
