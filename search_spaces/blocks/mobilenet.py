"""The blocks of MobileNet v1, v2 and v3, and of EfficientNet."""

import math
from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    FORM_WORDS,
    Block,
    Input,
    conv_bn_act,
    conv_in_form,
    keeps_size,
    pointwise,
    rank_option,
    require_channels,
    require_kernel,
    require_rank,
    require_stride,
    round_channels,
)
from search_spaces.errors import require
from search_spaces.layers import (
    GATES,
    IDENTITY,
    Activation,
    Add,
    Branches,
    Concatenate,
    Convolution,
    GlobalPool,
    Layer,
    Multiply,
    Sequence,
    Slice,
)
from search_spaces.notation import number, word

SE_BASE_WORDS = {"seexp": "expanded", "sein": "input"}
SE_GATE_WORDS = {gate: gate for gate in GATES}
SE_ACTIVATION_WORDS = {f"se{name}": name for name in ACTIVATION_WORDS}


@dataclass(frozen=True)
class DepthwiseSeparable:
    """Depthwise then pointwise convolution, each with batch norm and activation.

    Source: MobileNets (Howard et al. 2017), figure 3; some published weights have no batch norm between the two.
    """

    kernel: int = number("k", "height and width of the depthwise kernel")
    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the depthwise convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    depthwise_norm: str = word({"dwbn": "bn", "dwbias": "bias", "dwbare": "bare"},
                               "batch norm after the depthwise convolution, or a bias instead, or neither", "bn")
    rank: float = rank_option()

    def __post_init__(self) -> None:
        require_rank(self.rank)
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return Sequence((
            conv_bn_act("depthwise", conventions, channels, self.kernel, self.stride, channels, self.activation,
                        self.depthwise_norm),
            pointwise("pointwise", conventions, channels, self.channels, self.rank, self.activation),
        ))


@dataclass(frozen=True)
class InvertedBottleneck:
    """Expand, depthwise convolution, optional squeeze-and-excitation, linear projection, skip where shapes agree.

    With `se0_relu6` it is MobileNetV2's inverted residual (Sandler et al. 2018, table 1), with squeeze-and-excitation
    and a choice of activation MobileNetV3's bneck (Howard et al. 2019, figure 4) and EfficientNet's MBConv (Tan and
    Le 2019, section 4). MobileNetV3 takes the squeeze width from the expanded channels (`seexp`) and gates by hard
    sigmoid, EfficientNet from the block's input (`sein`) and by sigmoid. An expansion of 1 has no expanding
    convolution, unless `expandalways` says so.
    """

    kernel: int = number("k", "height and width of the depthwise kernel")
    expansion: float = number("e", "expanded channels per channel in")
    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the depthwise convolution")
    se_ratio: float = number("se", "squeeze width as a share of `se_base`, 0 for no squeeze-and-excitation")
    activation: str = word(ACTIVATION_WORDS, "activation")
    se_base: str = word(SE_BASE_WORDS, "what `se_ratio` is a share of", "expanded")
    se_gate: str = word(SE_GATE_WORDS, "the gate of squeeze-and-excitation", "hsigmoid")
    se_activation: str = word(SE_ACTIVATION_WORDS, "activation after the squeeze", "relu")
    se_divisor: int = number("sediv", "the squeeze width is rounded to a multiple of it", 8)
    skip: bool = word({"skip": True, "noskip": False}, "whether there is a skip where shapes agree", True)
    expand_always: bool = word({"expandmore": False, "expandalways": True}, "whether an expansion of 1 convolves",
                               False)
    rank: float = rank_option()

    def __post_init__(self) -> None:
        require_rank(self.rank)
        _require_inverted(self)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        expanded = round(channels * self.expansion)
        expand = (pointwise("expand", conventions, channels, expanded, self.rank, self.activation),)
        body = Sequence((
            *(expand if expanded != channels or self.expand_always else ()),
            conv_bn_act("depthwise", conventions, expanded, self.kernel, self.stride, expanded, self.activation),
            *_squeeze_excite(self, channels, expanded),
            pointwise("project", conventions, expanded, self.channels, self.rank),
        ))
        skips = self.skip and keeps_size(self.kernel, self.stride, conventions) and channels == self.channels
        return Branches(Add(), (IDENTITY, body)) if skips else body


@dataclass(frozen=True)
class FusedBottleneck:
    """An inverted bottleneck whose expansion and depthwise convolution are one plain convolution.

    An expansion of 1 leaves that convolution alone, with the activation and without a projection.

    Source: Gupta and Akin 2020 (EfficientNet-EdgeTPU), figure 2; Tan and Le 2021 (EfficientNetV2), figure 2.
    `expandout` takes the expansion from the channels out, `projectalways` projects at an expansion of 1 too: both as
    in the first EfficientNet-EdgeTPU stage.
    """

    kernel: int = number("k", "height and width of the expanding kernel")
    expansion: float = number("e", "expanded channels per channel in")
    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the expanding convolution")
    se_ratio: float = number("se", "squeeze width as a share of `se_base`, 0 for no squeeze-and-excitation")
    activation: str = word(ACTIVATION_WORDS, "activation")
    se_base: str = word(SE_BASE_WORDS, "what `se_ratio` is a share of", "expanded")
    se_gate: str = word(SE_GATE_WORDS, "the gate of squeeze-and-excitation", "hsigmoid")
    se_activation: str = word(SE_ACTIVATION_WORDS, "activation after the squeeze", "relu")
    se_divisor: int = number("sediv", "the squeeze width is rounded to a multiple of it", 8)
    skip: bool = word({"skip": True, "noskip": False}, "whether there is a skip where shapes agree", True)
    base: str = word({"expandin": "input", "expandout": "output"}, "the channels that are expanded", "input")
    project_always: bool = word({"projectalways": True, "projectmore": False},
                                "whether there is a projection after an expansion of 1", False)
    form: str = word(FORM_WORDS, "the expanding convolution as one, as a stack of 3x3, or separable", "direct")

    def __post_init__(self) -> None:
        _require_inverted(self)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        expanded = round((channels if self.base == "input" else self.channels) * self.expansion)
        projects = self.project_always or expanded != channels
        body = Sequence((
            conv_in_form(self.form, "expand", conventions, channels, expanded if projects else self.channels,
                         self.kernel, self.stride, activation=self.activation),
            *_squeeze_excite(self, channels, expanded if projects else self.channels),
            *((conv_bn_act("project", conventions, self.channels),) if projects else ()),
        ))
        skips = self.skip and keeps_size(self.kernel, self.stride, conventions) and channels == self.channels
        return Branches(Add(), (IDENTITY, body)) if skips else body


