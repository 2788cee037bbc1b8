"""The common ground of all blocks: the contract, the network-wide conventions, and the usual short sequences."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Protocol

from search_spaces.errors import require
from search_spaces.layers import ACTIVATIONS, PADDINGS, Activation, BatchNorm, Convolution, Dense, Layer, Sequence
from search_spaces.notation import number, word

ACTIVATION_WORDS = {name: name for name in ACTIVATIONS}
PADDING_WORDS = {name: name for name in PADDINGS}
OWN_PADDING_WORDS = {"inherit": "", **PADDING_WORDS}
NORMS = ("bn", "bias", "bare")  # batch norm and no bias, a bias and no batch norm, neither
NORM_WORDS = {name: name for name in NORMS}
MOST_PIXELS = 4096  # along a side of an image
MOST_KERNEL = 255  # pixels along a side of a kernel or a window
MOST_LAYERS = 256  # of a block or a stage; the deepest published stage has 200 (He et al. 2016, ResNet-1202)
FORMS = ("direct", "stacked", "separable")
FORM_WORDS = {name: name for name in FORMS}


@dataclass(frozen=True)
class Input:
    """The image that enters a network, and the conventions that all its layers keep."""

    resolution: int = number("r", "height and width of the image in pixels")
    channels: int = number("c", "channels of the image")
    padding: str = word(PADDING_WORDS, "how convolutions and pools pad", "same")
    bn_epsilon: float = number("eps", "batch norm's epsilon", 1e-5)
    bn_momentum: float = number("mom", "share of the old running statistics that a step keeps", 0.9)

    def __post_init__(self) -> None:
        require_resolution(self.resolution)
        require(self.channels >= 1, f"`channels` must be at least 1, but got c{self.channels}")
        require(0 < self.bn_momentum < 1, f"`bn_momentum` must lie between 0 and 1, but got mom{self.bn_momentum}")
        require(self.bn_epsilon > 0, f"`bn_epsilon` must be positive, but got eps{self.bn_epsilon}")


class Block(Protocol):
    """A documented block: a frozen dataclass whose fields are its options.

    A field called `stride` belongs to the first layer of a stage, the others have 1; `channels` and `stride` are
    shared by the layers of a stage. The width multiplier scales the fields declared with `scaled=True`.
    """

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block for so many channels in."""
        ...

    def __hash__(self) -> int:
        """Returns the hash of the options, as a frozen dataclass has it: equal for equal options."""
        ...


