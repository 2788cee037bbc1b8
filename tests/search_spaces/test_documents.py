import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.documents import MOST_TOML_BYTES, read_json, read_toml, refused
from search_spaces.errors import InvalidInput

CONTENTS = st.one_of(st.binary(max_size=40), st.text(alphabet='[]{}=."\'a1 \n,:-e', max_size=40).map(str.encode))


def _refusal(read, path):
    with pytest.raises(InvalidInput) as error, refused("a document must be one"):
        read(path)
    return str(error.value)


@pytest.mark.parametrize(("read", "content", "reason"), [
    (read_toml, b"a = " + 10**5 * b"[", "it is nested too deep"),
    (read_json, 10**5 * b"[", "it is nested too deep"),
    (read_toml, b"a = " + 5000 * b"9", "it has a number of too many digits"),
    (read_json, 5000 * b"9", "it has a number of too many digits"),
    (read_toml, b".".join(10**4 * [b"a"]) + b" = 1", "a key has at most 100 parts"),
    (read_toml, b"#" + MOST_TOML_BYTES * b"a", "it has more than 1,048,576 bytes"),
    (read_toml, b"a = '\xff'", "it is no UTF-8 text from byte 5 on"),
    (read_json, b"\xff", "it is no UTF-8 text from byte 0 on"),
    (read_json, b"{'a': 1}", "Expecting property name enclosed in double quotes (line 1, column 2)"),
    (read_toml, b"a = 1\na = 2", "Cannot overwrite a value (at end of document)"),
])
def test_a_document_is_refused_with_the_rule_and_the_reason_in_words(tmp_path, read, content, reason):
    (tmp_path / "file").write_bytes(content)
    assert _refusal(read, tmp_path / "file") == f"a document must be one: {reason}"


def test_a_missing_file_and_a_directory_are_said_to_be_that(tmp_path):
    assert _refusal(read_json, tmp_path / "none").endswith(": No such file or directory")
    assert _refusal(read_toml, tmp_path).endswith(": Is a directory")


@pytest.mark.parametrize(("use", "reason"), [
    (lambda: {}["key"], "it lacks `key`"), (lambda: [][0], "a value in it is not of the kind that is written there"),
    (lambda: 1 + "", "a value in it is not of the kind that is written there"), (lambda: 1 / 0, "division by zero"),
    (lambda: int("x"), "invalid literal for int() with base 10: 'x'"), (lambda: bytearray(2**62), "does not fit into"),
])
def test_content_of_another_kind_is_refused_in_words(use, reason):
    assert reason in _refusal(lambda path: use(), None)


def test_interruptions_and_the_errors_of_other_libraries_are_not_taken_for_wrong_input():
    with pytest.raises(KeyboardInterrupt), refused("a document must be one"):
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError), refused("a document must be one"):
        raise RuntimeError
    with pytest.raises(InvalidInput, match="a document must be one: it is damaged"), refused(
            "a document must be one", RuntimeError):
        raise RuntimeError


@given(CONTENTS)
def test_any_content_is_read_as_the_library_reads_it_or_refused_in_one_line(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "document"
    file.write_bytes(content)
    for read, parse in ((read_toml, tomllib.loads), (read_json, json.loads)):
        try:
            with refused("a document must be one"):
                found = read(file)
        except InvalidInput as error:
            assert str(error).isprintable()
            with pytest.raises((ValueError, RecursionError)):
                parse(content.decode())
        else:
            assert repr(found) == repr(parse(content.decode()))