def _squeeze_excite(block: InvertedBottleneck | FusedBottleneck, channels: int, expanded: int) -> tuple[Layer, ...]:
    """Returns the gating of Squeeze-and-Excitation networks (Hu et al. 2018, figure 2) as 1x1 convolutions."""
    if not block.se_ratio:
        return ()
    base = expanded if block.se_base == "expanded" else channels
    squeezed = round_channels(base * block.se_ratio, block.se_divisor)
    gate = Sequence((
        GlobalPool(),
        Sequence((Convolution(squeezed, bias=True), Activation(block.se_activation)), "squeeze"),
        Sequence((Convolution(expanded, bias=True), Activation(block.se_gate)), "excite"),
    ))
    return (Branches(Multiply(), (IDENTITY, gate), "squeeze_excite"),)


def _require_inverted(block: InvertedBottleneck | FusedBottleneck) -> None:
    require_kernel(block.kernel)
    require_channels(block.channels)
    require_stride(block.stride)
    require(block.expansion >= 1, f"`expansion` must be at least 1, but got expansion={block.expansion:g}")
    require(0 <= block.se_ratio <= 1, f"`se_ratio` must lie between 0 and 1, but got se_ratio={block.se_ratio:g}")
    require(block.se_ratio > 0 or (block.se_base, block.se_gate, block.se_activation, block.se_divisor)
            == ("expanded", "hsigmoid", "relu", 8), "options of squeeze-and-excitation need a ratio above 0")
    require(block.se_divisor >= 1, f"`se_divisor` must be at least 1, but got sediv{block.se_divisor}")


@dataclass(frozen=True)
class SandGlass:
    """Depthwise, reducing 1x1, expanding 1x1 and depthwise convolution, with a skip between the wide ends.

    Activations follow the first depthwise and the expanding convolution only. The skip, where shapes agree, adds the
    first `identity` of the channels. Where the channels change, the published network leaves out the first depthwise
    convolution, and the last too if it has no stride; `bothdw` keeps both. The narrow part has
    `channels in / reduction` channels, but at least a sixth of those out, rounded to a multiple of 16.

    Source: Zhou et al. 2020 (MobileNeXt), figure 3b and 4, table 2; identity tensor multiplier: section 3.3.
    """

    kernel: int = number("k", "height and width of the depthwise kernels")
    reduction: float = number("r", "channels in per channel of the narrow part")
    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the last depthwise convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    identity: float = number("id", "share of the channels that the skip adds", 1.0)
    ends: str = word({"bothdw": "both", "neededdw": "needed"},
                     "the depthwise convolutions where channels change: both, or as the stride needs", "needed")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)
        require(self.reduction >= 1, f"`reduction` must be at least 1, but got r{self.reduction:g}")
        require(0 < self.identity <= 1, f"`identity` must be above 0 and at most 1, but got id{self.identity:g}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        narrow = max(1, int(channels / self.reduction))
        if narrow < self.channels / 6:
            narrow = round_channels(math.ceil(self.channels / 6), 16)
        whole = channels == self.channels or self.ends == "both"
        first = conv_bn_act("first", conventions, channels, self.kernel, 1, channels, self.activation)
        last = conv_bn_act("last", conventions, self.channels, self.kernel, self.stride, self.channels)
        body = Sequence((
            *((first,) if whole else ()),
            conv_bn_act("reduce", conventions, narrow),
            conv_bn_act("expand", conventions, self.channels, activation=self.activation),
            *((last,) if whole or self.stride == 2 else ()),
        ))
        if channels != self.channels or not keeps_size(self.kernel, self.stride, conventions):
            return body
        added = max(1, round(channels * self.identity))
        if added == channels:
            return Branches(Add(), (IDENTITY, body))
        return _added_slice(body, channels, added)


def _added_slice(body: Layer, channels: int, added: int) -> Layer:
    """Returns `body` with the first `added` channels of its input added to its own."""
    total = Branches(Add(), (Slice(0, added), Slice(added, 2 * added)))
    return Sequence((
        Branches(Concatenate(), (Slice(0, added), body)),
        Branches(Concatenate(), (total, Slice(2 * added, added + channels))),
    ))


BLOCKS: dict[str, type[Block]] = {
    "sep": DepthwiseSeparable,
    "mb": InvertedBottleneck,
    "fused": FusedBottleneck,
    "sand": SandGlass,
}
