"""The parts that frame every network: the plain convolution and the classifier head."""

from dataclasses import dataclass
from typing import ClassVar

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    Block,
    Input,
    conv_bn_act,
    require_channels,
    require_kernel,
    require_stride,
)
from search_spaces.layers import Activation, Dense, GlobalPool, Layer, Sequence, require
from search_spaces.notation import number, word


@dataclass(frozen=True)
class PlainConvolution:
    """Convolution, batch norm, activation: the stem of the mobile networks."""

    kernel: int = number("k", "height and width of the kernel")
    channels: int = number("c", "channels out")
    stride: int = number("s", "stride")
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return conv_bn_act("", conventions, self.channels, self.kernel, self.stride, activation=self.activation)


@dataclass(frozen=True)
class Head:
    """1x1 convolution, global average pool, dense classifier.

    With `hidden`, a dense layer and an activation come before the classifier, as in MobileNetV3 (Howard et al. 2019,
    section 5.1). The width multiplier leaves its channels alone, as multipliers under one do in MobileNetV2 (Sandler
    et al. 2018, section 6.1).
    """

    width_scaled: ClassVar[bool] = False
    channels: int = number("c", "channels of the 1x1 convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    classes: int = number("n", "classes")
    hidden: int = number("d", "features of a dense layer before the classifier, 0 for none", 0)

    def __post_init__(self) -> None:
        require_channels(self.channels)
        require(self.classes >= 2, f"`classes` must be at least 2, but got n{self.classes}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        hidden = (Sequence((Dense(self.hidden), Activation(self.activation)), "hidden"),) if self.hidden else ()
        return Sequence((
            conv_bn_act("last", conventions, self.channels, activation=self.activation),
            GlobalPool(),
            *hidden,
            Sequence((Dense(self.classes),), "classifier"),
        ))


BLOCKS: dict[str, type[Block]] = {"conv": PlainConvolution, "head": Head}
