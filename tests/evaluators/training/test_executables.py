import hashlib
import os
import pickle
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evaluators.training import executables
from evaluators.training.executables import Executable, compiled_anew, storage
from search_spaces import InvalidInput


@pytest.fixture(autouse=True)
def of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def one_in_memory(monkeypatch):
    monkeypatch.setattr(executables, "IN_MEMORY", 1)


def scaled(factor, traced):
    def function(x):
        traced.append(x.shape)
        return x * factor
    return function


def test_a_function_of_equal_parameters_is_traced_once_for_each_form_of_its_arguments():
    traced = []
    for length in (3, 4, 3, 4):
        found = Executable(scaled(2, traced), 2)(jnp.ones(length))
        np.testing.assert_array_equal(found, np.full(length, 2))
    one = Executable(scaled(2, traced), 2)
    for length in (3, 4, 3):
        assert one(jnp.ones(length)).shape == (length,)
    assert traced == [(3,), (4,)]
    assert Executable(scaled(3, traced), 3)(jnp.ones(3))[0] == 3


def test_the_type_of_numbers_is_part_of_the_form():
    double = Executable(lambda x: x + x, "double")
    assert double(jnp.ones(2, jnp.int32)).dtype == jnp.int32
    assert double(jnp.ones(2, jnp.float32)).dtype == jnp.float32
    with jax.enable_x64(True):
        assert double(np.ones(2, np.float64)).dtype == np.float64


def test_an_option_that_the_compiler_does_not_know_is_left_out():
    assert Executable(lambda x: x + x, "double", cpu_options={"xla_cpu_no_such_option": True})(jnp.ones(2))[0] == 2


@pytest.mark.usefixtures("one_in_memory")
def test_what_memory_has_no_room_for_is_found_on_disk():
    traced = []
    for factor in (2, 3, 2, 3):
        assert Executable(scaled(factor, traced), factor)(jnp.ones(5))[0] == factor
    assert len(traced) == 2


@pytest.mark.usefixtures("one_in_memory")
def test_machine_code_of_another_number_of_threads_is_not_taken(monkeypatch):
    traced = []
    for threads in ("1", "2", "1"):
        monkeypatch.setenv("PJRT_NPROC", threads)
        executables._environment.cache_clear()
        Executable(scaled(2, traced), 2)(jnp.ones(3))
        Executable(scaled(3, []), 3)(jnp.ones(3))  # which memory has room for alone
    assert traced == [(3,), (3,)]
    executables._environment.cache_clear()


@pytest.mark.usefixtures("one_in_memory")
def test_what_was_damaged_or_forgotten_is_compiled_again():
    traced = []

    def evaluate():
        Executable(lambda x: x - 1, "other")(jnp.ones(6))
        assert Executable(scaled(2, traced), 2)(jnp.ones(6))[0] == 2

    evaluate()
    for path in storage().directory.iterdir():
        path.write_bytes(b"not an executable")
    evaluate()
    for path in storage().directory.iterdir():
        storage().write(path.name, b"whole, but not an executable")
    evaluate()
    for path in storage().directory.iterdir():
        path.unlink()
    evaluate()
    assert len(traced) == 4


class Planted:
    """What makes a directory when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.usefixtures("one_in_memory")
def test_what_somebody_else_has_put_there_is_not_executed(tmp_path, monkeypatch):
    """Under the name of a function, with a hash of itself and with the code of a key that is not this user's."""
    traced, ran, ours = [], tmp_path / "ran", storage().directory

    def evaluate():
        Executable(lambda x: x - 1, "other")(jnp.ones(4))
        assert Executable(scaled(2, traced), 2)(jnp.ones(4))[0] == 2

    evaluate()
    content = pickle.dumps(Planted(ran))
    for path in ours.iterdir():
        path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    evaluate()
    with monkeypatch.context() as somebody:
        somebody.setenv("XDG_DATA_HOME", str(tmp_path / "somebody"))
        for path in ours.iterdir():
            storage().write(path.name, content)
    evaluate()
    assert len(traced) == 3 and not ran.exists()
    storage().write("control", content)
    executables._loaded("control", ())
    assert ran.exists()  # it would have been


def test_threads_that_need_the_same_compile_it_once():
    traced, found, together = [], [], threading.Barrier(4)

    def evaluate():
        together.wait()
        found.append(Executable(scaled(2, traced), 2)(jnp.ones(7)))

    threads = [threading.Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and traced == [(7,)]


def test_what_cannot_be_compiled_is_an_error_each_time():
    def broken(x):
        raise ArithmeticError("no such function")

    for _ in range(2):
        with pytest.raises(ArithmeticError, match="no such function"):
            Executable(broken)(jnp.ones(2))


def test_donated_arguments_are_given_up():
    x = jnp.ones(8)
    assert Executable(lambda x: x + 1, "increment", donated=(0,))(x)[0] == 2
    assert x.is_deleted()


@pytest.mark.usefixtures("one_in_memory")
def test_nothing_is_kept_on_disk_where_the_bound_is_0(monkeypatch):
    monkeypatch.setenv("PARETONAS_CACHE_MB", "0")
    traced = []
    for factor in (2, 3, 2):
        assert Executable(scaled(factor, traced), factor)(jnp.ones(9))[0] == factor
    assert len(traced) == 3 and not storage().directory.exists()


def test_the_bound_on_disk_is_a_whole_number(monkeypatch):
    monkeypatch.setenv("PARETONAS_CACHE_MB", "12")
    assert storage().limit_bytes == 12_000_000
    monkeypatch.setenv("PARETONAS_CACHE_MB", "1GB")
    with pytest.raises(InvalidInput, match="PARETONAS_CACHE_MB must be a whole number of megabytes, but got '1GB'"):
        storage()


def test_what_is_known_is_compiled_anew_once_when_its_compilation_is_to_be_measured():
    traced = []
    for _ in range(2):
        Executable(scaled(2, traced), 2)(jnp.ones(3))
    with compiled_anew():
        for _ in range(2):
            assert Executable(scaled(2, traced), 2)(jnp.ones(3))[0] == 2
    Executable(scaled(2, traced), 2)(jnp.ones(3))
    assert len(traced) == 2
