import pytest

from evaluators.latency import Latency
from nas.problem.budgets import Budgets
from nas.problem.candidate import Candidate
from nas.problem.costs import Costs

BLOCKS = ("mb_k3_e3_c16_s1_se0_relu", "mb_k5_e6_c24_s2_se0.25_hswish", "mb_k7_e3_c32_s2_se0_swish",
          "mb_k3_e6_c48_s2_se0.25_relu6", "mb_k5_e3_c64_s1_se0_hswish")
BUDGETS = Budgets(latency_ms=0.09, macs=20_000_000)


def make(trial, accuracy, latency_ms, *, epochs=10, trained=True, state="complete", macs=3_858_016, like=None):
    index = trial if like is None else like
    blocks = [BLOCKS[(index + place) % len(BLOCKS)] for place in range(10)]
    architecture = "+".join(["in_r28_c1", "conv_k3_c16_s2_relu6", *blocks, f"mb_k3_e3_c{8 + index}_s1_se0_relu",
                             "head_c128_relu6_n10"])
    costs = Costs(macs, 354_538, 163_072, 1_420_000 if trained else None,
                  {} if latency_ms is None else {"onnxruntime": timed(latency_ms)})
    return Candidate(
        trial=trial, architecture=architecture, accuracy=accuracy,
        total=0 if accuracy is None else 2000, epochs=epochs, trained=trained, costs=costs,
        violations=BUDGETS.violations(costs), state=state)


def timed(latency_ms):
    return Latency(latency_ms, latency_ms * 0.98, latency_ms * 1.02, latency_ms * 1.1, 10, 0.1, 0.1, 0.1, 0.0)


@pytest.fixture
def budgets():
    return BUDGETS


@pytest.fixture
def candidates():
    """Trials 4, 1 and 7 are the front, 7 wins, 9 repeats 1."""
    return [
        make(0, 0.880, 0.080), make(1, 0.890, 0.070), make(2, None, 0.120, epochs=0, trained=False),
        make(3, 0.700, 0.075, epochs=2, trained=False), make(4, 0.870, 0.060), make(5, 0.860, 0.066),
        make(6, None, None, epochs=0, trained=False, macs=30_000_000), make(7, 0.9125, 0.085),
        make(8, None, 0.07, epochs=0, trained=False, state="failed"), make(9, 0.890, 0.070, like=1),
        make(10, 0.92, 0.095)]
