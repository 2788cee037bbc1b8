"""Width or resolution: which multiplier of a network costs the least accuracy for the time that it saves?

    python -m experiments.multipliers            # what is not recorded yet
    python -m experiments.multipliers --report   # writes what is recorded into docs/experiments.md

One network of inverted bottlenecks is made narrower (0.25 to 1) or given fewer pixels (14 to 28), and each is trained
by two seeds and timed on both runtimes. About 4 minutes on two cores.
"""

from experiments.comparison import Comparison, run
from search_spaces import Architecture, Space

WIDTHS, PIXELS = (0.25, 0.5, 0.75, 1.0), (14, 18, 22, 28)
STAGES = ("conv_k3_c16_s2_relu6+mb_k3_e3_c32_s1_se0_relu6+mb_k3_e3_c32_s1_se0_relu6+mb_k3_e3_c64_s2_se0_relu6+"
          "mb_k3_e3_c64_s1_se0_relu6+head_c128_relu6")


def network(width: float, pixels: int) -> Architecture:
    """Returns the network at a width and a resolution."""
    return Space.parse(f"scale_w{width:g}+in+{STAGES}").bind(pixels, 1, 10).decode({})


COMPARISON = Comparison("multipliers", "Width against resolution", {
    "width": {f"width {width:g}": network(width, PIXELS[-1]) for width in WIDTHS},
    "resolution": {f"{pixels} pixels": network(WIDTHS[-1], pixels) for pixels in PIXELS[:-1]} | {
        f"width {WIDTHS[-1]:g}": network(WIDTHS[-1], PIXELS[-1])}})


if __name__ == "__main__":
    run(COMPARISON, __doc__)
