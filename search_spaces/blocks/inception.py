"""The blocks of Inception v1, v3 and v4: branches of convolutions side by side, whose channels are joined."""

from dataclasses import dataclass

from search_spaces.blocks.conventions import (
    ACTIVATION_WORDS,
    FORM_WORDS,
    NORM_WORDS,
    Block,
    Input,
    conv_bn_act,
    conv_in_form,
    require_kernel,
)
from search_spaces.errors import require
from search_spaces.layers import Branches, Concatenate, Layer, Pool, Sequence
from search_spaces.notation import number, word

COUNT_WORDS = {"realpixels": False, "allpixels": True}
COUNT = "whether the average pool counts padded pixels"
FORM = "each wide convolution as one, as a stack of 3x3, or depthwise and pointwise"


@dataclass(frozen=True)
class Inception:
    """1x1, 3x3 and 5x5 convolutions and a max pool side by side, the naive form or reduced by 1x1 convolutions.

    A reduction of 0 leaves the 1x1 convolution out; all of them 0 is the naive form.

    Source: Szegedy et al. 2015 (Going Deeper with Convolutions), figure 2a and 2b, table 1. Some published weights
    have 3x3 kernels in the 5x5 branch (`k3`).
    """

    one: int = number("o", "channels of the 1x1 branch", scaled=True)
    three: int = number("t", "channels of the 3x3 branch", scaled=True)
    five: int = number("f", "channels of the 5x5 branch", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    three_reduce: int = number("tr", "channels of the 1x1 before the 3x3, 0 for none", 0, scaled=True)
    five_reduce: int = number("fr", "channels of the 1x1 before the 5x5, 0 for none", 0, scaled=True)
    pool: int = number("p", "channels of the 1x1 after the pool, 0 for none", 0, scaled=True)
    kernel: int = number("k", "height and width of the kernel in the 5x5 branch", 5)
    norm: str = word(NORM_WORDS, "batch norm, or a bias instead, or neither", "bn")
    form: str = word(FORM_WORDS, FORM, "direct")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        _require_branches(self, "one", "three", "five")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        def one(name: str, filters: int) -> tuple[Layer, ...]:
            reduce = conv_bn_act(name, conventions, filters, activation=self.activation, norm=self.norm)
            return (reduce,) if filters else ()

        def wide(name: str, reads: int, filters: int, kernel: int) -> Layer:
            return conv_in_form(self.form, name, conventions, reads or channels, filters, kernel,
                                activation=self.activation, norm=self.norm)

        return Branches(Concatenate(), (
            Sequence(one("one", self.one)),
            Sequence((*one("three_reduce", self.three_reduce), wide("three", self.three_reduce, self.three, 3))),
            Sequence((*one("five_reduce", self.five_reduce), wide("five", self.five_reduce, self.five, self.kernel))),
            Sequence((Pool("max", 3, 1, conventions.padding), *one("pool_project", self.pool))),
        ))


@dataclass(frozen=True)
class InceptionA:
    """1x1, reduced 5x5, reduced double 3x3 and average-pool branches: for the largest of the three sizes.

    Source: Szegedy et al. 2016 (Rethinking the Inception Architecture), figure 5, with 5x5 in one branch as in the
    published v3; with `k3` Inception-v4's A (Szegedy et al. 2017, figure 4).
    """

    one: int = number("o", "channels of the 1x1 branch", scaled=True)
    five: int = number("f", "channels of the 5x5 branch", scaled=True)
    double: int = number("d", "channels of the double 3x3 branch", scaled=True)
    pool: int = number("p", "channels of the 1x1 after the pool", scaled=True)
    five_reduce: int = number("fr", "channels of the 1x1 before the 5x5", scaled=True)
    double_reduce: int = number("dr", "channels of the 1x1 before the double 3x3", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "height and width of the kernel in the 5x5 branch", 5)
    count_padding: bool = word(COUNT_WORDS, COUNT, False)
    form: str = word(FORM_WORDS, FORM, "direct")

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        _require_branches(self, "one", "five", "double", "pool", "five_reduce", "double_reduce")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        def wide(name: str, reads: int, filters: int, kernel: int) -> Layer:
            return conv_in_form(self.form, name, conventions, reads, filters, kernel, activation=self.activation)

        conv = _Convolutions(conventions, self.activation)
        return Branches(Concatenate(), (
            conv("one", self.one),
            Sequence((conv("five_reduce", self.five_reduce), wide("five", self.five_reduce, self.five, self.kernel))),
            Sequence((
                conv("double_reduce", self.double_reduce),
                wide("double_first", self.double_reduce, self.double, 3),
                wide("double_second", self.double, self.double, 3),
            )),
            Sequence((Pool("average", 3, 1, conventions.padding, count_padding=self.count_padding),
                      conv("pool_project", self.pool))),
        ))


@dataclass(frozen=True)
class InceptionB:
    """1x1, factorised 7x7, twice factorised 7x7 and average-pool branches: for the middle size.

    A factorised n x n is a 1xn and an nx1 convolution. Source: Szegedy et al. 2016, figure 6; Inception-v4's B
    (Szegedy et al. 2017, figure 5) has more channels half way.
    """

    one: int = number("o", "channels of the 1x1 branch", scaled=True)
    reduce: int = number("r", "channels of the 1x1 before the factorised convolutions", scaled=True)
    middle: int = number("m", "channels half way through the factorised branches", scaled=True)
    channels: int = number("c", "channels of each factorised branch", scaled=True)
    pool: int = number("p", "channels of the 1x1 after the pool", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    kernel: int = number("k", "length of the factorised kernels", 7)
    count_padding: bool = word(COUNT_WORDS, COUNT, False)

    def __post_init__(self) -> None:
        require_kernel(self.kernel)
        _require_branches(self, "one", "reduce", "middle", "channels", "pool")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        conv = _Convolutions(conventions, self.activation)
        row, column = (1, self.kernel), (self.kernel, 1)
        return Branches(Concatenate(), (
            conv("one", self.one),
            Sequence((conv("single_reduce", self.reduce), conv("single_row", self.middle, row),
                      conv("single_column", self.channels, column))),
            Sequence((conv("double_reduce", self.reduce), conv("double_column1", self.reduce, column),
                      conv("double_row1", self.middle, row), conv("double_column2", self.middle, column),
                      conv("double_row2", self.channels, row))),
            Sequence((Pool("average", 3, 1, conventions.padding, count_padding=self.count_padding),
                      conv("pool_project", self.pool))),
        ))


@dataclass(frozen=True)
class InceptionC:
    """1x1, split 3x3, deeper split 3x3 and average-pool branches: for the smallest size.

    A split 3x3 is a 1x3 and a 3x1 convolution side by side. What comes before the deeper split is a 3x3 (v3) or, with
    `middle`, a 3x1 and a 1x3 (v4). Source: Szegedy et al. 2016, figure 7; Szegedy et al. 2017, figure 6.
    """

    one: int = number("o", "channels of the 1x1 branch", scaled=True)
    split: int = number("c", "channels of each half of a split", scaled=True)
    reduce: int = number("r", "channels of the 1x1 before the split", scaled=True)
    deep_reduce: int = number("dr", "channels of the 1x1 in the deeper branch", scaled=True)
    deep: int = number("d", "channels before the deeper split", scaled=True)
    pool: int = number("p", "channels of the 1x1 after the pool", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    middle: int = number("m", "channels between 3x1 and 1x3 before the deeper split, 0 for a 3x3", 0, scaled=True)
    count_padding: bool = word(COUNT_WORDS, COUNT, False)

    def __post_init__(self) -> None:
        _require_branches(self, "one", "split", "reduce", "deep_reduce", "deep", "pool")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        conv = _Convolutions(conventions, self.activation)
        row, column = (1, 3), (3, 1)
        deeper = ((conv("deep_column", self.middle, column), conv("deep_row", self.deep, row)) if self.middle
                  else (conv("deep", self.deep, (3, 3)),))
        return Branches(Concatenate(), (
            conv("one", self.one),
            Sequence((conv("reduce", self.reduce),
                      Branches(Concatenate(), (conv("row", self.split, row), conv("column", self.split, column))))),
            Sequence((conv("deep_reduce", self.deep_reduce), *deeper,
                      Branches(Concatenate(), (conv("deep_split_row", self.split, row),
                                               conv("deep_split_column", self.split, column))))),
            Sequence((Pool("average", 3, 1, conventions.padding, count_padding=self.count_padding),
                      conv("pool_project", self.pool))),
        ))


@dataclass(frozen=True)
class ReductionA:
    """Strided 3x3, reduced double 3x3 and max pool side by side, from the largest to the middle size.

    Source: Szegedy et al. 2016, figure 10; Szegedy et al. 2017, figure 7 and table 1, where `c`, `r`, `m` and `d` are
    n, k, l and m.
    """

    channels: int = number("c", "channels of the single 3x3", scaled=True)
    reduce: int = number("r", "channels of the 1x1 before the double 3x3", scaled=True)
    middle: int = number("m", "channels of the first of the double 3x3", scaled=True)
    double: int = number("d", "channels of the second of the double 3x3", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        _require_branches(self, "channels", "reduce", "middle", "double")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        conv = _Convolutions(conventions, self.activation)
        return Branches(Concatenate(), (
            conv.strided("single", self.channels),
            Sequence((conv("double_reduce", self.reduce), conv("double_first", self.middle, (3, 3)),
                      conv.strided("double_second", self.double))),
            Pool("max", 3, 2, "valid"),
        ))


@dataclass(frozen=True)
class ReductionB:
    """Reduced strided 3x3, factorised 7x7 before a strided 3x3, and max pool, from the middle to the smallest size.

    Source: Szegedy et al. 2016, section 6 (published v3 weights); Szegedy et al. 2017, figure 8.
    """

    reduce: int = number("r", "channels of the 1x1 before the single 3x3", scaled=True)
    channels: int = number("c", "channels of the single 3x3", scaled=True)
    factorised_reduce: int = number("fr", "channels of the 1x1 before the 7x7, and half way through it", scaled=True)
    factorised: int = number("f", "channels of the 7x7 and of the 3x3 after it", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        _require_branches(self, "reduce", "channels", "factorised_reduce", "factorised")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        conv = _Convolutions(conventions, self.activation)
        return Branches(Concatenate(), (
            Sequence((conv("reduce", self.reduce), conv.strided("single", self.channels))),
            Sequence((conv("factorised_reduce", self.factorised_reduce), conv("row", self.factorised_reduce, (1, 7)),
                      conv("column", self.factorised, (7, 1)), conv.strided("factorised", self.factorised))),
            Pool("max", 3, 2, "valid"),
        ))


@dataclass(frozen=True)
class StemReduction:
    """A strided 3x3 convolution and a max pool side by side, in the stem of Inception-v4.

    Source: Szegedy et al. 2017, figure 3, the first and the last filter concatenation.
    """

    channels: int = number("c", "channels of the convolution", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")
    order: str = word({"poolfirst": "pool", "convfirst": "convolution"}, "whose channels come first", "pool")

    def __post_init__(self) -> None:
        _require_branches(self, "channels")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        both = (Pool("max", 3, 2, "valid"), _Convolutions(conventions, self.activation).strided("", self.channels))
        return Branches(Concatenate(), both if self.order == "pool" else both[::-1])


@dataclass(frozen=True)
class StemSplit:
    """A reduced 3x3 and a reduced factorised 7x7 with a 3x3 side by side, in the stem of Inception-v4.

    Source: Szegedy et al. 2017, figure 3, the middle filter concatenation.
    """

    reduce: int = number("r", "channels of the 1x1 convolutions and of the 7x7", scaled=True)
    channels: int = number("c", "channels of each 3x3", scaled=True)
    activation: str = word(ACTIVATION_WORDS, "activation")

    def __post_init__(self) -> None:
        _require_branches(self, "reduce", "channels")

    def layers(self, channels: int, conventions: Input) -> Layer:
        """Returns the expression of the block."""
        conv = _Convolutions(conventions, self.activation)
        return Branches(Concatenate(), (
            Sequence((conv("reduce", self.reduce), conv("single", self.channels, (3, 3), padding="valid"))),
            Sequence((conv("factorised_reduce", self.reduce), conv("row", self.reduce, (1, 7)),
                      conv("column", self.reduce, (7, 1)),
                      conv("factorised", self.channels, (3, 3), padding="valid"))),
        ))


@dataclass(frozen=True)
class _Convolutions:
    """Makes convolutions with batch norm and one activation."""

    conventions: Input
    activation: str

    def __call__(self, name: str, filters: int, kernel: tuple[int, int] = (1, 1), padding: str = "") -> Layer:
        return conv_bn_act(name, self.conventions, filters, kernel, activation=self.activation, padding=padding)

    def strided(self, name: str, filters: int) -> Layer:
        """Returns a 3x3 convolution of stride 2 that pads nothing, as all reductions have them."""
        return conv_bn_act(name, self.conventions, filters, 3, 2, activation=self.activation, padding="valid")


def _require_branches(block: Block, *names: str) -> None:
    for name in names:
        require(getattr(block, name) >= 1, f"`{name}` must be at least 1, but got {name}={getattr(block, name)}")


BLOCKS: dict[str, type[Block]] = {
    "inception": Inception,
    "inceptiona": InceptionA,
    "inceptionb": InceptionB,
    "inceptionc": InceptionC,
    "reductiona": ReductionA,
    "reductionb": ReductionB,
    "stemreduction": StemReduction,
    "stemsplit": StemSplit,
}
