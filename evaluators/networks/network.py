"""Program -> JAX and Flax: the interpreter that trains, evaluates and exports every network.

`run` is a pure function of arrays by name; `Network` is the same as a Flax NNX module.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from evaluators.networks import kernels
from evaluators.networks.weights import Weights, initial_weights
from search_spaces.architecture import Architecture
from search_spaces.layers import (
    Activation,
    Add,
    BatchNorm,
    Concatenate,
    Convolution,
    Dense,
    GlobalPool,
    Multiply,
    Pool,
    Scale,
    Shuffle,
    Slice,
    padding_of,
)
from search_spaces.program import Operation, Program

Arrays = Mapping[str, jax.Array]
Moments = tuple[jax.Array, jax.Array]
FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "hswish": lambda x: x * (jnp.clip(x + 3, 0, 6) * (1 / 6)),
    "swish": jax.nn.swish,
    "sigmoid": jax.nn.sigmoid,
    "hsigmoid": lambda x: jnp.clip(x + 3, 0, 6) * (1 / 6),
}


def run(program: Program, weights: Arrays, statistics: Arrays, x: jax.Array, train: bool
        ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the program's output for `x` `[B, H, W, C]`, and its running statistics after it.

    In training, batch norm takes the statistics of the batch; otherwise the running ones, which then stay as they are.
    Layers compute in the type of `x`, whatever the type of the weights.
    """
    after = dict(statistics)

    def normalisation(operation: Operation, x: jax.Array) -> Moments:
        if not train:
            return after[f"{operation.name}/mean"], after[f"{operation.name}/var"]
        batch = batch_moments(x)
        after.update(moved(operation, after, batch, x.size // x.shape[-1]))
        return batch

    return execute(program.operations, (x,), weights, normalisation), after


def execute(operations: Sequence[Operation], inputs: Sequence[jax.Array], weights: Arrays,
            normalisation: Callable[[Operation, jax.Array], Moments]) -> jax.Array:
    """Returns the value of the last operation; value `n` is input `n`, or what operation `n - len(inputs)` leaves.

    `normalisation` gives mean and variance `[C]` for a batch norm and its input.
    """
    values = dict(enumerate(inputs))
    done = 0
    while done < len(operations):
        operation = operations[done]
        arguments = [values[value] for value in operation.inputs]
        if isinstance(operation.layer, BatchNorm):
            activation = _fusible_activation(operations, done, len(inputs))
            done += 1 if activation else 0
            values[len(inputs) + done] = _batch_norm(
                operation, weights, arguments[0], normalisation(operation, arguments[0]), activation)
        else:
            values[len(inputs) + done] = _apply(operation, weights, arguments)
        done += 1
    return values[len(inputs) + done - 1]


def batch_moments(x: jax.Array) -> Moments:
    """Returns mean and variance `[C]` of a batch `[B, H, W, C]`, in one pass and at least in float32."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(wide, (0, 1, 2))
    return mean, jnp.maximum(jnp.mean(wide * wide, (0, 1, 2)) - mean * mean, 0)


def moved(operation: Operation, statistics: Arrays, batch: Moments, count: int) -> dict[str, jax.Array]:
    """Returns the running statistics of a batch norm, moved towards those of a batch of `count` pixels.

    The running variance is the unbiased one, as in PyTorch.
    """
    assert isinstance(operation.layer, BatchNorm)
    keep, (mean, var) = operation.layer.momentum, batch
    targets = {f"{operation.name}/mean": mean, f"{operation.name}/var": var * (count / max(count - 1, 1))}
    return {name: keep * statistics[name] + (1 - keep) * target for name, target in targets.items()}


def forward(program: Program, arrays: Arrays, images: jax.Array) -> jax.Array:
    """Returns logits `[B, classes]` of normalised images `[B, H, W, C]` with the running statistics."""
    return run(program, arrays, arrays, images, train=False)[0].reshape(images.shape[0], -1)


def _apply(operation: Operation, weights: Arrays, inputs: list[jax.Array]) -> jax.Array:
    x, layer = inputs[0], operation.layer
    match layer:
        case Convolution():
            y = _convolve(layer, x, weights[f"{operation.name}/kernel"].astype(x.dtype))
            return y + weights[f"{operation.name}/bias"].astype(x.dtype) if layer.bias else y
        case Activation():
            return FUNCTIONS[layer.function](x)
        case Pool():
            return _pool(layer, x)
        case GlobalPool():
            return jnp.mean(x, (1, 2), keepdims=True)
        case Slice():
            return x[..., layer.begin:layer.end]
        case Shuffle():
            grouped = x.reshape(*x.shape[:3], layer.groups, -1)
            return jnp.swapaxes(grouped, 3, 4).reshape(x.shape)
        case Scale():
            return x * layer.factor
        case Dense():
            y = kernels.pointwise(x.reshape(x.shape[0], 1, 1, -1), weights[f"{operation.name}/kernel"].astype(x.dtype))
            return y + weights[f"{operation.name}/bias"].astype(x.dtype) if layer.bias else y
        case Add():
            return sum(inputs[1:], start=x)
        case Multiply():
            return x * inputs[1]
        case Concatenate():
            return jnp.concatenate(inputs, -1)
    raise NotImplementedError(f"no interpretation of the layer {layer}")


def _convolve(layer: Convolution, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if layer.kernel == (1, 1) and layer.groups == 1:  # a matrix product of pixels
        return kernels.pointwise(x[:, ::layer.stride, ::layer.stride], kernel[0, 0])
    rows, columns = (padding_of(size, extent, layer.stride, layer.padding)[1:]
                     for size, extent in zip(x.shape[1:3], layer.kernel, strict=True))
    pads = rows, columns
    if layer.is_depthwise(x.shape[-1]):
        return kernels.depthwise(x, kernel, layer.stride, pads)
    return kernels.convolution(x, kernel, layer.stride, pads, layer.groups)


def _pool(layer: Pool, x: jax.Array) -> jax.Array:
    """Returns the pool as `kernel**2` strided views, largest or summed: on CPU faster than a windowed reduction."""
    height, width, _ = layer.output_shape(x.shape[1:])
    pads = ((0, 0), *layer.pads(x.shape[1:]), (0, 0))

    def windows(values: jax.Array, padding: float) -> list[jax.Array]:
        padded = jnp.pad(values, pads, constant_values=padding)
        rows, columns = ((size - 1) * layer.stride + 1 for size in (height, width))
        return [padded[:, row:row + rows:layer.stride, column:column + columns:layer.stride]
                for row in range(layer.kernel) for column in range(layer.kernel)]

    if layer.function == "max":
        return functools.reduce(jnp.maximum, windows(x, -jnp.inf))
    if layer.count_padding:
        return sum(windows(x, 0.0)) / layer.kernel**2
    counts = sum(windows(jnp.ones((1, *x.shape[1:3], 1), x.dtype), 0.0))
    return sum(windows(x, 0.0)) / counts


def _fusible_activation(operations: Sequence[Operation], index: int, inputs: int) -> str:
    """Returns the activation that alone reads the result of an operation and comes next, or none."""
    value = inputs + index
    readers = [place for place, operation in enumerate(operations) if value in operation.inputs]
    if readers == [index + 1] and isinstance(layer := operations[index + 1].layer, Activation):
        return layer.function
    return ""


def _batch_norm(operation: Operation, weights: Arrays, x: jax.Array, moments: Moments, activation: str) -> jax.Array:
    assert isinstance(operation.layer, BatchNorm)
    scale, bias = weights[f"{operation.name}/scale"], weights[f"{operation.name}/bias"]
    function = FUNCTIONS[activation] if activation else _identity
    return kernels.batch_norm(x, scale, bias, *moments, operation.layer.epsilon, function)


def _identity(x: jax.Array) -> jax.Array:
    return x


class Network(nnx.Module):
    """An architecture as a Flax NNX module: `network(images)` are the logits.

    `network.eval()` and `network.train()` switch batch norm as they do in Flax; a new network is in evaluation mode.
    """

    def __init__(self, architecture: Architecture, *, seed: int = 0, arrays: Weights | None = None) -> None:
        """Makes the module with weights drawn from the seed, or with the given arrays by name."""
        self.architecture = architecture
        weights, statistics = initial_weights(architecture.program, seed)
        if arrays is not None:
            weights, statistics = ({name: arrays[name] for name in part} for part in (weights, statistics))
        self.weights = nnx.Dict({name: nnx.Param(jnp.asarray(array)) for name, array in weights.items()})
        self.statistics = nnx.Dict({name: nnx.BatchStat(jnp.asarray(array)) for name, array in statistics.items()})
        self.use_running_average = True

    def __call__(self, images: jax.Array) -> jax.Array:
        """Returns logits `[B, classes]` of normalised images `[B, H, W, C]`."""
        weights = {name: variable[...] for name, variable in self.weights.items()}
        statistics = {name: variable[...] for name, variable in self.statistics.items()}
        train = not self.use_running_average
        logits, after = run(self.architecture.program, weights, statistics, images, train)
        if train:
            for name, variable in self.statistics.items():
                variable[...] = after[name]
        return logits.reshape(images.shape[0], -1)

    def arrays(self) -> Weights:
        """Returns trainable weights and running statistics by name, as numpy arrays."""
        return {name: np.asarray(variable[...]) for name, variable in {**self.weights, **self.statistics}.items()}


@nnx.jit
def logits_of(network: Network, images: jax.Array) -> jax.Array:
    """Returns logits `[B, classes]` of normalised images `[B, H, W, C]`, compiled once for equal networks and batches.

    To call the module itself is to compile each of its operations alone.
    """
    return network(images)
