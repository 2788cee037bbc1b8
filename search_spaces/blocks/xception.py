"""The unit of Xception."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    Block,
    Input,
    conv_bn_act,
    conv_in_form,
    require_channels,
    require_count,
    require_kernel,
    require_stride,
)
from search_spaces.layers import IDENTITY, Activation, Add, Branches, Layer, Pool, Sequence
from search_spaces.notation import number, word


@dataclass(frozen=True)
class XceptionUnit:
    """Separable convolutions, each after an activation, a max pool if there is a stride, and a skip.

    The skip is a 1x1 convolution where shapes change. The channels change in the first separable convolution, or in
    the last (`growlast`), as at the end of the published network.

    Source: Chollet 2017, figure 5.
    """

    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the pool")
    activation: str = word(ACTIVATION_WORDS, "activation")
    count: int = number("n", "separable convolutions", 2)
    kernel: int = number("k", "height and width of the depthwise kernels", 3)
    starts: str = word({"active": "activation", "inactive": "convolution"}, "what the unit begins with", "activation")
    grows: str = word({"growfirst": "first", "growlast": "last"}, "which convolution changes the channels", "first")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)
        require_count(self.count)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        body: list[Layer] = []
        for index in range(self.count):
            reads = channels if index == 0 or self.grows == "last" else self.channels
            leaves = channels if self.grows == "last" and index < self.count - 1 else self.channels
            if index or self.starts == "activation":
                body.append(Activation(self.activation))
            body.append(conv_in_form("separable", f"separable{index + 1}", conventions, reads, leaves, self.kernel))
        if self.stride == 2:
            body.append(Pool("max", 3, 2, conventions.padding))
        keeps = self.stride == 1 and channels == self.channels
        skip = IDENTITY if keeps else conv_bn_act("shortcut", conventions, self.channels, stride=self.stride)
        return Branches(Add(), (Sequence(tuple(body)), skip))


BLOCKS: dict[str, type[Block]] = {"xception": XceptionUnit}
