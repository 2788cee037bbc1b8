"""The blocks of MobileNet v1, v2 and v3, and of EfficientNet."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    Block,
    Input,
    conv_bn_act,
    require_channels,
    require_kernel,
    require_stride,
    round_channels,
)
from search_spaces.layers import (
    GATES,
    IDENTITY,
    Activation,
    Add,
    Branches,
    Convolution,
    GlobalPool,
    Layer,
    Multiply,
    Sequence,
    require,
)
from search_spaces.notation import number, word


@dataclass(frozen=True)
class DepthwiseSeparable:
    """Depthwise then pointwise convolution, each with batch norm and activation.

    Source: MobileNets (Howard et al. 2017), figure 3.
    """

    kernel: int = number("k", "height and width of the depthwise kernel")
    channels: int = number("c", "channels out")
    stride: int = number("s", "stride of the depthwise convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return Sequence((
            conv_bn_act("depthwise", conventions, channels, self.kernel, self.stride, channels, self.activation),
            conv_bn_act("pointwise", conventions, self.channels, activation=self.activation),
        ))


@dataclass(frozen=True)
class InvertedBottleneck:
    """Expand, depthwise convolution, optional squeeze-and-excitation, linear projection, skip where shapes agree.

    With `se0_relu6` it is MobileNetV2's inverted residual (Sandler et al. 2018, table 1), with squeeze-and-excitation
    and a choice of activation MobileNetV3's bneck (Howard et al. 2019, figure 4) and EfficientNet's MBConv (Tan and
    Le 2019, section 4). MobileNetV3 takes the squeeze width from the expanded channels (`seexp`) and gates by hard
    sigmoid, EfficientNet from the block's input (`sein`) and by sigmoid. An expansion of 1 has no expanding
    convolution.
    """

    kernel: int = number("k", "height and width of the depthwise kernel")
    expansion: float = number("e", "expanded channels per channel in")
    channels: int = number("c", "channels out")
    stride: int = number("s", "stride of the depthwise convolution")
    se_ratio: float = number("se", "squeeze width as a share of `se_base`, 0 for no squeeze-and-excitation")
    activation: str = word(ACTIVATION_WORDS, "activation")
    se_base: str = word({"seexp": "expanded", "sein": "input"}, "what `se_ratio` is a share of", "expanded")
    se_gate: str = word({gate: gate for gate in GATES}, "the gate of squeeze-and-excitation", "hsigmoid")
    se_activation: str = word({f"se{name}": name for name in ACTIVATION_WORDS}, "activation after the squeeze", "relu")
    se_divisor: int = number("sediv", "the squeeze width is rounded to a multiple of it", 8)

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)
        require(self.expansion >= 1, f"`expansion` must be at least 1, but got expansion={self.expansion:g}")
        require(0 <= self.se_ratio <= 1, f"`se_ratio` must lie between 0 and 1, but got se_ratio={self.se_ratio:g}")
        require(self.se_ratio > 0 or (self.se_base, self.se_gate, self.se_activation, self.se_divisor)
                == ("expanded", "hsigmoid", "relu", 8), "options of squeeze-and-excitation need a ratio above 0")
        require(self.se_divisor >= 1, f"`se_divisor` must be at least 1, but got sediv{self.se_divisor}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        expanded = round(channels * self.expansion)
        expand = (conv_bn_act("expand", conventions, expanded, activation=self.activation),)
        body = Sequence((
            *(expand if expanded != channels else ()),
            conv_bn_act("depthwise", conventions, expanded, self.kernel, self.stride, expanded, self.activation),
            *(self._squeeze_excite(channels, expanded) if self.se_ratio else ()),
            conv_bn_act("project", conventions, self.channels),
        ))
        keeps_size = self.stride == 1 and (self.kernel == 1 or conventions.padding != "valid")
        skips = keeps_size and channels == self.channels
        return Branches(Add(), (IDENTITY, body)) if skips else body

    def _squeeze_excite(self, channels: int, expanded: int) -> tuple[Layer, ...]:
        """Returns the gating of Squeeze-and-Excitation networks (Hu et al. 2018, figure 2) as 1x1 convolutions."""
        base = expanded if self.se_base == "expanded" else channels
        squeezed = round_channels(base * self.se_ratio, self.se_divisor)
        gate = Sequence((
            GlobalPool(),
            Sequence((Convolution(squeezed, bias=True), Activation(self.se_activation)), "squeeze"),
            Sequence((Convolution(expanded, bias=True), Activation(self.se_gate)), "excite"),
        ))
        return (Branches(Multiply(), (IDENTITY, gate), "squeeze_excite"),)


BLOCKS: dict[str, type[Block]] = {"sep": DepthwiseSeparable, "mb": InvertedBottleneck}