def round_channels(channels: float, divisor: int = 8) -> int:
    """Returns the multiple of `divisor` nearest to `channels`, at least `divisor`, and never below 90 % of it.

    Source: the published MobileNet code (tensorflow/models, slim, `make_divisible`).

    >>> round_channels(24 * 0.75), round_channels(16 * 0.5)
    (24, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def conv_bn_act(name: str, conventions: Input, filters: int, kernel: int | tuple[int, int] = 1, stride: int = 1,
                groups: int = 1, activation: str = "", norm: str = "bn", padding: str = "") -> Sequence:
    """Returns convolution, batch norm and, if one is named, activation.

    `norm` is one of `NORMS`; an empty `padding` is the network's own.
    """
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    convolution = Convolution(filters, size, stride, groups, padding or conventions.padding, bias=norm == "bias")
    return Sequence((convolution, *_norm_act(conventions, activation, norm)), name)


def conv_in_form(form: str, name: str, conventions: Input, channels: int, filters: int, kernel: int, stride: int = 1,
                 groups: int = 1, activation: str = "", norm: str = "bn", padding: str = "") -> Sequence:
    """Returns `conv_bn_act` of so many channels in, in one of the `FORMS`.

    A stacked convolution is `kernel // 2` of 3x3 that see the same pixels, the stride in the first (Szegedy et al.
    2016, figure 1: one 5x5 or two 3x3). A separable one is a depthwise and a pointwise convolution, batch norm and
    activation after the second only (Chollet 2017, section 3); with `norm="bias"` both have one.
    """
    if form == "stacked" and kernel > 3:
        return Sequence(tuple(
            conv_bn_act("", conventions, filters, 3, 1 if index else stride, groups, activation, norm, padding)
            for index in range(kernel // 2)), name)
    if form == "separable" and kernel > 1:
        bias, pads = norm == "bias", padding or conventions.padding
        return Sequence((
            Sequence((Convolution(channels, (kernel, kernel), stride, channels, pads, bias),), "depthwise"),
            Sequence((Convolution(filters, groups=groups, bias=bias),), "pointwise"),
            *_norm_act(conventions, activation, norm),
        ), name)
    return conv_bn_act(name, conventions, filters, kernel, stride, groups, activation, norm, padding)


def rank_option() -> Any:
    """Declares the field of a block that `pointwise` and `low_rank` are given."""
    return number("rank", "rank of its 1x1 and dense layers as a share of their full rank, where two factors are "
                  "smaller", 1.0)


def low_rank(layer: Convolution | Dense, channels: int, share: float) -> tuple[Layer, ...]:
    """Returns a pointwise or dense layer of so many channels in as two factors, with fewer channels in between.

    Those are a share of the smaller of the channels in and out, rounded to a multiple of 8; nothing stands between the
    two, and a bias is that of the second. Where they would have no fewer weights than the layer, it stays whole.

    Source: Sainath et al. 2013, "Low-rank matrix factorization for deep neural network training with high-dimensional
    output targets", for the last layer; Denton et al. 2014, section 3.2.1, for convolutions.
    """
    out = layer.filters if isinstance(layer, Convolution) else layer.features
    rank = round_channels(min(channels, out) * share)
    if share == 1 or rank * (channels + out) >= channels * out:
        return (layer,)
    if isinstance(layer, Convolution):
        return dataclasses.replace(layer, filters=rank, bias=False), layer
    return dataclasses.replace(layer, features=rank, bias=False), layer


def pointwise(name: str, conventions: Input, channels: int, filters: int, rank: float, activation: str = ""
              ) -> Sequence:
    """Returns a 1x1 convolution of so many channels in, as `low_rank` has it, batch norm and activation."""
    convolution = Convolution(filters, padding=conventions.padding)
    return Sequence((*low_rank(convolution, channels, rank), *_norm_act(conventions, activation, "bn")), name)


def norm_act(conventions: Input, activation: str) -> Sequence:
    """Returns batch norm and activation, as they stand before the convolutions of pre-activated blocks."""
    return Sequence(_norm_act(conventions, activation, "bn"))


def _norm_act(conventions: Input, activation: str, norm: str) -> tuple[Layer, ...]:
    normalised = (BatchNorm(conventions.bn_epsilon, conventions.bn_momentum),) if norm == "bn" else ()
    return (*normalised, *((Activation(activation),) if activation else ()))


def keeps_size(kernel: int, stride: int, conventions: Input) -> bool:
    """Tells whether a convolution leaves height and width as they are, so that a skip can go around it."""
    return stride == 1 and (kernel == 1 or conventions.padding != "valid")


def require_resolution(resolution: int) -> None:
    """Raises `InvalidInput` unless an image of so many pixels along a side can be the input of a network."""
    require(resolution >= 1, f"`resolution` must be at least 1, but got r{resolution}")
    require(resolution <= MOST_PIXELS, f"`resolution` must be at most {MOST_PIXELS}, but got r{resolution}")


def require_kernel(kernel: int) -> None:
    """Raises `InvalidInput` unless the kernel is odd, at least 1 and at most `MOST_KERNEL`."""
    require(kernel % 2 == 1, f"`kernel` must be odd, but got kernel={kernel}")
    require(kernel <= MOST_KERNEL, f"`kernel` must be at most {MOST_KERNEL}, but got kernel={kernel}")


def require_count(count: int) -> None:
    """Raises `InvalidInput` unless a block has from 1 to `MOST_LAYERS` layers."""
    require(count >= 1, f"`count` must be at least 1, but got n{count}")
    require(count <= MOST_LAYERS, f"`count` must be at most {MOST_LAYERS}, but got n{count}")


def require_stride(stride: int) -> None:
    """Raises `InvalidInput` unless the stride is 1 or 2."""
    require(stride in (1, 2), f"`stride` must be 1 or 2, but got stride={stride}")


def require_rank(rank: float) -> None:
    """Raises `InvalidInput` unless it is a share of the full rank."""
    require(0 < rank <= 1, f"`rank` must be above 0 and at most 1, but got rank{rank:g}")


def require_channels(channels: int) -> None:
    """Raises `InvalidInput` unless there is at least one channel."""
    require(channels >= 1, f"`channels` must be at least 1, but got channels={channels}")
