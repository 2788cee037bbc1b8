"""The blocks of Inception-ResNet: branches of convolutions whose scaled sum with the input follows."""

from dataclasses import dataclass
from typing import Protocol

from search_spaces.blocks.conventions import ACTIVATION_WORDS, Block, Input, conv_bn_act, require_kernel
from search_spaces.errors import require
from search_spaces.layers import (
    IDENTITY,
    Activation,
    Add,
    Branches,
    Concatenate,
    Convolution,
    Layer,
    Pool,
    Scale,
    Sequence,
)
from search_spaces.notation import number, word

SCALE = "factor of the branches before they are added to the input"
ENDS = word({"activated": True, "linearend": False}, "whether an activation follows the sum", True)


@dataclass(frozen=True)
class InceptionResidualA:
    """1x1, reduced 3x3 and reduced double 3x3 branches, joined by a linear 1x1 and added to the input.

    Source: Szegedy et al. 2017 (Inception-v4), figures 10 and 16; scaling: section 3.3.
    """

    one: int = number("o", "channels of the 1x1 branch and of the single 3x3 branch", scaled=True)
    middle: int = number("m", "channels of the first of the double 3x3", scaled=True)
    double: int = number("d", "channels of the second of the double 3x3", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    scale: float = number("by", SCALE, 0.17)
    activated: bool = ENDS

    def __post_init__(self) -> None:
        _require(self, "one", "middle", "double", "scale")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return _added(self, channels, (
            _convolutions(self, conventions, ("one", self.one, 1)),
            _convolutions(self, conventions, ("single_reduce", self.one, 1), ("single", self.one, 3)),
            _convolutions(self, conventions, ("double_reduce", self.one, 1), ("double_first", self.middle, 3),
                          ("double_second", self.double, 3)),
        ))


@dataclass(frozen=True)
class InceptionResidualB:
    """1x1 and factorised 7x7 branches, joined by a linear 1x1 and added to the input.

    Source: Szegedy et al. 2017, figures 11 and 17; scaling: section 3.3.
    """

    one: int = number("o", "channels of the 1x1 branch", scaled=True)
    reduce: int = number("r", "channels of the 1x1 before the factorised convolution", scaled=True)
    middle: int = number("m", "channels between its halves", scaled=True)
    channels: int = number("c", "channels that leave the factorised branch", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "length of the factorised kernels", 7)
    scale: float = number("by", SCALE, 0.1)
    activated: bool = ENDS

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        _require(self, "one", "reduce", "middle", "channels", "scale")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return _added(self, channels, (
            _convolutions(self, conventions, ("one", self.one, 1)),
            _convolutions(self, conventions, ("reduce", self.reduce, 1), ("row", self.middle, (1, self.kernel)),
                          ("column", self.channels, (self.kernel, 1))),
        ))


@dataclass(frozen=True)
class InceptionResidualC:
    """1x1 and factorised 3x3 branches, joined by a linear 1x1 and added to the input.

    Source: Szegedy et al. 2017, figures 13 and 19; scaling: section 3.3. The last one in the published network has no
    activation (`linearend`) and a scale of 1.
    """

    one: int = number("o", "channels of the 1x1 branch and of the 1x1 before the factorised convolution", scaled=True)
    middle: int = number("m", "channels between its halves", scaled=True)
    channels: int = number("c", "channels that leave the factorised branch", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "length of the factorised kernels", 3)
    scale: float = number("by", SCALE, 0.2)
    activated: bool = ENDS

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        _require(self, "one", "middle", "channels", "scale")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return _added(self, channels, (
            _convolutions(self, conventions, ("one", self.one, 1)),
            _convolutions(self, conventions, ("reduce", self.one, 1), ("row", self.middle, (1, self.kernel)),
                          ("column", self.channels, (self.kernel, 1))),
        ))


@dataclass(frozen=True)
class ResidualReductionB:
    """Two reduced strided 3x3, a reduced double 3x3 and a max pool side by side, to the smallest size.

    Reduction A of Inception-ResNet is Inception's own. Source: Szegedy et al. 2017, figures 12 and 18.
    """

    reduce: int = number("r", "channels of the 1x1 convolutions", scaled=True)
    first: int = number("a", "channels of the first 3x3 branch", scaled=True)
    second: int = number("b", "channels of the second 3x3 branch and between the double 3x3", scaled=True)
    double: int = number("d", "channels of the double 3x3 branch", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        _require(self, "reduce", "first", "second", "double")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        def strided(name: str, filters: int) -> Layer:
            return conv_bn_act(name, conventions, filters, 3, 2, activation=self.activation, padding="valid")

        return Branches(Concatenate(), (
            Sequence((_convolutions(self, conventions, ("first_reduce", self.reduce, 1)),
                      strided("first", self.first))),
            Sequence((_convolutions(self, conventions, ("second_reduce", self.reduce, 1)),
                      strided("second", self.second))),
            Sequence((_convolutions(self, conventions, ("double_reduce", self.reduce, 1), ("middle", self.second, 3)),
                      strided("double", self.double))),
            Pool("max", 3, 2, "valid"),
        ))


class _Activated(Protocol):
    @property
    def activation(self) -> str: ...


class _Residual(_Activated, Protocol):
    @property
    def scale(self) -> float: ...
    @property
    def activated(self) -> bool: ...


def _convolutions(block: _Activated, conventions: Input, *parts: tuple[str, int, int | tuple[int, int]]) -> Layer:
    """Returns convolutions one after the other, each a name, the channels out and the kernel."""
    return Sequence(tuple(conv_bn_act(name, conventions, filters, kernel, activation=block.activation)
                          for name, filters, kernel in parts))


def _added(block: _Residual, channels: int, branches: tuple[Layer, ...]) -> Layer:
    body = Sequence((
        Branches(Concatenate(), branches),
        Sequence((Convolution(channels, bias=True),), "join"),
        *((Scale(block.scale),) if block.scale != 1 else ()),
    ))
    total = Branches(Add(), (IDENTITY, body))
    return Sequence((total, *((Activation(block.activation),) if block.activated else ())))


def _require(block: Block, *names: str) -> None:
    for name in names:
        require(getattr(block, name) > 0, f"`{name}` must be positive, but got {name}={getattr(block, name):g}")


BLOCKS: dict[str, type[Block]] = {
    "inceptionresa": InceptionResidualA,
    "inceptionresb": InceptionResidualB,
    "inceptionresc": InceptionResidualC,
    "reductionresb": ResidualReductionB,
}
