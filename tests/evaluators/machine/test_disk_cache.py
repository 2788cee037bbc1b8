import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.machine import ownership
from evaluators.machine.disk_cache import Storage

OTHER = 54321  # a user who is not this one


@pytest.fixture(autouse=True)
def own_data(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setattr(ownership, "_said", set())


@pytest.fixture
def storage(tmp_path):
    return Storage(tmp_path / "caches" / "storage", 1000)


def give_away(path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to somebody else")
    os.chown(path, OTHER, OTHER)


def open_to_all(path):
    path.chmod(path.stat().st_mode | 0o022)


def lead_away(path):
    """Puts it into a directory that anybody can write, and a link in its place."""
    away = path.with_name("away")
    away.mkdir()
    away.chmod(0o777)
    path.symlink_to(path.rename(away / path.name))


def test_what_was_written_is_read_again_by_anyone(storage):
    storage.write("one", b"first\nsecond")
    assert Storage(storage.directory, 1000).read("one") == b"first\nsecond"
    assert storage.read("two") is None


def test_the_directory_is_the_users_own(storage):
    storage.write("one", b"1")
    assert storage.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_neither_waited_for_nor_replaced(storage, make, capsys):
    storage.write("one", b"1")
    make(storage.directory / "two")
    assert storage.read("two") is None
    storage.write("two", b"2")
    assert capsys.readouterr().err.endswith(f"'{storage.directory / 'two'}' is no file\n")
    assert storage.read("one") == b"1"


@pytest.mark.parametrize("part", ["caches", "caches/storage", "caches/storage/one"])
@pytest.mark.parametrize("change", [give_away, open_to_all, lead_away])
def test_nothing_is_loaded_from_or_kept_where_others_have_a_hand_in_and_that_is_said_once(
        storage, part, change, tmp_path, capsys):
    storage.write("one", b"content")
    before = storage.directory.stat().st_mtime_ns
    change(tmp_path / part)
    for _ in range(2):
        assert storage.read("one") is None
    storage.write("one", b"other")
    storage.write("two", b"other") if "one" not in part else None
    assert storage.directory.stat().st_mtime_ns == before or change is lead_away
    assert len(list(storage.directory.glob("*"))) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"nas: nothing is kept in '{storage.directory}' or loaded from it: '{tmp_path / part}' ")


def test_a_file_that_is_moved_to_another_name_is_not_found(storage):
    storage.write("one", b"content")
    (storage.directory / "one").rename(storage.directory / "two")
    assert storage.read("two") is None


def test_what_was_written_with_the_key_of_somebody_else_is_not_found(storage, tmp_path, monkeypatch):
    storage.write("one", b"content")
    assert storage.read("one") == b"content"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    assert storage.read("one") is None
    assert not (tmp_path / "elsewhere").exists()  # reading makes no key
    storage.write("two", b"content")
    assert storage.read("one") is None and storage.read("two") == b"content"


def test_what_bears_nothing_but_its_own_hash_is_not_found(storage):
    storage.write("one", b"content")
    (storage.directory / "one").write_bytes(hashlib.sha256(b"other").hexdigest().encode() + b"\nother")
    assert storage.read("one") is None


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


def test_a_disk_that_is_full_is_named_once_and_nothing_else_is_lost(storage, little_room, capsys):
    storage.write("one", b"1")
    with little_room:
        for name in ("two", "three"):
            storage.write(name, bytes(200))
    assert (storage.read("one"), storage.read("two"), storage.read("three")) == (b"1", None, None)
    assert capsys.readouterr().err == f"nas: nothing more is kept in '{storage.directory}': File too large\n"
