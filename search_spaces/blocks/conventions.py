"""What every block shares: the contract, the network-wide conventions, and the usual short sequences."""

from dataclasses import dataclass
from typing import Protocol

from search_spaces.layers import ACTIVATIONS, PADDINGS, Activation, BatchNorm, Convolution, Layer, Sequence, require
from search_spaces.notation import number, word

ACTIVATION_WORDS = {name: name for name in ACTIVATIONS}


@dataclass(frozen=True)
class Input:
    """The image that enters a network, and the conventions that all its layers keep."""

    resolution: int = number("r", "height and width of the image in pixels")
    channels: int = number("c", "channels of the image")
    padding: str = word({name: name for name in PADDINGS}, "how convolutions pad", "same")
    bn_epsilon: float = number("eps", "batch norm's epsilon", 1e-5)
    bn_momentum: float = number("mom", "share of the old running statistics that a step keeps", 0.9)

    def __post_init__(self) -> None:
        require(self.resolution >= 1, f"`resolution` must be at least 1, but got r{self.resolution}")
        require(self.channels >= 1, f"`channels` must be at least 1, but got c{self.channels}")
        require(0 < self.bn_momentum < 1, f"`bn_momentum` must lie between 0 and 1, but got mom{self.bn_momentum}")
        require(self.bn_epsilon > 0, f"`bn_epsilon` must be positive, but got eps{self.bn_epsilon}")


class Block(Protocol):
    """A documented block: a frozen dataclass whose fields are its options.

    Two field names have a meaning of their own: `channels` are the channels that leave the block (the width
    multiplier scales them unless the class says `width_scaled = False`), and `stride` belongs to the first layer of
    a stage (the others have 1).
    """

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block for so many channels in."""
        ...


def round_channels(channels: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to `channels`, at least `divisor`, and never below 90 % of it.

    Source: the published MobileNet code (tensorflow/models, slim, `make_divisible`).

    >>> round_channels(24 * 0.75), round_channels(16 * 0.5)
    (24, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_bn_act(name: str, conventions: Input, filters: int, kernel: int = 1, stride: int = 1, groups: int = 1,
                activation: str = "") -> Sequence:
    """Returns convolution, batch norm and, if one is named, activation."""
    parts: tuple[Layer, ...] = (
        Convolution(filters, (kernel, kernel), stride, groups, conventions.padding),
        BatchNorm(conventions.bn_epsilon, conventions.bn_momentum),
    )
    return Sequence((*parts, Activation(activation)) if activation else parts, name)


def require_kernel(kernel: int) -> None:
    """Raises `InvalidInput` unless the kernel is odd and at least 1."""
    require(kernel % 2 == 1, f"`kernel` must be odd, but got kernel={kernel}")


def require_stride(stride: int) -> None:
    """Raises `InvalidInput` unless the stride is 1 or 2."""
    require(stride in (1, 2), f"`stride` must be 1 or 2, but got stride={stride}")


def require_channels(channels: int) -> None:
    """Raises `InvalidInput` unless there is at least one channel."""
    require(channels >= 1, f"`channels` must be at least 1, but got channels={channels}")
