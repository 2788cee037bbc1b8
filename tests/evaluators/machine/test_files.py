import os
import signal
import subprocess
import sys

import pytest

from evaluators.machine.files import require_writable, whole_directory, write_whole
from search_spaces import InvalidInput


def test_a_file_takes_the_place_of_the_one_before_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "file.bin"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "nowhere" / "file.bin"
    with pytest.raises(FileNotFoundError) as raised:
        write_whole(path, b"content")
    assert raised.value.filename == str(path)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "directory"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(path, b"content")
    assert list(tmp_path.iterdir()) == [path]


FILLING = """
import os, signal, sys
from pathlib import Path
from evaluators.machine.files import whole_directory

place, moment = Path(sys.argv[1]), sys.argv[2]
move = Path.replace


def killed_between(path, target):
    move(path, target)
    os.kill(os.getpid(), signal.SIGKILL)


with whole_directory(place) as directory:
    (directory / "file").write_text("new")
    print("filling", flush=True)
    if moment == "waiting":
        sys.stdin.read()
    if moment == "filling":
        os.kill(os.getpid(), signal.SIGKILL)
    Path.replace = killed_between
"""


def fill(place, moment):
    return subprocess.Popen([sys.executable, "-c", FILLING, place, moment], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


def content(directory):
    return {path.name: (path / "file").read_text() for path in directory.iterdir() if path.is_dir()}


def test_a_directory_takes_the_place_of_the_one_before_when_it_is_whole(tmp_path):
    place = tmp_path / "new" / "place"
    for text in ("first", "second"):
        with whole_directory(place) as directory:
            (directory / "file").write_text(text)
            assert content(tmp_path / "new").get("place") != text
        assert content(tmp_path / "new") == {"place": text}
    with pytest.raises(KeyboardInterrupt), whole_directory(place) as directory:
        raise KeyboardInterrupt
    assert content(tmp_path / "new") == {"place": "second"}


@pytest.mark.parametrize("moment", ["filling", "moving"])
def test_what_a_killed_process_has_left_is_put_right_by_the_next(moment, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").write_text("old")
    assert fill(place, moment).wait(60) == -signal.SIGKILL
    assert content(tmp_path).get("place") == ("old" if moment == "filling" else None)
    with pytest.raises(KeyboardInterrupt), whole_directory(place):
        raise KeyboardInterrupt
    assert content(tmp_path) == {"place": "old"}


def test_a_directory_that_a_living_process_fills_is_left_alone(tmp_path):
    place = tmp_path / "place"
    other = fill(place, "waiting")
    assert other.stdout.readline() == "filling\n"
    with whole_directory(place) as directory:
        (directory / "file").write_text("mine")
    assert sorted(content(tmp_path).values()) == ["mine", "new"]
    other.kill()
    other.communicate()


def test_a_directory_of_somebody_else_with_a_similar_name_is_left_alone(tmp_path):
    for name in (".place.old", ".place.x", ".places.written-1234"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("mine")
    before = content(tmp_path)
    with whole_directory(tmp_path / "place") as directory:
        (directory / "file").write_text("new")
    assert content(tmp_path) == before | {"place": "new"}


def test_a_place_is_tried_without_leaving_a_trace(tmp_path):
    require_writable(tmp_path / "not" / "there" / "yet", "a place")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match=r"a place must be a directory that can be written, but got '.*/file/below'"):
        require_writable(tmp_path / "file" / "below", "a place")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_place_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInput, match="Permission denied"):
        require_writable(tmp_path, "a place")
