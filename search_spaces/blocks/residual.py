"""The residual blocks of ResNet: basic and bottleneck, with activations after (v1) or before (v2) the convolutions."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    FORM_WORDS,
    Block,
    Input,
    conv_bn_act,
    conv_in_form,
    norm_act,
    require_channels,
    require_kernel,
    require_stride,
)
from search_spaces.errors import require
from search_spaces.layers import IDENTITY, Activation, Add, Branches, Convolution, Layer, Sequence
from search_spaces.notation import number, word

MIDDLE_FORM = "the middle convolution as one, as a stack of 3x3, or depthwise and pointwise"
STRIDE_WORDS = {"stride3": "3x3", "stride1": "1x1"}


@dataclass(frozen=True)
class BasicResidual:
    """Two convolutions and a skip, projected by 1x1 where shapes change.

    Source: He et al. 2016, figure 5 left, with projection shortcuts (option B).
    """

    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the first convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the kernels", 3)
    form: str = word(FORM_WORDS, "each convolution as one, as a stack of 3x3, or depthwise and pointwise", "direct")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        body = Sequence((
            conv_in_form(self.form, "first", conventions, channels, self.channels, self.kernel, self.stride,
                         activation=self.activation),
            conv_in_form(self.form, "second", conventions, self.channels, self.channels, self.kernel),
        ))
        return _residual(body, channels, self.channels, self.stride, self.activation, conventions)


@dataclass(frozen=True)
class BottleneckResidual:
    """1x1, 3x3 and 1x1 convolutions and a skip, projected by 1x1 where shapes change.

    Source: He et al. 2016, figure 5 right, which has the stride in the first convolution (`stride1`); most published
    weights have it in the 3x3. With groups it is ResNeXt's (Xie et al. 2017, figure 3c).
    """

    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride")
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the middle kernel", 3)
    ratio: float = number("r", "channels out per channel in the middle", 4.0)
    groups: int = number("g", "groups of the middle convolution", 1)
    strided: str = word(STRIDE_WORDS, "which convolution has the stride", "3x3")
    form: str = word(FORM_WORDS, MIDDLE_FORM, "direct")

    def __post_init__(self) -> None:
        _require_bottleneck(self)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        middle = max(1, round(self.channels / self.ratio))
        first, second = (self.stride, 1) if self.strided == "1x1" else (1, self.stride)
        body = Sequence((
            conv_bn_act("reduce", conventions, middle, 1, first, activation=self.activation),
            conv_in_form(self.form, "middle", conventions, middle, middle, self.kernel, second, self.groups,
                         self.activation),
            conv_bn_act("expand", conventions, self.channels),
        ))
        return _residual(body, channels, self.channels, self.stride, self.activation, conventions)


@dataclass(frozen=True)
class PreactivatedBasic:
    """Two convolutions, each after batch norm and activation, and a skip that nothing follows.

    Source: He et al. 2016b (Identity Mappings in Deep Residual Networks), figure 1b. A projected skip reads the first
    activation.
    """

    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the first convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the kernels", 3)
    form: str = word(FORM_WORDS, "each convolution as one, as a stack of 3x3, or depthwise and pointwise", "direct")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        body = Sequence((
            conv_in_form(self.form, "first", conventions, channels, self.channels, self.kernel, self.stride,
                         norm="bare"),
            norm_act(conventions, self.activation),
            conv_in_form(self.form, "second", conventions, self.channels, self.channels, self.kernel, norm="bare"),
        ))
        return _preactivated(body, channels, self.channels, self.stride, self.activation, conventions)


@dataclass(frozen=True)
class PreactivatedBottleneck:
    """1x1, 3x3 and 1x1 convolutions, each after batch norm and activation, and a skip that nothing follows.

    Source: He et al. 2016b, section 5 and the appendix. A projected skip reads the first activation.
    """

    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride")
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the middle kernel", 3)
    ratio: float = number("r", "channels out per channel in the middle", 4.0)
    groups: int = number("g", "groups of the middle convolution", 1)
    strided: str = word(STRIDE_WORDS, "which convolution has the stride", "3x3")
    form: str = word(FORM_WORDS, MIDDLE_FORM, "direct")

    def __post_init__(self) -> None:
        _require_bottleneck(self)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        middle = max(1, round(self.channels / self.ratio))
        first, second = (self.stride, 1) if self.strided == "1x1" else (1, self.stride)
        body = Sequence((
            conv_bn_act("reduce", conventions, middle, 1, first, norm="bare"),
            norm_act(conventions, self.activation),
            conv_in_form(self.form, "middle", conventions, middle, middle, self.kernel, second, self.groups,
                         norm="bare"),
            norm_act(conventions, self.activation),
            conv_bn_act("expand", conventions, self.channels, norm="bare"),
        ))
        return _preactivated(body, channels, self.channels, self.stride, self.activation, conventions)


def _require_bottleneck(block: BottleneckResidual | PreactivatedBottleneck) -> None:
    require_kernel(block.kernel)
    require_channels(block.channels)
    require_stride(block.stride)
    require(block.ratio > 0, f"`ratio` must be positive, but got r{block.ratio:g}")
    require(block.groups >= 1, f"`groups` must be at least 1, but got g{block.groups}")


def _residual(body: Layer, channels: int, filters: int, stride: int, activation: str, conventions: Input) -> Layer:
    keeps = stride == 1 and channels == filters
    shortcut = IDENTITY if keeps else conv_bn_act("shortcut", conventions, filters, stride=stride)
    return Sequence((Branches(Add(), (body, shortcut)), Activation(activation)))


def _preactivated(body: Layer, channels: int, filters: int, stride: int, activation: str, conventions: Input) -> Layer:
    before = norm_act(conventions, activation)
    if stride == 1 and channels == filters:
        return Branches(Add(), (Sequence((before, body)), IDENTITY))
    shortcut = Sequence((Convolution(filters, stride=stride),), "shortcut")
    return Sequence((before, Branches(Add(), (body, shortcut))))


BLOCKS: dict[str, type[Block]] = {
    "basic": BasicResidual,
    "bottleneck": BottleneckResidual,
    "basic2": PreactivatedBasic,
    "bottleneck2": PreactivatedBottleneck,
}
