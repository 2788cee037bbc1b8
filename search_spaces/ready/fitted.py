"""`fitted`: networks for images of any size, with a width that makes each of them fill its budget.

The first stages are few, narrow and plain, the last ones wide and of all kinds: so are the best of some hundred random
members of wider spaces at equal latency (docs/spaces.md). SandGlass blocks may come earlier than other bottlenecks, as
they have their depthwise convolutions where channels are many. Only the stem and the last stage may have hard swish;
between them it costs latency in ONNX Runtime, and no gain was found. Stages leave 4 to 7 of 28 to 224 pixels, and no
fewer: a brief training rates networks that do higher than a whole one.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from search_spaces.architecture import SEPARATOR
from search_spaces.space import Space
from search_spaces.stage import KIND_SEPARATOR
from search_spaces.zoo.handmade import strides

WIDTHS = "0.25/0.3/0.35/0.4/0.5/0.6/0.7/0.85/1/1.2/1.4/1.7/2"
LAST = ("conv_k3_c128/192_s{}_relu", "sep_k3/5_c256/384_s{}_relu/hswish",
        "mb_k3/5_e3/6_c96/128_s{}_se0/0.25_relu6/hswish", "sand_k3_r2/4/6_c256_s{}_relu6")
HALVING = (  # the kinds of a stage of stride 2, the last stage first
    ("conv_k3_c96/128_s{}_relu", "sep_k3/5_c192/256_s{}_relu", "mb_k3/5_e3/6_c64/96_s{}_se0/0.25_relu6",
     "basic_c96_s{}_relu", "fused_k3_e2/4_c64/96_s{}_se0_relu6", "sand_k3_r4/6_c192_s{}_relu6"),
    ("conv_k3_c48/64_s{}_relu", "sep_k3_c96/128_s{}_relu", "basic_c48/64_s{}_relu", "sand_k3_r2/6_c96_s{}_relu6"),
    ("conv_k3_c24/32_s{}_relu", "sep_k3_c48/64_s{}_relu", "basic_c24/32_s{}_relu"),
    ("conv_k3_c16/24_s{}_relu", "sep_k3_c32/48_s{}_relu", "basic_c16/24_s{}_relu"),
)
FIRST = {3: ("24/32", 32, 64), 4: ("16/24", 24, 48)}  # channels of the stem and of what may follow it, by the strides


@dataclass(frozen=True)
class Fitted:
    """The space of networks that suit the size of the images that it is bound to."""

    input: ClassVar[tuple[tuple[str, tuple[Any, ...]], ...]] = ()  # nothing is stated that the data must have

    def bind(self, resolution: int, channels: int, classes: int) -> Space:
        """Returns the space for images of a size; raises as `Space.bind` does."""
        halvings = max(strides(resolution), 2)
        stem, plain, separable = FIRST[min(max(halvings, 3), 4)]
        stages = [_stage(1, "0/1", f"conv_k3_c{plain}_s{{}}_relu", f"sep_k3_c{separable}_s{{}}_relu"),
                  *(_stage(2, "1/2", *kinds) for kinds in reversed(HALVING[:halvings - 1])),
                  _stage(1, "0/1/2", *LAST)]
        return Space.parse(SEPARATOR.join([
            f"scale_w{WIDTHS}_stagewise", "in", f"conv_k3_c{stem}_s2_relu/hswish", *stages, "fc//head_c128_relu",
        ])).bind(resolution, channels, classes)


def _stage(stride: int, depths: str, *kinds: str) -> str:
    return KIND_SEPARATOR.join(f"{kind.format(stride)}_x{depths}" for kind in kinds)


FITTED = Fitted()
