"""The units of ShuffleNet v1 and v2."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    Block,
    Input,
    conv_bn_act,
    require_channels,
    require_kernel,
    require_stride,
)
from search_spaces.errors import require
from search_spaces.layers import (
    IDENTITY,
    Activation,
    Add,
    Branches,
    Concatenate,
    Layer,
    Pool,
    Sequence,
    Shuffle,
    Slice,
)
from search_spaces.notation import number, word


@dataclass(frozen=True)
class ShuffleUnit1:
    """Grouped 1x1 convolution, channel shuffle, depthwise convolution, grouped 1x1 convolution, and a skip.

    With stride 2 an average pool takes the skip's place, and its channels join the others instead of being added.
    A unit of stride 1 that changes the channels joins its input in the same way.

    Source: Zhang et al. 2018 (ShuffleNet), figure 2b and 2c, table 1; `plainfirst` is the exception for stage 2
    in section 3.2.
    """

    channels: int = number("c", "channels out", scaled=True)
    groups: int = number("g", "groups of the 1x1 convolutions and of the shuffle")
    stride: int = number("s", "stride of the depthwise convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the depthwise kernel", 3)
    ratio: float = number("r", "channels out per channel in the middle", 4.0)
    plain_first: bool = word({"groupedfirst": False, "plainfirst": True}, "whether the first 1x1 has no groups", False)
    count_padding: bool = word({"realpixels": False, "allpixels": True}, "whether the pool counts padded pixels", False)

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)
        require(self.groups >= 1, f"`groups` must be at least 1, but got g{self.groups}")
        require(self.ratio > 0, f"`ratio` must be positive, but got r{self.ratio:g}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        middle = max(1, round(self.channels / self.ratio))
        adds = self.stride == 1 and channels == self.channels
        require(adds or channels < self.channels, "a ShuffleNet unit that joins its input must leave more channels "
                f"than it reads, but got {channels} -> {self.channels}")
        first = 1 if self.plain_first else self.groups
        body = Sequence((
            conv_bn_act("reduce", conventions, middle, groups=first, activation=self.activation),
            Shuffle(self.groups),
            conv_bn_act("depthwise", conventions, middle, self.kernel, self.stride, middle),
            conv_bn_act("expand", conventions, self.channels - (0 if adds else channels), groups=self.groups),
        ))
        pool = Pool("average", 3, 2, conventions.padding, count_padding=self.count_padding)
        skip = pool if self.stride == 2 else IDENTITY
        return Sequence((Branches(Add() if adds else Concatenate(), (body, skip)), Activation(self.activation)))


@dataclass(frozen=True)
class ShuffleUnit2:
    """Half of the channels unchanged, half through 1x1, depthwise and 1x1 convolutions; joined and shuffled.

    Where the stride is 2 or the channels change, both halves are made of the whole input, the first by a depthwise
    and a 1x1 convolution.

    Source: Ma et al. 2018 (ShuffleNet V2), figure 3c and 3d.
    """

    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride of the depthwise convolutions")
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the depthwise kernels", 3)
    shortcut: str = word({"halfshortcut": "half", "fullshortcut": "input"},
                         "channels of a convolved shortcut: half of those out, or as many as in", "half")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)
        require(self.channels % 2 == 0, f"`channels` must be even in two halves, but got c{self.channels}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        half = self.channels // 2
        if self.stride == 1 and channels == self.channels:
            passed: Layer = Slice(0, half)
            body: Layer = Sequence((Slice(half, channels), self._body(half, conventions)))
        else:
            kept = half if self.shortcut == "half" else channels
            require(kept < self.channels, "a shortcut must leave channels to the other branch, but got "
                    f"{channels} -> {self.channels} channels")
            passed = Sequence((
                conv_bn_act("depthwise", conventions, channels, self.kernel, self.stride, channels),
                conv_bn_act("pointwise", conventions, kept, activation=self.activation),
            ), "shortcut")
            body = self._body(self.channels - kept, conventions)
        return Sequence((Branches(Concatenate(), (passed, body)), Shuffle(2)))

    def _body(self, channels: int, conventions: Input) -> Layer:
        half = self.channels // 2
        return Sequence((
            conv_bn_act("reduce", conventions, half, activation=self.activation),
            conv_bn_act("depthwise", conventions, half, self.kernel, self.stride, half),
            conv_bn_act("expand", conventions, channels, activation=self.activation),
        ))


BLOCKS: dict[str, type[Block]] = {"shuffle": ShuffleUnit1, "shuffle2": ShuffleUnit2}
