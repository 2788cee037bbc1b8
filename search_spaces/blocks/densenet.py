"""The dense block of DenseNet with its transition."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    FORM_WORDS,
    Block,
    Input,
    conv_bn_act,
    conv_in_form,
    norm_act,
    require_count,
    require_kernel,
    require_stride,
)
from search_spaces.errors import require
from search_spaces.layers import IDENTITY, Branches, Concatenate, Layer, Pool, Sequence
from search_spaces.notation import number, word


@dataclass(frozen=True)
class DenseBlock:
    """Layers each of which reads the channels of all before it, and an optional transition to fewer channels.

    A layer is batch norm, activation and a 1x1 convolution to `bottleneck * growth` channels, then batch norm,
    activation and a 3x3 convolution to `growth` channels, which join the ones it has read. The transition is batch
    norm, activation, a 1x1 convolution to `channels` channels and, with stride 2, an average pool of 2x2.

    Source: Huang et al. 2017, figures 1 and 2, section 3 (DenseNet-BC); separable convolutions as an option (`form`).
    """

    growth: int = number("g", "channels that each layer adds", scaled=True)
    count: int = number("n", "layers")
    activation: str = word(ACTIVATION_WORDS, "activation")
    channels: int = number("c", "channels out of the transition, 0 for no transition", 0, scaled=True)
    stride: int = number("s", "stride of the transition's pool", 1)
    kernel: int = number("k", "height and width of the kernels", 3)
    bottleneck: int = number("b", "channels out of the 1x1 convolutions per `growth`, 0 for none of them", 4)
    ceil: bool = word({"floor": False, "ceil": True}, "whether the transition's pool keeps a last odd pixel", False)
    form: str = word(FORM_WORDS, "each 3x3 as one, as a stack of 3x3, or depthwise and pointwise", "direct")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_stride(self.stride)
        require(self.growth >= 1, f"`growth` must be at least 1, but got g{self.growth}")
        require_count(self.count)
        require(self.stride == 2 or not self.ceil, "a dense block without a stride has no pool that "
                "could keep a pixel (`ceil`)")
        require(self.channels > 0 or self.stride == 1, "a dense block without a transition (c0) has no stride, but got "
                f"s{self.stride}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        dense = (self._layer(channels + index * self.growth, index, conventions) for index in range(self.count))
        transition = Sequence((
            norm_act(conventions, self.activation),
            conv_bn_act("", conventions, self.channels, norm="bare"),
            *((Pool("average", 2, 2, "valid", self.ceil),) if self.stride == 2 else ()),
        ), "transition")
        return Sequence((*dense, *((transition,) if self.channels else ())))

    def _layer(self, channels: int, index: int, conventions: Input) -> Layer:
        read = channels
        reduce: tuple[Layer, ...] = ()
        if self.bottleneck:
            read = self.bottleneck * self.growth
            reduce = (conv_bn_act("", conventions, read, norm="bare"), norm_act(conventions, self.activation))
        new = Sequence((
            norm_act(conventions, self.activation),
            *reduce,
            conv_in_form(self.form, "", conventions, read, self.growth, self.kernel, norm="bare"),
        ))
        return Branches(Concatenate(), (IDENTITY, new), f"layer{index + 1}")


BLOCKS: dict[str, type[Block]] = {"dense": DenseBlock}
