"""The plain convolution, and the parts that frame networks: pools, norms, heads."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    FORM_WORDS,
    MOST_KERNEL,
    NORM_WORDS,
    OWN_PADDING_WORDS,
    Block,
    Input,
    conv_in_form,
    low_rank,
    norm_act,
    pointwise,
    rank_option,
    require_channels,
    require_kernel,
    require_rank,
    require_stride,
)
from search_spaces.errors import require
from search_spaces.layers import POOLS, Activation, Convolution, Dense, GlobalPool, Layer, Pool, Sequence
from search_spaces.notation import number, word


@dataclass(frozen=True)
class PlainConvolution:
    """Convolution, batch norm, activation; in one piece, as a stack of 3x3, or depthwise separable.

    Source: the stem of the mobile networks; the forms are those of Szegedy et al. 2016, section 3.1, and of
    Howard et al. 2017, section 3.1.
    """

    kernel: int = number("k", "height and width of the kernel")
    channels: int = number("c", "channels out", scaled=True)
    stride: int = number("s", "stride")
    activation: str = word({**ACTIVATION_WORDS, "linear": ""}, "activation")
    groups: int = number("g", "groups of channels that do not see each other", 1)
    norm: str = word(NORM_WORDS, "batch norm, or a bias instead, or neither", "bn")
    form: str = word(FORM_WORDS, "one convolution, a stack of 3x3, or depthwise and pointwise", "direct")
    padding: str = word(OWN_PADDING_WORDS, "how it pads where not as the network does", "")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        require_channels(self.channels)
        require_stride(self.stride)
        require(self.groups >= 1, f"`groups` must be at least 1, but got g{self.groups}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return conv_in_form(self.form, "", conventions, channels, self.channels, self.kernel, self.stride, self.groups,
                            self.activation, self.norm, self.padding)


@dataclass(frozen=True)
class Pooling:
    """Largest or average value of a window."""

    function: str = word({name: name for name in POOLS}, "what is taken of a window")
    kernel: int = number("k", "height and width of the window")
    stride: int = number("s", "stride")
    ceil: bool = word({"floor": False, "ceil": True}, "whether a last window may hang over the edge", False)
    count_padding: bool = word({"realpixels": False, "allpixels": True}, "whether averages count padded pixels", False)
    padding: str = word(OWN_PADDING_WORDS, "how it pads where not as the network does", "")

    def __post_init__(self) -> None:
        require(1 <= self.kernel <= MOST_KERNEL,
                f"`kernel` must lie between 1 and {MOST_KERNEL}, but got k{self.kernel}")
        require(self.stride >= 1, f"`stride` must be at least 1, but got s{self.stride}")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return Pool(self.function, self.kernel, self.stride, self.padding or conventions.padding, self.ceil,
                    self.count_padding)


@dataclass(frozen=True)
class GlobalPooling:
    """Average of every channel (Lin et al. 2014, section 3.2)."""

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return GlobalPool()


@dataclass(frozen=True)
class Normalisation:
    """Batch norm and activation, which end the networks of pre-activated blocks (He et al. 2016b, figure 1)."""

    activation: str = word(ACTIVATION_WORDS, "activation")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return norm_act(conventions, self.activation)


@dataclass(frozen=True)
class Head:
    """1x1 convolution, global average pool, dense classifier.

    With `hidden`, a dense layer and an activation come before the classifier, as in MobileNetV3 (Howard et al. 2019,
    section 5.1). The width multiplier leaves its channels alone, as multipliers under one do in MobileNetV2 (Sandler
    et al. 2018, section 6.1).
    """

    channels: int = number("c", "channels of the 1x1 convolution")
    activation: str = word(ACTIVATION_WORDS, "activation")
    classes: int = number("n", "classes")
    hidden: int = number("d", "features of a dense layer before the classifier, 0 for none", 0)
    hidden_bias: bool = word({"hiddenbias": True, "hiddennobias": False}, "whether that layer has a bias", True)
    bias: bool = word({"bias": True, "nobias": False}, "whether the classifier has a bias", True)
    rank: float = rank_option()

    def __post_init__(self) -> None:
        require_rank(self.rank)
        require_channels(self.channels)
        require(self.hidden > 0 or self.hidden_bias, "a head without a hidden layer (d0) has no bias of it to "
                "leave out")
        _require_classes(self.classes)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        hidden = low_rank(Dense(self.hidden, self.hidden_bias), self.channels, self.rank)
        classifier = low_rank(Dense(self.classes, self.bias), self.hidden or self.channels, self.rank)
        return Sequence((
            pointwise("last", conventions, channels, self.channels, self.rank, self.activation),
            GlobalPool(),
            *((Sequence((*hidden, Activation(self.activation)), "hidden"),) if self.hidden else ()),
            Sequence(classifier, "classifier"),
        ))


@dataclass(frozen=True)
class Classifier:
    """Global average pool and dense classifier (Lin et al. 2014, section 3.2)."""

    classes: int = number("n", "classes")
    bias: bool = word({"bias": True, "nobias": False}, "whether the classifier has a bias", True)
    rank: float = rank_option()

    def __post_init__(self) -> None:
        require_rank(self.rank)
        _require_classes(self.classes)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return Sequence((GlobalPool(), *low_rank(Dense(self.classes, self.bias), channels, self.rank)))


@dataclass(frozen=True)
class ConvolutionalClassifier:
    """1x1 convolution to the classes, activation, global average pool: SqueezeNet's (Iandola et al. 2016, table 1)."""

    classes: int = number("n", "classes")
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        _require_classes(self.classes)

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        return Sequence((Convolution(self.classes, bias=True), Activation(self.activation), GlobalPool()))


def _require_classes(classes: int) -> None:
    require(classes >= 2, f"`classes` must be at least 2, but got n{classes}")


BLOCKS: dict[str, type[Block]] = {
    "conv": PlainConvolution,
    "pool": Pooling,
    "gap": GlobalPooling,
    "norm": Normalisation,
    "head": Head,
    "fc": Classifier,
    "convfc": ConvolutionalClassifier,
}
