import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evaluators.machine.files import at_home, held, require_writable, whole_directory, write_whole
from search_spaces import InvalidInput


def test_a_path_at_home_is_expanded_and_one_at_nobodys_is_left(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert [at_home(path) for path in ("~/data", "~nobody-of-this-name/data", "data")] == [
        Path("/home/me/data"), Path("~nobody-of-this-name/data"), Path("data")]


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_device_is_named():
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_whole(Path("/dev/full"), b"content")
    assert raised.value.filename == "/dev/full"


def test_a_disk_that_takes_no_more_is_named_and_keeps_the_file_as_it_was(tmp_path, little_room):
    path = tmp_path / "file.bin"
    write_whole(path, b"before")
    with little_room, pytest.raises(OSError, match="File too large") as raised:
        write_whole(path, bytes(1000))
    assert raised.value.filename == str(path)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"file.bin": b"before"}


@pytest.mark.parametrize("names", [("file",), ("directory", "file"), ("nothing",), ("nothing", "below"),
                                   ("file", "below")])
def test_what_a_directory_holds_itself_is_found_be_it_there_or_not(names, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").touch()
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(tmp_path)  # the directory itself may be reached by one
    for directory in (tmp_path, tmp_path.parent / f"{tmp_path.name}-link"):
        assert held(directory, *names) == directory.joinpath(*names)


@pytest.mark.parametrize("names", [("link",), ("dangling",), ("link", "file"), ("directory", "link")])
def test_what_leads_out_of_a_directory_is_refused(names, tmp_path):
    (tmp_path / "directory").mkdir()
    for place in (tmp_path, tmp_path / "directory"):
        (place / "link").symlink_to(tmp_path.parent)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"files and directories of its own, but '.*' is a link"):
        held(tmp_path, *names)


def test_a_pipe_among_the_files_of_a_directory_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="pipe' is none"):
        held(tmp_path, "pipe")


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "directory"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(path, b"content")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_and_what_it_leads_to_is_written(there, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    place = tmp_path / "elsewhere" / "file.bin"
    if there:
        place.write_bytes(b"before")
    (tmp_path / "second").symlink_to(place)
    (tmp_path / "first").symlink_to("second")
    write_whole(tmp_path / "first", b"content")
    assert place.read_bytes() == b"content"
    assert (tmp_path / "first").readlink() == Path("second")
    assert (tmp_path / "second").is_symlink()
    assert list(place.parent.iterdir()) == [place]


def test_links_that_lead_in_a_circle_are_named(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links") as raised:
        write_whole(tmp_path / "a", b"content")
    assert raised.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").is_symlink()


def test_a_pipe_is_written_into_and_stays(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_whole(pipe, b"content")
        assert reader.stdout.read() == b"content"
    assert pipe.is_fifo()


def test_a_device_is_written_into_and_stays():
    write_whole(Path(os.devnull), b"content")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_standard_output_is_written_into_be_it_a_pipe_or_a_file(name, tmp_path):
    script = ("import sys\nfrom pathlib import Path\nfrom evaluators.machine.files import write_whole\n"
              "print('before')\nsys.stdout.flush()\nwrite_whole(Path(sys.argv[1]), b'content')\n")
    command = [sys.executable, "-c", script, name]
    assert subprocess.run(command, check=True, capture_output=True, cwd=tmp_path).stdout == b"before\ncontent"
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("there", [True, False])
def test_a_link_to_a_directory_stays_and_the_directory_is_replaced(there, tmp_path):
    place = tmp_path / "elsewhere" / "place"
    if there:
        place.mkdir(parents=True)
    (tmp_path / "link").symlink_to(place)
    with whole_directory(tmp_path / "link") as directory:
        (directory / "file").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert content(place.parent) == {"place": "new"}


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


@pytest.mark.parametrize("plant", [
    lambda path, other: path.symlink_to(other), lambda path, other: os.mkfifo(path),
    lambda path, other: path.write_text("")], ids=["link", "pipe", "file"])
@pytest.mark.parametrize("name", [".place.written-x", ".place.written-x.before"])
def test_what_only_looks_like_what_a_killed_process_has_left_is_left_alone(plant, name, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("mine")
    plant(tmp_path / name, other)
    with whole_directory(tmp_path / "place") as directory:
        (directory / "file").write_text("new")
    assert (tmp_path / name).lstat() and not (tmp_path / "place").is_symlink()
    assert content(tmp_path)["place"] == "new" and content(tmp_path)["other"] == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_what_somebody_else_has_put_there_is_not_taken_for_what_a_killed_process_has_left(tmp_path):
    planted = tmp_path / ".place.written-x.before"
    planted.mkdir()
    (planted / "file").write_text("planted")
    os.chown(planted, 54321, 54321)
    with pytest.raises(KeyboardInterrupt), whole_directory(tmp_path / "place"):
        raise KeyboardInterrupt
    assert not (tmp_path / "place").exists() and (planted / "file").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without a device that is full")
def test_a_file_that_finds_no_room_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.mkstemp", lambda **options: (os.open("/dev/full", os.O_WRONLY), tmp_path / "part"))
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'file'}'"):
        write_whole(tmp_path / "file", b"content")


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
