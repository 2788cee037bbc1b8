import pytest

from search_spaces.errors import InvalidInput, unknown


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    assert str(unknown("block", "mbb", ["sep", "mb"])) == "unknown block 'mbb'; did you mean 'mb'? known: mb, sep"
    assert str(unknown("block", "zzz", ["sep", "mb"])) == "unknown block 'zzz'; known: mb, sep"
    assert str(unknown("block", "mb", [])) == "unknown block 'mb'; known: none"


@pytest.mark.parametrize("text", ["a\nb", "a\r\n  b", "a\u2028b", "a\x0bb"])
def test_a_message_is_one_line_whatever_it_quotes(text):
    assert str(InvalidInput(f"got '{text}'")) == "got 'a b'"
