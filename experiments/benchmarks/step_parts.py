"""Where does the time of a training step go, in plain XLA and in this project?

    python -m experiments.benchmarks.step_parts

A network like MobileNetV2 is cut into the pieces that this project compiles. The forward and the backward pass of each
are timed alone, as XLA compiles what a user would write, and as this project does, whose backward pass also updates the
weights; they take turns. What a whole step takes beyond the sum of its pieces is the rest: the batch is drawn, pieces
are launched, memory is taken. It is negative where a piece finds in the caches what the one before has just written,
which it does not when timed alone. Takes about a minute; run it alone on the machine. Expected: in plain XLA on a CPU,
depthwise convolutions take nearly all. Results: `experiments/results/step_parts.json`.
"""

import argparse
import dataclasses
import functools
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evaluators.machine.files import write_whole
from evaluators.machine.memory import keep_memory
from evaluators.networks.network import batch_moments, execute
from evaluators.recipe import Optimizer
from evaluators.training.adamw import coefficients
from evaluators.training.partition import Piece, cut
from evaluators.training.step import piece_passes
from experiments.benchmarks.training_step import NETWORKS, flax, ours
from nas.run.environment import environment
from search_spaces import Architecture
from search_spaces.layers import BatchNorm, Convolution, padding_of

RESULT = Path(__file__).parents[1] / "results" / "step_parts.json"
NETWORK, BATCH, TURNS = "28 px, 10 blocks", 64, 15
SIDES = {"plain": flax, "ours": ours}
REST = "rest of the step"

Passes = dict[str, Callable[[], Any]]


def kind(piece: Piece) -> str:
    """Returns the name of a piece in the table."""
    layer = piece.operations[0].layer
    if isinstance(layer, BatchNorm):
        return "batch norm, activation, skip"
    if not isinstance(layer, Convolution):
        return "pooling, squeeze-and-excitation, classifier"
    if piece.depthwise_stride:
        return "depthwise convolution"
    return "pointwise convolution" if layer.kernel == (1, 1) else "other convolution"


def plain_passes(piece: Piece, inputs: list[jax.Array], weights: dict[str, jax.Array], wanted: tuple[bool, ...]
                 ) -> Passes:
    """Returns the passes of a piece in the library's operations, with their own gradients."""
    def output(weights: dict[str, jax.Array], *inputs: jax.Array) -> jax.Array:
        values = dict(enumerate(inputs))
        for number, operation in enumerate(piece.operations, len(inputs)):
            layer, arguments = operation.layer, [values[value] for value in operation.inputs]
            x = arguments[0]
            if isinstance(layer, Convolution):
                pads = [padding_of(size, extent, layer.stride, layer.padding)[1:]
                        for size, extent in zip(x.shape[1:3], layer.kernel, strict=True)]
                values[number] = lax.conv_general_dilated(
                    x, weights[f"{operation.name}/kernel"], (layer.stride, layer.stride), pads,
                    dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=layer.groups) + (
                        weights[f"{operation.name}/bias"] if layer.bias else 0)
            elif isinstance(layer, BatchNorm):
                mean, var = batch_moments(x)
                scale = lax.rsqrt(var + layer.epsilon) * weights[f"{operation.name}/scale"]
                values[number] = (x - mean) * scale + weights[f"{operation.name}/bias"]
            else:
                alone = dataclasses.replace(operation, inputs=tuple(range(len(arguments))))
                values[number] = execute([alone], arguments, weights, lambda operation, x: batch_moments(x))
        return values[len(inputs) + len(piece.operations) - 1]

    def backward(weights: dict[str, jax.Array], gradient: jax.Array, *inputs: jax.Array) -> tuple:
        own, *below = jax.vjp(output, weights, *inputs)[1](gradient)
        return own, [each for each, asked in zip(below, wanted, strict=True) if asked]

    forward, back = jax.jit(output), jax.jit(backward)
    gradient = jnp.ones_like(forward(weights, *inputs))
    return {"forward": lambda: forward(weights, *inputs), "backward": lambda: back(weights, gradient, *inputs)}


def our_passes(piece: Piece, inputs: list[jax.Array], weights: dict[str, jax.Array], wanted: tuple[bool, ...]
               ) -> Passes:
    """Returns the passes of a piece as this project compiles it; the backward pass updates the weights."""
    optimizer = Optimizer()
    forward, back = piece_passes(piece, optimizer, wanted)
    flat = jnp.concatenate([weights[name].ravel() for name in piece.weights]) if piece.weights else None
    moments = None if flat is None else jnp.zeros((2, flat.size), flat.dtype)
    running = jnp.ones(sum(map(math.prod, piece.statistics.values()))) if piece.statistics else None
    train, rates = jax.device_put((np.True_, coefficients(optimizer, 1e-3, 1)))
    y, batch, _ = forward(flat, running, train, *inputs)
    gradient = jnp.ones_like(y)
    return {"forward": lambda: forward(flat, running, train, *inputs),
            "backward": lambda: back(flat, moments, batch, gradient, rates, *inputs)}


def medians_ms(works: dict[Any, Callable[[], Any]], turns: int = TURNS) -> dict[Any, float]:
    """Returns the median of each, which take turns."""
    found = defaultdict(list)
    for turn in range(turns + 1):  # the first is not timed
        for name, work in works.items():
            start = time.perf_counter()
            jax.block_until_ready(work())
            if turn:
                found[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in found.items()}


def parts_ms(architecture: Architecture, batch: int) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the milliseconds of a step by kind of piece, by side and by pass, and the rest of the whole step."""
    generator = np.random.default_rng(0)
    uses = Counter((use.piece, tuple(value > 0 for value in use.inputs)) for use in cut(architecture.program))
    found: dict[str, Any] = defaultdict(lambda: {side: defaultdict(float) for side in SIDES})
    for (piece, wanted), count in uses.items():
        inputs = [jnp.asarray(generator.standard_normal((batch, *shape), np.float32)) for shape in piece.input_shapes]
        weights = {name: jnp.asarray(generator.standard_normal(shape, np.float32))
                   for name, shape in piece.weights.items()}
        works = {(side, name): work for side, passes in (("plain", plain_passes), ("ours", our_passes))
                 for name, work in passes(piece, inputs, weights, wanted).items()}
        for (side, name), value in medians_ms(works).items():
            found[kind(piece)][side][name] += count * value
    sides = {side: make(architecture, batch) for side, make in SIDES.items()}
    for side, value in medians_ms({side: functools.partial(steps, 1) for side, steps in sides.items()}).items():
        found[REST][side]["both passes"] = value - sum(sum(own[side].values()) for own in found.values())
    return {name: {side: {part: round(value, 2) for part, value in each.items()} for side, each in own.items()}
            for name, own in found.items()}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Times the parts of a training step; see the docstring.")
    parser.add_argument("--network", choices=list(NETWORKS), default=NETWORK)
    parser.add_argument("--batch", type=int, default=BATCH)
    arguments = parser.parse_args()
    keep_memory()
    result = {"network": arguments.network, "batch": arguments.batch, "environment": environment(),
              "ms": parts_ms(Architecture.parse(NETWORKS[arguments.network]), arguments.batch)}
    write_whole(RESULT, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result["ms"], indent=1))


if __name__ == "__main__":
    main()
