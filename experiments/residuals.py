"""Inverted residual, SandGlass or classic residual: which is most accurate at equal multiply-adds, which fastest?

    python -m experiments.residuals            # what is not recorded yet
    python -m experiments.residuals --report   # writes what is recorded into docs/experiments.md

Four blocks of each kind stand between the same stem and head, as wide as makes 1.6, 3.0 and 4.6 million multiply-adds
to within 5 %, and each network is trained by two seeds and timed on both runtimes. About 7 minutes on two cores.
Channels come in eights, as runtimes want them: with 55 and 110 of them in the place of 56 and 112, SandGlass takes
three times as long in ONNX Runtime.
"""

from itertools import product

from experiments.comparison import Comparison, nearest, run

MACS = (1_600_000, 3_000_000, 4_600_000)
CHANNELS = [(first, second) for first, second in product(range(8, 97, 8), range(8, 289, 8))
            if first <= second <= 3 * first]
KINDS = {"inverted residual": "mb_k3_e4_{}_s{}_se0_relu6",
         "SandGlass": "sand_k3_r4_{}_s{}_relu6",
         "classic residual": "basic_{}_s{}_relu6"}


def text(block: str) -> str:
    """Returns the text of a network of four blocks, with the places of their channels."""
    blocks = [block.format(channels, stride)
              for channels, stride in (("c{0}", 1), ("c{0}", 1), ("c{1}", 2), ("c{1}", 1))]
    return "+".join(["in_r28_c1", "conv_k3_c16_s2_relu6", *blocks, "head_c128_relu6_n10"])


COMPARISON = Comparison("residuals", "Residual blocks at equal multiply-adds", {
    kind: {f"{kind}, {macs / 1e6:.1f}M": nearest(text(block), macs, CHANNELS) for macs in MACS}
    for kind, block in KINDS.items()})


if __name__ == "__main__":
    run(COMPARISON, __doc__)
