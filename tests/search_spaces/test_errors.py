from pathlib import Path

import pytest

from search_spaces.errors import InvalidInput, unknown


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    assert str(unknown("block", "mbb", ["sep", "mb"])) == "unknown block 'mbb'; did you mean 'mb'? known: mb, sep"
    assert str(unknown("block", "zzz", ["sep", "mb"])) == "unknown block 'zzz'; known: mb, sep"
    assert str(unknown("block", "mb", [])) == "unknown block 'mb'; known: none"


@pytest.mark.parametrize("text", ["a\nb", "a\r\n  b", "a\u2028b", "a\x0bb"])
def test_a_message_is_one_line_whatever_it_quotes(text):
    assert str(InvalidInput(f"got '{text}'")) == "got 'a b'"


@pytest.mark.parametrize(("text", "shown"), [
    ("a\x1b[31mb", r"a\x1b[31mb"), ("a\x00b", r"a\x00b"), ("a\x9bb", r"a\x9bb"), ("a‮b", r"a\u202eb"),
    ("a\udcffb", r"a\udcffb"), ("größe 漢字 🙂", "größe 漢字 🙂"),
])
def test_a_message_shows_the_characters_that_a_terminal_would_obey(text, shown):
    assert str(InvalidInput(f"got '{text}'")) == f"got '{shown}'"


def test_a_message_quotes_the_ends_of_a_long_input():
    shown = "a" * 39 + "..." + "z" * 38
    for quoted in (f"'{'a' * 999}{'z' * 999}'", f'"{"a" * 999}{"z" * 999}"'):
        message = str(InvalidInput(f"the space's stages must be it's own, but got {quoted} in 'file', line 3"))
        assert message == (f"the space's stages must be it's own, but got {quoted[0]}{shown}{quoted[0]} in 'file', "
                           "line 3")
    assert len(shown) == 80


@pytest.mark.parametrize("text", ["x" * 10**6, "'" * 10**5, "'a" * 10**5, "a' b" * 10**5, " ".join(10**5 * ["'a'"])])
def test_a_message_is_short_whatever_it_quotes(text):
    assert len(str(InvalidInput(f"must be short, but got {text}"))) <= 2000
    assert len(str(unknown("block", text, ["mb"]))) <= 2000


def test_a_path_that_is_there_is_quoted_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("n" * 100)
    assert str(path) not in str(InvalidInput(f"must be there, but got '{path}'"))
    path.touch()
    assert str(path) in str(InvalidInput(f"must be another, but got '{path}'"))


def test_a_path_whose_beginning_is_there_is_quoted_whole(tmp_path):
    missing = tmp_path / ("long-" * 15) / "data.npz"
    assert f"'{missing}'" in str(InvalidInput(f"data must be there, but got '{missing}'"))
    assert "..." in str(InvalidInput(f"data must be there, but got '/no-such-folder{missing}'"))
    assert "..." in str(InvalidInput(f"data must be there, but got '{tmp_path}{'/x' * 300}'"))
