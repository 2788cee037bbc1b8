import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.machine.archives import DAMAGED, MOST_SHRUNK, SMALL_BYTES, array_names, read_arrays
from search_spaces.documents import refused
from search_spaces.errors import InvalidInput

ARRAYS = {"a": np.arange(12, dtype=np.uint8).reshape(3, 4), "b": np.ones((2, 0)), "c": np.asfortranarray(np.eye(3))}


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file


def claimed(shape, dtype="|u1", content=b"x", compression=zipfile.ZIP_STORED):
    """Returns an archive whose header claims an array that is not there."""
    file, header = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a.npy", header.getvalue() + content)
    return file


def raw(header):
    """Returns an archive whose array has this header, whatever it says."""
    file, text = io.BytesIO(), header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    return file


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_saved(save):
    file = npz(save, **ARRAYS)
    assert array_names(file) == [*ARRAYS]
    found = read_arrays(file, ARRAYS)
    assert all(np.array_equal(found[name], array) and found[name].dtype == array.dtype
               for name, array in ARRAYS.items())


def test_only_the_arrays_that_are_asked_for_are_decompressed():
    file = npz(**ARRAYS)
    content = file.getvalue()
    damaged = io.BytesIO(content.replace(ARRAYS["a"].tobytes(), bytes(12)))  # fails the check sum of `a`
    assert read_arrays(damaged, ["b", "c", "none"]).keys() == {"b", "c"}
    with pytest.raises(zipfile.BadZipFile):
        read_arrays(damaged, ["a"])


@pytest.mark.parametrize(("file", "reason"), [
    (claimed((10**6, 10**6)), "'a.npy' has 1 bytes for an array of 1000000 x 1000000 uint8"),
    (claimed((2**40, 2**40), "<f8"), "'a.npy' has 1 bytes for an array of"),
    (claimed((-1,)), "'a.npy' has 1 bytes for an array of -1 uint8"),
    (claimed((), "|O", b"\x80\x04N."), "'a.npy' is pickled"),
    (raw("{'descr': '|u1', ("), "EOF in multi-line statement"),
    (io.BytesIO(b""), "File is not a zip file"), (npz(a=np.array([object()])), "'a.npy' is pickled"),
])
def test_a_header_that_lies_and_a_pickle_are_refused_before_anything_is_read(file, reason):
    with pytest.raises(InvalidInput, match=reason), refused("an archive must be intact", *DAMAGED):
        read_arrays(file, ["a"])


def test_what_shrinks_as_no_images_do_is_refused(monkeypatch):
    monkeypatch.setattr("evaluators.machine.archives.SMALL_BYTES", 10**5)
    shrunk = npz(np.savez_compressed, a=np.zeros(10**6, np.uint8))
    with pytest.raises(InvalidInput, match=r"'a\.npy' has 1,000,000 bytes in "):
        read_arrays(shrunk, ["a"])
    assert MOST_SHRUNK < 1032 and SMALL_BYTES < 2**30


def test_what_does_not_fit_into_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(InvalidInput, match=r"data must fit into the memory, but its arrays take [0-9]+ bytes"):
        read_arrays(npz(**ARRAYS), ARRAYS)


@given(st.data())
def test_a_damaged_archive_is_read_or_refused_in_one_line(data):
    content = npz(np.savez_compressed, **ARRAYS).getvalue()
    at, cut = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 9))
    damaged = io.BytesIO(content[:at] + data.draw(st.binary(max_size=9)) + content[at + cut:])
    try:
        with refused("an archive must be intact", *DAMAGED):
            read_arrays(damaged, array_names(damaged))
    except InvalidInput as error:
        assert str(error).isprintable()
