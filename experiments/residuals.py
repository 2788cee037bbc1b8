"""Inverted residual, SandGlass or classic residual: which is most accurate at equal multiply-adds, which fastest?

    python -m experiments.residuals            # what is not recorded yet
    python -m experiments.residuals --report   # writes what is recorded into docs/experiments.md

Four blocks of each kind stand between the same stem and head, as wide as makes 1.4, 2.9 and 4.5 million multiply-adds
to within 5 %, and each network is trained by two seeds and timed on both runtimes. About 5 minutes on two cores.
Expected: kinds differ more in their latencies than in their accuracies, and classic residuals are the fastest.
"""

from experiments.comparison import Comparison, nearest, run

MACS = (1_400_000, 2_900_000, 4_500_000)
KINDS = {"inverted residual": ("mb_k3_e4_{}_s{}_se0_relu6", range(4, 60)),  # and the channels to choose from
         "SandGlass": ("sand_k3_r4_{}_s{}_relu6", range(8, 150)),
         "classic residual": ("basic_{}_s{}_relu6", range(2, 60))}


def text(block: str) -> str:
    """Returns the text of a network of four blocks, with the places of their channels."""
    blocks = [block.format(channels, stride)
              for channels, stride in (("c{0}", 1), ("c{0}", 1), ("c{1}", 2), ("c{1}", 1))]
    return "+".join(["in_r28_c1", "conv_k3_c16_s2_relu6", *blocks, "head_c128_relu6_n10"])


COMPARISON = Comparison("residuals", "Residual blocks at equal multiply-adds", {
    kind: {f"{kind}, {macs / 1e6:.1f}M": nearest(text(block), macs, channels) for macs in MACS}
    for kind, (block, channels) in KINDS.items()})


if __name__ == "__main__":
    run(COMPARISON, __doc__)
