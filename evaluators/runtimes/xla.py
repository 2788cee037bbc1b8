"""XLA: the network as StableHLO, serialised by `jax.export` and run by JAX on its default device.

The file is for `jax.export.deserialize`, on a CPU, a GPU or a TPU. Its texts are enclosed at its end.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from evaluators.machine.files import write_whole
from evaluators.runtimes.enclosed import enclosed
from evaluators.runtimes.runtime import Argument, Arrays, Place, Session, as_taken, moments
from evaluators.runtimes.target import Options, Target
from search_spaces.architecture import Architecture
from search_spaces.errors import require

PLATFORMS = ("cpu", "cuda", "tpu")
LOCATIONS = "jax_traceback_in_locations_limit"  # how many frames of our sources the operations of a module name


@dataclass(frozen=True)
class Xla:
    """JAX's compiler, on the device that JAX takes by default."""

    argument: ClassVar[Argument] = Argument.NONE
    options: tuple[str, ...] = ("threads", "batch", "cores")
    format: str = "stablehlo"
    suffix: str = ".stablehlo"
    input_layout: str = "float32 [batch, height, width, channels]"
    module: str = "jax"

    @property
    def place(self) -> Place:
        """The place of timings: here where JAX's default device is a GPU or TPU, which one process owns; else apart."""
        import jax

        return Place.APART if jax.default_backend() == "cpu" else Place.HERE

    def bound(self, target: Target) -> Self:
        """Returns this runtime; threads are as many as the cores that the process may use."""
        options = target.options
        require(len(options.cores) in (0, options.threads), f"xla has a thread on each core, but got "
                f"threads={options.threads} for {len(options.cores)} cores")
        return self

    def versions(self) -> dict[str, str]:
        """Returns the versions of jax and jaxlib."""
        import jax
        import jaxlib

        return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}

    def write(self, architecture: Architecture, arrays: Arrays, path: Path, metadata: Mapping[str, str],
              images: np.ndarray | None = None, *, inside: bool = False) -> None:
        """Writes the network with its weights as constants, for a batch of any size on any of `PLATFORMS`."""
        import jax
        import jax.numpy as jnp

        from evaluators.networks.network import forward

        program = architecture.program
        constants = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        mean, std = moments(metadata) if inside else (None, None)

        def network(images: Any) -> Any:
            normalised = (images.astype(jnp.float32) / 255 - mean) / std if inside else images
            return forward(program, constants, normalised)

        shape = jax.export.symbolic_shape("batch, " + ", ".join(map(str, program.input_shape)))
        with _without_our_paths():
            exported = jax.export.export(jax.jit(network), platforms=PLATFORMS)(
                jax.ShapeDtypeStruct(shape, jnp.uint8 if inside else jnp.float32))
        write_whole(path, enclosed(bytes(exported.serialize()), metadata))

    def load(self, path: Path, options: Options) -> Session:
        """Returns the file, compiled for each batch on its first run.

        On the CPU, threads are as many as the process has cores to run on; other devices have none to set.
        """
        import jax

        on_cpu_only = {name: value for name, value in options.given.items() if name in ("threads", "cores")}
        require(self.place is Place.APART or not on_cpu_only, "xla takes `threads` and `cores` on a CPU only, but got "
                f"{on_cpu_only} on {jax.default_backend()}")
        exported = jax.export.deserialize(bytearray(path.read_bytes()))
        return XlaSession(jax.jit(exported.call), exported.in_avals[0].dtype)


@contextmanager
def _without_our_paths() -> Iterator[None]:
    """Keeps the places of our sources out of modules, which would be others wherever they are installed."""
    import jax

    before = getattr(jax.config, LOCATIONS)
    jax.config.update(LOCATIONS, 0)
    try:
        yield
    finally:
        jax.config.update(LOCATIONS, before)


@dataclass(frozen=True)
class XlaSession:
    """A compiled function from images to logits."""

    call: Callable[[Any], Any]
    kind: np.dtype

    def run(self, images: np.ndarray) -> np.ndarray:
        """Returns logits `[B, classes]` of images `[B, H, W, C]`, normalised or bytes as the file takes them."""
        return np.asarray(self.call(as_taken(images, self.kind)))

    def prepared(self, images: np.ndarray) -> Callable[[], None]:
        """Returns a function that runs these images once, which lie on the device, and waits for the logits."""
        import jax

        placed = jax.device_put(as_taken(images, self.kind))
        compiled = self.call.lower(placed).compile()  # type: ignore[attr-defined]
        return lambda: compiled(placed).block_until_ready()
