"""Published data, small tables in `tests/data` and larger ones beside the repository; and how processes are set up."""

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from experiments.postgresql import binaries, running

PLACES = (Path(__file__).parent / "data", Path(__file__).parents[1] / "../shared/data")


settings.register_profile("drawn", deadline=None)  # a busy machine is slow, and slowness is no failure
settings.register_profile("seeded", deadline=None, derandomize=True)  # what passes here passes there


def pytest_configure(config):
    """Sets up this process and those that tests start, before any of them imports JAX.

    What LLVM does for speed would take a sixth of the time. With slow tests, all is compiled as at the user's.
    """
    fast = config.option.markexpr == "not slow"
    settings.load_profile("seeded" if fast else "drawn")
    if fast:
        os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each process that a test starts compiles all modules anew
    sys.dont_write_bytecode = False  # nor are tests that were rewritten once rewritten again
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # there is a process for each core


@pytest.fixture(scope="session")
def published():
    """Returns the path of a published file: `published(folder, name)`; skips the test where it is not here."""
    def find(folder: str, name: str) -> Path:
        for place in PLACES:
            if (place / folder / name).is_file():
                return place / folder / name
        pytest.skip(f"{folder}/{name} is not beside the repository, in ../shared/data")
    return find


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server for all tests: `postgresql.new_database()` is the address of an empty database."""
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with running(fsync="off") as server:
        yield server


@pytest.fixture
def little_room():
    """A context in which no file grows beyond 100 bytes, as on a disk that is full."""
    @contextlib.contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return limited()


@pytest.fixture(scope="session", autouse=True)
def interrupts():
    """A shell ignores SIGINT for what it starts in the background, nohup SIGHUP, and so would processes of tests."""
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
              signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def own_turns(tmp_path_factory):
    """Nothing here waits for who measures or trains elsewhere on the machine: the locks are in a directory of ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETONAS_LOCKS", str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory):
    """What tests begin with is not remembered at the user's, nor by a key of the user's.

    The key is that of all workers, so that each finds the programs that another one has compiled.
    """
    base = tmp_path_factory.getbasetemp()
    data = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "XDG_DATA_HOME"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("XDG_STATE_HOME")))
        patch.setenv("XDG_DATA_HOME", str(data))
        yield
