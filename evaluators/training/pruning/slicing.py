"""The arrays of a smaller network: those of a larger one, of the channels or blocks that are kept."""

import numpy as np

from evaluators.networks.weights import Weights
from evaluators.training.pruning.coupling import Selection
from search_spaces.architecture import Architecture
from search_spaces.layers import Convolution, Dense
from search_spaces.program import Operation, Program


def sliced(program: Program, arrays: Weights, small: Program, chosen: Selection) -> Weights:
    """Returns the arrays of a smaller program of the same operations, see `coupling.selection`.

    Where the channels that are left out are zero, it computes the same.
    """
    found: Weights = {}
    for index, (large, own) in enumerate(zip(program.operations, small.operations, strict=True), start=1):
        for name in own.arrays:
            array = arrays[name]
            found[name] = (_kernel(array, large, own, chosen[own.inputs[0]], chosen[index])
                           if name.endswith("/kernel") else array[chosen[index]])
    return found


def _kernel(kernel: np.ndarray, large: Operation, small: Operation, reads: np.ndarray, makes: np.ndarray) -> np.ndarray:
    """Returns the kernel that reads some channels and makes some."""
    match large.layer, small.layer:
        case Convolution() as layer, Convolution(groups=groups):
            channels = large.input_shapes[0][2]
            if layer.is_depthwise(channels):
                return kernel[..., makes]
            within = (reads % (channels // groups)).reshape(groups, -1)  # the inputs of each group
            of_filter = np.repeat(within, len(makes) // groups, axis=0)
            return kernel[:, :, of_filter.T, makes]
        case Dense(), _:
            height, width, channels = large.input_shapes[0]
            pixels = channels * np.arange(height * width)
            return kernel[(pixels[:, None] + reads).ravel()][:, makes]
    raise NotImplementedError(f"no smaller kernel of the layer {large.layer}")


def without_block(architecture: Architecture, arrays: Weights, index: int) -> Weights:
    """Returns the arrays of an architecture without one of its blocks."""
    names = architecture.block_names
    kept = [name for place, name in enumerate(names) if place != index]
    renamed = {name: f"{place}.{name.partition('.')[2]}" for place, name in enumerate(kept)}
    parts = {name: name.partition("/") for name in arrays}
    return {f"{renamed[block]}/{rest}": arrays[name] for name, (block, _, rest) in parts.items() if block in renamed}
