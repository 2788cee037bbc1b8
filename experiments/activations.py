"""Squeeze-and-excitation and activations: what are they worth, and what do they cost on each runtime?

    python -m experiments.activations            # what is not recorded yet
    python -m experiments.activations --report   # writes what is recorded into docs/experiments.md

One network of inverted bottlenecks with each of four activations, with squeeze-and-excitation and without, each trained
by two seeds and timed on both runtimes. About 8 minutes on two cores.
"""

from experiments.comparison import Comparison, parsed, run

ACTIVATIONS = ("relu", "relu6", "hswish", "swish")
RATIOS = {"without SE": "0", "with SE": "0.25"}


def text(activation: str, ratio: str) -> str:
    """Returns the text of the network with an activation and a ratio of squeeze-and-excitation."""
    blocks = [f"mb_k3_e4_c{channels}_s{stride}_se{ratio}_{activation}"
              for channels, stride in ((24, 1), (24, 1), (48, 2), (48, 1))]
    return "+".join(["in_r28_c1", f"conv_k3_c16_s2_{activation}", *blocks, f"head_c128_{activation}_n10"])


COMPARISON = Comparison("activations", "Squeeze-and-excitation and activations", {
    name: parsed({f"{activation}, {name}": text(activation, ratio) for activation in ACTIVATIONS})
    for name, ratio in RATIOS.items()})


if __name__ == "__main__":
    run(COMPARISON, __doc__)
