"""One training on several devices: each has the whole state, and computes its share of every batch.

The compiler divides the program (Xu et al. 2021, GSPMD) and adds what devices tell each other: sums of gradients, and
of the statistics of batch norm, which are those of the whole batch. So the numbers are those of one device but for
rounding.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_IMAGES = "images"  # the axis of the devices


@dataclass(frozen=True)
class Sharing:
    """Devices that share the images of a batch.

    Attributes:
        devices: at least two, of one kind.
        shared: the arguments of a function, by place, whose arrays have a first axis of images; scalars among them, and
            all other arguments, every device has.
    """

    devices: tuple[jax.Device, ...]
    shared: tuple[int, ...]

    @property
    def whole(self) -> NamedSharding:
        """The placement of values that every device has."""
        return NamedSharding(self._mesh, PartitionSpec())

    def placed(self, arguments: tuple) -> tuple:
        """Returns the arguments on the devices; those that lie there stay where they are."""
        divided = NamedSharding(self._mesh, PartitionSpec(_IMAGES))

        def placement(argument: Any, shared: bool) -> Any:
            return jax.tree.map(lambda leaf: divided if shared and np.ndim(leaf) else self.whole, argument)

        return jax.device_put(arguments, tuple(placement(argument, place in self.shared)
                                               for place, argument in enumerate(arguments)))

    @property
    def _mesh(self) -> Mesh:
        return Mesh(np.array(self.devices), (_IMAGES,))


def sharing(batch: int, shared: tuple[int, ...]) -> Sharing | None:
    """Returns the sharing of a batch by this process's devices; None where there is one, or they do not divide it."""
    devices = tuple(jax.local_devices())
    return Sharing(devices, shared) if len(devices) > 1 and batch % len(devices) == 0 else None
