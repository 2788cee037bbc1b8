"""The importance of the channels and blocks of a trained network: by how much the loss would change without them.

`taylor` is the first-order estimate of that on training images, |activation times gradient| (Molchanov et al. 2017,
"Pruning Convolutional Neural Networks for Resource Efficient Inference", equation 8; Molchanov et al. 2019,
"Importance Estimation for Neural Network Pruning", section 3.2, for channels that are added to one another).
`batch-norm` needs no images: the scale of a channel (Liu et al. 2017, "Learning Efficient Convolutional Networks
through Network Slimming", section 3).
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evaluators.machine.locks import training_turn
from evaluators.networks.network import Moments, batch_moments, execute
from evaluators.networks.weights import Weights
from evaluators.training.executables import Executable
from evaluators.training.pruning.coupling import Selection
from evaluators.training.train import Images
from search_spaces.architecture import Architecture
from search_spaces.errors import require
from search_spaces.layers import BatchNorm
from search_spaces.program import Operation

BATCH = 64
MOST_BATCHES = 16


@dataclass(frozen=True)
class Importance:
    """The importance of the parts of a network, in one unit.

    Attributes:
        channels: for each value `[C]`, zeros where the channels were not made but handed on.
        blocks: for each block `[C]`, by the channels that it leaves, what is lost without it; infinite where it cannot
            be left out.
    """

    channels: Selection
    blocks: tuple[np.ndarray, ...]


Measure = Callable[[Architecture, Weights, Images], Importance]


def taylor(architecture: Architecture, arrays: Weights, training: Images) -> Importance:
    """Returns the importance to the loss on training images, in the mean over some batches of them."""
    draw = training.batches(architecture.input.resolution)
    order = np.random.default_rng(0).permutation(len(training.labels))
    size = min(BATCH, len(order))
    batches = order[:len(order) // size * size].reshape(-1, size)[:MOST_BATCHES]
    estimate = Executable(lambda arrays, images, labels: _products(architecture, arrays, images, labels), architecture)
    with training_turn():
        found = [jax.device_get(estimate(arrays, *draw(training.images, training.labels, chosen, np.uint32(0))))
                 for chosen in batches]
    channels, blocks = (tuple(np.mean(np.abs(of), axis=0) for of in zip(*part, strict=True))
                        for part in zip(*found, strict=True))
    makes = [np.zeros(architecture.program.input_shape[2])]
    makes += [product * _counts(architecture, operation, index)
              for index, (operation, product) in enumerate(zip(architecture.program.operations, channels, strict=True))]
    return Importance(tuple(makes), tuple(
        block if program.input_shape == program.output_shape else np.full(program.output_shape[2], np.inf)
        for block, program in zip(blocks, architecture.block_programs, strict=True)))


def _counts(architecture: Architecture, operation: Operation, index: int) -> bool:
    """Tells whether an operation makes channels that are not scaled by a batch norm right behind it."""
    program = architecture.program
    readers = program.readers[index + 1]
    return bool(operation.weights) and not (
        len(readers) == 1 and isinstance(program.operations[readers[0]].layer, BatchNorm))


def _products(architecture: Architecture, arrays: Weights, images: jax.Array, labels: jax.Array
              ) -> tuple[list[jax.Array], list[jax.Array]]:
    """Returns the sums by channel of activation times gradient of each operation, and of each block's own part.

    The former is the sum of weight times gradient over the weights that make the channel, since its activation is
    linear in these; the latter that of what the block changes.
    """
    shapes = [program.output_shape for program in architecture.block_programs]

    def loss(arrays: Weights, probes: list[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        x, changes = images, []
        for name, program, probe in zip(architecture.block_names, architecture.block_programs, probes, strict=True):
            own = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
            y = execute(program.operations, (x,), own, _of_batch)
            changes.append(y - x if x.shape == y.shape else y)
            x = y + probe
        logits = x.reshape(len(images), -1)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), changes

    probes = [jnp.zeros((len(images), *shape), images.dtype) for shape in shapes]
    (of_arrays, of_ends), changes = jax.grad(loss, (0, 1), has_aux=True)(arrays, probes)
    return ([sum((_by_channel(arrays[name], of_arrays[name]) for name in operation.weights),
                 start=jnp.zeros(operation.output_shape[2])) for operation in architecture.program.operations],
            list(map(_by_channel, changes, of_ends)))


def _of_batch(_: Operation, x: jax.Array) -> Moments:
    """Returns the statistics of the batch, as in training: the gradient of batch norms is that of these."""
    return batch_moments(x)


def _by_channel(values: jax.Array, gradients: jax.Array) -> jax.Array:
    return jnp.sum(values * gradients, tuple(range(values.ndim - 1)))


def batch_norm(architecture: Architecture, arrays: Weights, training: Images) -> Importance:
    """Returns the scales of batch norms; a block has that of the last one in it.

    Channels that none scales, such as those of a squeeze or between two factors, count as the mean one.

    Raises:
        InvalidInput: a network without batch norms.
    """
    operations = architecture.program.operations
    scales = {operation.name: np.abs(arrays[f"{operation.name}/scale"]) for operation in operations
              if isinstance(operation.layer, BatchNorm)}
    require(bool(scales), f"importance by batch-norm needs batch norms, but '{architecture}' has none; taylor does not")
    blocks = []
    for name, program in zip(architecture.block_names, architecture.block_programs, strict=True):
        last = [scale for key, scale in scales.items() if key.startswith(f"{name}/")][-1:]
        lost = np.sum(last) if last and program.input_shape == program.output_shape else np.inf
        blocks.append(np.full(program.output_shape[2], lost / program.output_shape[2]))
    mean = np.mean(np.concatenate(list(scales.values())))
    return Importance((np.zeros(architecture.input.channels), *(
        scales[operation.name] if operation.name in scales else
        np.full(operation.output_shape[2], mean * _counts(architecture, operation, index))
        for index, operation in enumerate(operations))), tuple(blocks))


MEASURES: dict[str, Measure] = {"taylor": taylor, "batch-norm": batch_norm}
