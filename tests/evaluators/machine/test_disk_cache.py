import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.machine.disk_cache import Storage


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path / "storage", 1000)


def test_what_was_written_is_read_again_by_anyone(storage):
    storage.write("one", b"first\nsecond")
    assert Storage(storage.directory, 1000).read("one") == b"first\nsecond"
    assert storage.read("two") is None


def test_the_directory_is_the_users_own(storage):
    storage.write("one", b"1")
    assert storage.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:10], lambda content: b"",
                                    lambda content: content[:-1] + bytes([content[-1] ^ 1])])
def test_what_was_damaged_is_not_found(storage, damage):
    storage.write("one", b"content")
    path = storage.directory / "one"
    path.write_bytes(damage(path.read_bytes()))
    assert storage.read("one") is None


def test_the_least_recently_used_go_first(storage):
    for name in "abcd":
        storage.write(name, bytes(150))
        os.utime(storage.directory / name, ns=(0, ord(name)))
    assert storage.read("a") is not None
    storage.write("e", bytes(150))
    assert [name for name in "abcde" if storage.read(name) is not None] == ["a", "c", "d", "e"]


@given(sizes=st.lists(st.sampled_from([0, 30, 200, 800, 1001, 1500]), max_size=30),
       others=st.lists(st.integers(0, 500), max_size=5))
def test_it_never_exceeds_its_limit(tmp_path_factory, sizes, others):
    directory = tmp_path_factory.mktemp("storage")
    for number, size in enumerate(others):
        Storage(directory, 3000).write(f"other {number}", bytes(size))
    storage = Storage(directory, 1000)
    for number, size in enumerate(sizes):
        storage.write(str(number), bytes(size))
        assert (storage.read(str(number)) is None) == (size > 800)
        assert size > 800 or storage.size_bytes() <= 1000


def test_nothing_is_kept_in_no_space_or_where_nothing_can_be_written(tmp_path):
    none = Storage(tmp_path / "none", 0)
    none.write("one", b"1")
    assert none.read("one") is None and not none.directory.exists()
    (tmp_path / "file").write_text("")
    blocked = Storage(tmp_path / "file", 1000)
    blocked.write("one", b"1")
    assert blocked.read("one") is None
