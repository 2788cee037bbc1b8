"""Which form of an operation does LiteRT with XNNPACK run fastest?

    python -m experiments.litert_forms

Networks that use an operation often are written once in the form of `evaluators.runtimes.litert` and once in another,
and run in turns in one process, on one thread. Takes a minute. Printed and written to results/litert_forms.json are
the lower quartiles in milliseconds and, for every form, the median of the ratios to ours with their quartiles: above 1
means that ours is faster.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from evaluators.networks.weights import initial_arrays
from evaluators.runtimes.flatbuffer import Tensor
from evaluators.runtimes.litert import EMITTERS, LiteRtSession, litert_model
from search_spaces import Architecture
from search_spaces.layers import Activation, Convolution, GlobalPool, Shuffle
from search_spaces.program import Operation

RESULT = Path(__file__).parent / "results" / "litert_forms.json"
ROUNDS, RUNS = 200, 5
BLOCK = "mb_k3_e6_c{}_s{}_se0.25_{}{}"
GATED = "in_r28_c1+conv_k3_c16_s2_relu+" + "+".join(
    BLOCK.format(channels, stride, "{0}", "{1}") for channels, stride in ((16, 1), (24, 2), (24, 1), (40, 2), (40, 1))
) + "+head_c128_relu_n10"
SHUFFLED = ("in_r56_c3_symmetric+conv_k3_c24_s2_relu+shuffle2_k3_c48_s2_relu"
            "+shuffle2_k3_c48_s1_relu+shuffle2_k3_c48_s1_relu+shuffle2_k3_c48_s1_relu+head_c128_relu_n10")

Emitter = Callable[..., Tensor]


def pool_of_the_whole_window(graph: Any, operation: Operation, x: Tensor) -> Tensor:
    """Emits the squeeze as a pooling with the image as its window."""
    height, width, _ = operation.input_shapes[0]
    options = graph.schema.Pool2DOptionsT(graph.schema.Padding.VALID, 1, 1, width, height)
    return graph.operator("AVERAGE_POOL_2D", [graph.pixels(x)], operation.name, operation.output_shape, options)


def dense_on_one_pixel(graph: Any, operation: Operation, x: Tensor) -> Tensor:
    """Emits a 1x1 convolution of one pixel as a matrix product."""
    layer = operation.layer
    assert isinstance(layer, Convolution)
    if operation.input_shapes[0][:2] != (1, 1) or not layer.bias:
        return ours[Convolution](graph, operation, x)
    kernel = graph.constant(f"{operation.name}/kernel", graph.arrays[f"{operation.name}/kernel"][0, 0].T)
    bias = graph.constant(f"{operation.name}/bias", graph.arrays[f"{operation.name}/bias"])
    options = graph.schema.FullyConnectedOptionsT(graph.fused_activation(operation.name), keepNumDims=True)
    return graph.operator("FULLY_CONNECTED", [x, kernel, bias], operation.name, operation.output_shape, options)


def clipped_to_one(graph: Any, operation: Operation, x: Tensor) -> Tensor:
    """Emits a hard sigmoid as x / 6 + 1/2 clipped to [0, 1]."""
    if operation.layer != Activation("hsigmoid"):
        return ours[Activation](graph, operation, x)
    sixth, half = (graph.constant(f"constant/{name}", np.array(value, np.float32))
                   for name, value in (("sixth", 1 / 6), ("half", 0.5)))
    y = graph.operator("MUL", [x, sixth], f"{operation.name}/scaled", x.shape, graph.schema.MulOptionsT())
    y = graph.operator("ADD", [y, half], f"{operation.name}/shifted", x.shape, graph.schema.AddOptionsT())
    return graph.operator("RELU_0_TO_1", [y], operation.name, x.shape)


def spelled_hard_swish(graph: Any, operation: Operation, x: Tensor) -> Tensor:
    """Emits a hard swish as the arithmetic that it stands for."""
    if operation.layer != Activation("hswish"):
        return ours[Activation](graph, operation, x)
    three, sixth = (graph.constant(f"constant/{name}", np.array(value, np.float32))
                    for name, value in (("three", 3), ("sixth", 1 / 6)))
    relu6 = graph.schema.AddOptionsT(graph.schema.ActivationFunctionType.RELU6)
    y = graph.operator("ADD", [x, three], f"{operation.name}/clipped", x.shape, relu6)
    y = graph.operator("MUL", [y, sixth], f"{operation.name}/gate", x.shape, graph.schema.MulOptionsT())
    return graph.operator("MUL", [x, y], operation.name, x.shape, graph.schema.MulOptionsT())


def shuffle_of_rows(graph: Any, operation: Operation, x: Tensor) -> Tensor:
    """Emits a shuffle with all pixels along one axis."""
    layer, name, channels = operation.layer, operation.name, operation.output_shape[2]
    assert isinstance(layer, Shuffle)
    each = channels // layer.groups
    order = graph.constant("constant/shuffled_row_axes", np.array([0, 2, 1], np.int32))
    groups = graph.reshaped(graph.pixels(x), (layer.groups, each))
    mixed = graph.operator("TRANSPOSE", [groups, order], f"{name}/mixed", (each, layer.groups),
                           graph.schema.TransposeOptionsT())
    return graph.reshaped(mixed, operation.output_shape)


ours: dict[type, Emitter] = dict(EMITTERS)
FORMS: dict[str, tuple[str, type, Emitter]] = {
    "squeeze: pooling instead of mean": (GATED.format("relu", ""), GlobalPool, pool_of_the_whole_window),
    "squeeze and excitation: dense instead of 1x1 convolutions": (GATED.format("relu", ""), Convolution,
                                                                  dense_on_one_pixel),
    "hard sigmoid: clipped to 1": (GATED.format("relu", ""), Activation, clipped_to_one),
    "hard swish: spelled out": (GATED.format("hswish", ""), Activation, spelled_hard_swish),
    "shuffle: pixels in one axis": (SHUFFLED, Shuffle, shuffle_of_rows),
}


def session(model: bytes) -> LiteRtSession:
    """Returns a model in an interpreter of its own."""
    from ai_edge_litert.interpreter import Interpreter

    return LiteRtSession(Interpreter(model_content=model, num_threads=1))


def milliseconds(run: Callable[[], None]) -> float:
    """Returns the fastest of a few runs."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def compare(text: str, layer: type, emitter: Emitter) -> dict[str, Any]:
    """Returns the times of our form and of another, and their ratios."""
    program = Architecture.parse(text).program
    arrays = initial_arrays(program, seed=0)
    images = np.random.default_rng(0).standard_normal((1, *program.input_shape), np.float32)
    our = session(litert_model(program, arrays))
    with patch.dict(EMITTERS, {layer: emitter}):
        other = session(litert_model(program, arrays))
    np.testing.assert_allclose(other.run(images), our.run(images), rtol=1e-3, atol=1e-4)
    runs = our.prepared(images), other.prepared(images)
    pairs = np.array([[milliseconds(run) for run in runs] for _ in range(ROUNDS)])
    ratios = np.quantile(pairs[:, 1] / pairs[:, 0], (0.25, 0.5, 0.75)).tolist()
    return {"ours_ms": float(np.quantile(pairs[:, 0], 0.25)), "other_ms": float(np.quantile(pairs[:, 1], 0.25)),
            "ratio": ratios[1], "quartiles": [ratios[0], ratios[2]]}


def main() -> None:
    """Compares all forms."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    from nas.run.environment import environment

    found = {name: compare(*form) for name, form in FORMS.items()}
    for name, result in found.items():
        print(f"{name}: {result['ratio']:.3f} [{result['quartiles'][0]:.3f}, {result['quartiles'][1]:.3f}] times ours "
              f"({result['ours_ms']:.4f} ms)")
    RESULT.write_text(json.dumps({"forms": found, "environment": environment()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
