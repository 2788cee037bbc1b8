"""Functions of arrays that are compiled once: kept in memory and on disk, and found again without being traced.

JAX's own caches are not used for them. `jax.jit` keeps what it traced and lowered for as long as the function lives,
some 2 MB for each of the hundreds of small programs of a search, and its persistent cache has to trace and lower a
program before it can find it, which takes longer than loading it. An executable is named by its function, by what that
function was made of, by the form of its arguments, and by all that decides what the compiler makes of them.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.experimental import serialize_executable

from evaluators.machine.devices import cores
from evaluators.machine.disk_cache import Storage
from evaluators.machine.ownership import CACHE, directory_of
from evaluators.training.data_parallel import Sharing
from search_spaces.errors import require

IN_MEMORY = 256  # executables, of about 0.6 MB each on CPU; a network of 17 blocks takes a hundred
LIMIT, DEFAULT_LIMIT_MB = "PARETONAS_CACHE_MB", 1000
# LLVM keeps to 256 bits on processors that used to lower their clock for more; where there are none, it is ignored
CPU_OPTIONS: Mapping[str, Any] = {"xla_cpu_prefer_vector_width": "512"}
SOURCES = tuple(Path(__file__).parents[2] / package for package in ("evaluators", "search_spaces"))


Devices = tuple[jax.Device, ...]


class Executable:
    """A pure function of arrays, compiled when it is first called with arguments of a form."""

    def __init__(self, function: Callable, *parameters: object, donated: tuple[int, ...] = (),
                 cpu_options: Mapping[str, Any] = MappingProxyType({}), sharing: Sharing | None = None) -> None:
        """Keeps the function that is to be compiled.

        Args:
            function: of arrays, or trees of them, given by position.
            parameters: what it was made of, besides its source: equal `repr` must mean equal programs.
            donated: arguments that it may reuse the memory of.
            cpu_options: what XLA's compiler for CPUs is told; what a version of it does not know is left out.
            sharing: the devices that share its work; all of them have its results.
        """
        self._function, self._parameters, self._donated = function, parameters, donated
        self._cpu_options = {**CPU_OPTIONS, **cpu_options}
        self._sharing = sharing
        self._loaded: Callable | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Returns the result of the function."""
        if self._sharing is not None:
            arguments = self._sharing.placed(arguments)
        if self._loaded is not None:
            try:
                return self._loaded(*arguments)
            except TypeError:  # arguments of another form
                pass
        devices = self._sharing.devices if self._sharing is not None else (_device(),)
        self._loaded = _found(self._key(arguments), devices, functools.partial(self._compiled, arguments))
        return self._loaded(*arguments)

    def _key(self, arguments: tuple) -> str:
        leaves, tree = jax.tree.flatten(arguments)
        form = [(np.shape(leaf), str(jax.dtypes.result_type(leaf))) for leaf in leaves]
        named = (_environment(), _device().id, jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision,
                 self._function.__qualname__, self._parameters, self._donated, self._cpu_options, str(tree),
                 form, self._sharing)
        return hashlib.sha256(repr(named).encode()).hexdigest()

    def _compiled(self, arguments: tuple) -> jax.stages.Compiled:
        # a function of its own, so that what JAX keeps of it ends with it
        function = functools.partial(self._function)
        results = {} if self._sharing is None else {"out_shardings": self._sharing.whole}
        lowered = jax.jit(function, donate_argnums=self._donated, **results).lower(*arguments)
        if _device().platform == "cpu":
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # it does not know one of them
                return lowered.compile(self._cpu_options)
        return lowered.compile()


def storage() -> Storage:
    """Returns the storage of executables between processes: the user's cache directory, at most `LIMIT` megabytes."""
    given = os.environ.get(LIMIT, str(DEFAULT_LIMIT_MB))
    require(given.isdecimal(), f"{LIMIT} must be a whole number of megabytes, but got '{given}'")
    return _storage(directory_of(CACHE) / "executables", 10**6 * int(given))


_storage = functools.cache(Storage)
_futures: OrderedDict[str, Future] = OrderedDict()
_lock = threading.Lock()
_anew: ContextVar[set[str] | None] = ContextVar("_anew", default=None)  # what was compiled in `compiled_anew`


@contextlib.contextmanager
def compiled_anew() -> Iterator[None]:
    """Compiles each function that is first called within it, be it known or not: to measure how long that takes."""
    token = _anew.set(set())
    try:
        yield
    finally:
        _anew.reset(token)


def _found(key: str, devices: Devices, compiled: Callable[[], jax.stages.Compiled]) -> Callable:
    """Returns the executable of a name; of threads that ask for it at once, one gets it and the others wait."""
    anew = _anew.get()
    with _lock:
        future = _futures.get(key) if anew is None or key in anew else None
        ours = future is None
        if future is None:
            future = _futures[key] = Future()
        _futures.move_to_end(key)
        while len(_futures) > IN_MEMORY:
            _futures.popitem(last=False)
    if anew is not None:
        anew.add(key)
    if ours:
        try:
            future.set_result((_loaded(key, devices) if anew is None else None)
                              or _made(key, devices, compiled()))
        except BaseException as error:
            with _lock:
                _futures.pop(key, None)
            future.set_exception(error)
    return future.result()


def _made(key: str, devices: Devices, compiled: jax.stages.Compiled) -> Callable:
    """Returns the executable as other processes will load it, or as it is where JAX's persistent cache is in use.

    What came out of that cache cannot be written again: XLA leaves some of its functions out.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return compiled
    content = pickle.dumps(serialize_executable.serialize(compiled))
    storage().write(key, content)
    return _load(content, devices)


def _loaded(key: str, devices: Devices) -> Callable | None:
    content = storage().read(key)
    try:
        return None if content is None else _load(content, devices)
    except Exception:  # of whatever kind: it can be made again
        return None


def _load(content: bytes, devices: Devices) -> Callable:
    program = pickle.loads(content)  # noqa: S301 - the storage gives only what this user has written
    return serialize_executable.deserialize_and_load(*program, execution_devices=devices)


@functools.cache
def _environment() -> tuple:
    """Returns the versions, device and sources that decide the machine code of a function and its arguments."""
    device = _device()
    sources = hashlib.sha256()
    for path in sorted(path for directory in SOURCES for path in directory.rglob("*.py")):
        sources.update(path.read_bytes())
    return (sources.hexdigest(), jax.__version__, jaxlib.__version__, device.client.platform_version,
            device.device_kind, os.environ.get("XLA_FLAGS"), platform.machine(), _processor(), cores(),
            os.environ.get("PJRT_NPROC"))  # threads, by which work is divided when it is compiled


def _device() -> jax.Device:
    default = jax.config.jax_default_device
    return default if isinstance(default, jax.Device) else jax.local_devices(backend=default)[0]


def _processor() -> str:
    """Returns the instructions that the processor knows, where the system tells, else its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
