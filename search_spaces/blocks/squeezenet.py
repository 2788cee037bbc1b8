"""The Fire module of SqueezeNet."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    FORM_WORDS,
    NORM_WORDS,
    Block,
    Input,
    conv_bn_act,
    conv_in_form,
    require_channels,
    require_kernel,
)
from search_spaces.errors import require
from search_spaces.layers import IDENTITY, Add, Branches, Concatenate, Layer, Sequence
from search_spaces.notation import number, word


@dataclass(frozen=True)
class Fire:
    """A 1x1 convolution squeezes, 1x1 and 3x3 convolutions side by side expand.

    Source: Iandola et al. 2016, figure 1 and table 1; bypasses: figure 2. The simple bypass adds the input where it
    has as many channels as the output, the complex one projects it by a 1x1 convolution where it has not.
    """

    squeeze: int = number("q", "channels of the squeezing convolution", scaled=True)
    channels: int = number("c", "channels out", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    share: float = number("p", "share of the channels out that the 3x3 convolutions make", 0.5)
    kernel: int = number("k", "height and width of the larger kernel", 3)
    bypass: str = word({"nobypass": "none", "bypass": "simple", "complexbypass": "complex"}, "the skip", "none")
    norm: str = word(NORM_WORDS, "batch norm, or a bias instead, or neither", "bias")
    form: str = word(FORM_WORDS, "the larger convolution as one, as a stack, or depthwise and pointwise", "direct")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require(self.squeeze >= 1, f"`squeeze` must be at least 1, but got q{self.squeeze}")
        require(0 < round(self.channels * self.share) < self.channels,
                f"both expanding convolutions must have channels, but got c{self.channels} and p{self.share:g}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        large = round(self.channels * self.share)
        fire = Sequence((
            conv_bn_act("squeeze", conventions, self.squeeze, activation=self.activation, norm=self.norm),
            Branches(Concatenate(), (
                conv_bn_act("expand1", conventions, self.channels - large, activation=self.activation, norm=self.norm),
                conv_in_form(self.form, "expand3", conventions, self.squeeze, large, self.kernel,
                             activation=self.activation, norm=self.norm),
            )),
        ))
        if channels == self.channels and self.bypass != "none":
            return Branches(Add(), (fire, IDENTITY))
        if self.bypass == "complex":
            return Branches(Add(), (fire, conv_bn_act("bypass", conventions, self.channels, norm=self.norm)))
        return fire


BLOCKS: dict[str, type[Block]] = {"fire": Fire}
