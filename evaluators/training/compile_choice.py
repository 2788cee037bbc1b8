"""The choice of compiling the pieces of a network or all of it, where that is left open.

Compiled pieces serve later candidates too; a network that is one program takes less time for a step where launching a
small program costs more than running it. On CPU launching costs next to nothing, so pieces it is. Elsewhere it depends
on the device, the networks and the length of the training, and is measured.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import jax

from evaluators.networks.weights import initial_weights
from evaluators.recipe import BLOCKS, NETWORK, Optimizer
from evaluators.training.adamw import coefficients
from evaluators.training.executables import compiled_anew
from evaluators.training.step import inference, pack, training_step
from search_spaces.program import Program

UNSEEN = 0.1  # of the pieces of a random candidate of `mobile`, after 20 others: experiments/benchmarks/compilation.py
STEPS = 10

Batch = tuple[jax.Array, jax.Array]  # images and labels

_chosen: dict[Hashable, str] = {}


@dataclass(frozen=True)
class Effort:
    """The effort of one of both: the seconds until a network can be trained and validated, and those of a step."""

    compile_s: float
    step_s: float


def choice(kind: Hashable, program: Program, optimizer: Optimizer, batch: Callable[[], Batch], steps: int,
           unseen: float) -> str:
    """Returns `BLOCKS` or `NETWORK`, measured with the first network of a kind of training and kept by the process.

    Args:
        kind: what trainings must have in common for one choice to serve them all.
        program: the network.
        optimizer: that of the training.
        batch: returns a batch.
        steps: the length of the training.
        unseen: the share of a network's pieces that no earlier one has had.
    """
    if jax.default_backend() == "cpu":
        return BLOCKS
    if kind not in _chosen:
        first = batch()
        blocks, network = (effort(program, optimizer, first, whole) for whole in (False, True))
        _chosen[kind] = cheaper(blocks, network, steps, unseen)
    return _chosen[kind]


def effort(program: Program, optimizer: Optimizer, batch: Batch, whole: bool) -> Effort:
    """Returns the effort for a network, compiled in pieces or as a whole, with nothing compiled before."""
    states, at_first = pack(program, *initial_weights(program, 0)), coefficients(optimizer, 0.0, 1)
    step, infer = training_step(program, optimizer, whole), inference(program, whole)
    with compiled_anew():
        start = time.perf_counter()
        states, _ = step(states, *batch, at_first)
        jax.block_until_ready(infer(states, batch[0]))
        compile_s = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(STEPS):
        states, _ = step(states, *batch, at_first)
    jax.block_until_ready(states)
    return Effort(compile_s, (time.perf_counter() - start) / STEPS)


def cheaper(blocks: Effort, network: Effort, steps: int, unseen: float) -> str:
    """Returns `BLOCKS` or `NETWORK`, whichever takes less time for a training of `steps` steps."""
    blocks_s = unseen * blocks.compile_s + steps * blocks.step_s
    return BLOCKS if blocks_s <= network.compile_s + steps * network.step_s else NETWORK
