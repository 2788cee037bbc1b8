import os
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluators.machine import ownership
from evaluators.machine.ownership import (
    CACHE,
    DATA,
    NotOwn,
    directory_of,
    key,
    make_own,
    require_own,
    say_once,
    temporary_directory,
)

OTHER = 54321  # a user who is not this one
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(ownership, "_said", set())


@pytest.fixture
def path(tmp_path):
    """A file two directories down."""
    path = tmp_path / "one" / "two" / "file"
    path.parent.mkdir(parents=True)
    for made in (path.parent, path.parents[1]):
        made.chmod(0o755)
    path.write_text("content")
    path.chmod(0o644)
    return path


def test_what_only_this_user_can_change_is_their_own_be_it_there_or_not(path):
    require_own(path)
    require_own(path.parent)
    require_own(path.parent / "not" / "there")
    require_own(Path("/"))


@pytest.mark.parametrize(("part", "mode"), [
    (part, mode) for part in ("one", "one/two", "one/two/file") for mode in (0o777, 0o775, 0o722, 0o757, 0o620, 0o602)])
def test_a_path_that_others_can_write_somewhere_is_refused(path, tmp_path, part, mode):
    (tmp_path / part).chmod(mode | (0o100 if "file" not in part else 0))
    with pytest.raises(NotOwn, match=f"'{tmp_path / part}' can be written by others"):
        require_own(path)


def test_a_directory_like_tmp_is_in_nobodys_way(path, tmp_path):
    (tmp_path / "one").chmod(0o1777)
    require_own(path)
    assert stat.S_ISVTX & Path("/tmp").stat().st_mode  # the case that it is for
    path.chmod(0o1666)  # of a file, the bit means nothing
    with pytest.raises(NotOwn, match="file' can be written by others"):
        require_own(path)


@pytest.mark.parametrize("part", ["one", "one/two", "one/two/file"])
def test_a_path_that_leads_through_a_link_is_refused(path, tmp_path, part):
    moved = (tmp_path / part).rename(tmp_path / "moved")
    (tmp_path / part).symlink_to(moved)
    with pytest.raises(NotOwn, match=f"'{tmp_path / part}' is a symbolic link"):
        require_own(path)


@as_root
@pytest.mark.parametrize("part", ["one", "one/two", "one/two/file"])
def test_a_path_that_somebody_else_has_a_part_of_is_refused(path, tmp_path, part):
    os.chown(tmp_path / part, OTHER, OTHER)
    with pytest.raises(NotOwn, match=f"'{tmp_path / part}' belongs to another user"):
        require_own(path)


def test_what_belongs_to_root_is_as_good_as_ones_own_and_to_anybody_else_not(path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    require_own(Path("/"))
    if path.stat().st_uid != 0:
        with pytest.raises(NotOwn, match="belongs to another user"):
            require_own(path)


def test_a_relative_path_is_nobodys(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotOwn, match="'one/two' is no absolute path"):
        require_own(Path("one/two"))


def test_directories_are_where_the_xdg_specification_has_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("", "relative/path", None):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if given is not None:
            monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert directory_of(CACHE) == tmp_path / ".cache" / "paretonas"
    assert directory_of(DATA) == tmp_path / "data" / "paretonas"


def test_directories_that_are_made_are_closed_to_others_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        make_own(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "a", tmp_path / "a" / "b")] == [0o700, 0o700]
    (tmp_path / "a").chmod(0o777)
    with pytest.raises(NotOwn):
        make_own(tmp_path / "a" / "c")
    assert not (tmp_path / "a" / "c").exists()


def test_the_key_is_made_once_for_the_user_alone():
    with pytest.raises(FileNotFoundError):
        key()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: key(make=True), range(8)))
    path = directory_of(DATA) / "key"
    assert found == {key()} == {path.read_bytes()} and len(key()) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("damage", [lambda path: path.chmod(0o640), lambda path: path.write_bytes(b"short"),
                                    lambda path: path.chmod(0o602),
                                    lambda path: path.rename(path.with_name("x")) and path.symlink_to("x")])
def test_a_key_that_others_may_know_is_none(damage, monkeypatch):
    key(make=True)
    damage(directory_of(DATA) / "key")
    ownership._key.cache_clear()  # as for another process
    with pytest.raises(NotOwn):
        key(make=True)


def test_a_temporary_directory_is_where_it_was_asked_for_and_closed_to_others(tmp_path, monkeypatch, capsys):
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    with temporary_directory() as directory:
        assert directory.parent == tmp_path  # so that the link may change
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists() and capsys.readouterr().err == ""


def test_a_temporary_directory_is_not_made_where_others_could_exchange_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "open"))
    for _ in range(2):
        with temporary_directory() as directory:
            assert directory.parent == tmp_path / "data" / "paretonas" / "temporary"
    assert capsys.readouterr().err == (f"nas: temporary files are made in '{directory.parent}': '{tmp_path / 'open'}' "
                                       "can be written by others\n")


def test_what_a_killed_process_has_left_is_removed_and_what_another_one_has_is_not(tmp_path, monkeypatch):
    script = ("import os, tempfile\nfrom evaluators.machine.ownership import temporary_directory\n"
              "with temporary_directory() as directory:\n (directory / 'file').touch()\n os.kill(os.getpid(), 9)")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "paretonas-of-an-earlier-version").mkdir()
    with temporary_directory() as kept:
        subprocess.run([sys.executable, "-c", script], check=False)
        left = set(tmp_path.iterdir()) - {kept}
        assert len(left) == 2
        with temporary_directory() as other:
            assert {path.name for path in tmp_path.iterdir()} == {kept.name, other.name,
                                                                  "paretonas-of-an-earlier-version"}


def test_what_one_process_says_another_one_need_not(monkeypatch, capsys):
    monkeypatch.setenv("PARETONAS_SILENT", "1")
    say_once("one")
    monkeypatch.delenv("PARETONAS_SILENT")
    say_once("two")
    assert capsys.readouterr().err == "nas: two\n"
