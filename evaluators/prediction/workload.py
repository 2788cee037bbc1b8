"""The work that a network is for a device: its operations as numbers, of which latency is predicted."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.layers import FLOAT32_BYTES, Activation, BatchNorm, Convolution, Dense, Pool
from search_spaces.program import Operation, Program

EFFORTS = ("operations", "macs", "moved_bytes", "weight_bytes")  # what an operation may take its time for


class Job(NamedTuple):
    """One operation as a device sees it. Batch norm is none: every runtime folds it away."""

    kind: str
    stride: int
    pixels: int  # of the output
    channels_in: int
    channels_out: int
    macs: int
    moved_bytes: int  # read and written activations
    weight_bytes: int


@dataclass(frozen=True)
class Workload:
    """The distinct jobs of some networks, and how often each network (N of them) does each job (J of them)."""

    jobs: tuple[Job, ...]
    counts: np.ndarray  # [N, J]

    @classmethod
    def of(cls, architectures: Sequence[Architecture]) -> "Workload":
        """Returns the workload of architectures, one row for each."""
        index: dict[Job, int] = {}
        found = [Counter(index.setdefault(job, len(index)) for program in architecture.block_programs
                         for job in jobs(program)) for architecture in architectures]
        counts = np.zeros((len(found), len(index)))
        for row, counted in enumerate(found):
            counts[row, list(counted)] = list(counted.values())
        return cls(tuple(index), counts)

    @cached_property
    def efforts(self) -> np.ndarray:
        """The `EFFORTS` of each job, `[J, 4]`."""
        return np.array([(1, job.macs, job.moved_bytes, job.weight_bytes) for job in self.jobs], float)

    @cached_property
    def kinds(self) -> np.ndarray:
        """The kind of each job, `[J]`."""
        return np.array([job.kind for job in self.jobs])

    @cached_property
    def shapes(self) -> np.ndarray:
        """The sizes that jobs of one kind differ in, `[J, 4]`: sizes by their factors of two, pixels along a side."""
        return np.array([(math.log2(job.stride), math.log2(job.pixels) / 2, math.log2(job.channels_in),
                          math.log2(job.channels_out)) for job in self.jobs])


@lru_cache(maxsize=4096)
def jobs(program: Program) -> tuple[Job, ...]:
    """Returns the jobs of a program in execution order."""
    return tuple(_job(operation) for operation in program.operations if not isinstance(operation.layer, BatchNorm))


def _job(operation: Operation) -> Job:
    (height, width, channels_out), layer = operation.output_shape, operation.layer
    moved = sum(map(math.prod, (*operation.input_shapes, operation.output_shape)))
    return Job(_kind(operation), layer.stride if isinstance(layer, Convolution | Pool) else 1, height * width,
               operation.input_shapes[0][2], channels_out, operation.macs, FLOAT32_BYTES * moved,
               FLOAT32_BYTES * operation.params)


def _kind(operation: Operation) -> str:
    """Returns the kind of a device's own code: the layer, with its function or its window."""
    layer, shape = operation.layer, operation.input_shapes[0]
    if isinstance(layer, Activation):
        return layer.function
    if isinstance(layer, Pool):
        return f"{layer.function} pool {layer.kernel}x{layer.kernel}"
    if isinstance(layer, Dense) or (isinstance(layer, Convolution) and shape[:2] == (1, 1) and layer.groups == 1):
        return "dense"
    if isinstance(layer, Convolution):
        form = "depthwise" if layer.is_depthwise(shape[2]) else "grouped" if layer.groups > 1 else "convolution"
        return f"{form} {layer.kernel[0]}x{layer.kernel[1]}"
    return layer.label
