"""Plain convolutions against separable ones, and one 5x5 against two 3x3: what they cost and what they are worth.

    python -m experiments.separable            # what is not recorded yet
    python -m experiments.separable --report   # writes what is recorded into docs/experiments.md

Three convolutions with biases, from 32 channels to 64, 128 and 128, are written in each form, between the same stem and
classifier: 239,936 parameters as plain 3x3 and 29,184 as separable ones. All are timed in turns on each runtime, so
that what else runs on the machine falls on all of them, then trained alike on the embedded images, by some seeds, and
tested on the test images. Takes an hour on two cores, most of it in the trainings of 5x5.
"""

from experiments.comparison import Comparison, run
from search_spaces import Architecture

LAYERS = ((64, 2), (128, 2), (128, 1))  # channels out and stride
FORMS = {"3x3": "k3_{}_direct", "3x3, separable": "k3_{}_separable", "5x5": "k5_{}_direct", "two 3x3": "k5_{}_stacked",
         "5x5, separable": "k5_{}_separable"}


def network(form: str) -> Architecture:
    """Returns the network that has its three convolutions in a form."""
    tokens = [f"conv_{FORMS[form].format(f'c{channels}_s{stride}_relu_bias')}" for channels, stride in LAYERS]
    return Architecture.parse("+".join(["in_r28_c1", "conv_k3_c32_s2_relu_bias", *tokens, "fc_n10"]))


COMPARISON = Comparison("separable", "Plain and separable convolutions", {
    "plain": {form: network(form) for form in ("3x3", "two 3x3", "5x5")},
    "separable": {form: network(form) for form in ("3x3, separable", "5x5, separable")}},
    epochs=4, seeds=(0, 1, 2), turns=5)


if __name__ == "__main__":
    run(COMPARISON, __doc__)
