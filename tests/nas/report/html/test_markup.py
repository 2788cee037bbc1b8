import json

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.report.html.markup import REPLACEMENT, Markup, element, escaped, joined, json_of, table

ANY = st.text(st.characters(exclude_categories=()), max_size=30)
SPECIAL = st.lists(st.sampled_from(["<", ">", "&", '"', "'", "</p>", "<script>", "-->", "]]>", "&amp;", "\0", "\u202e",
                                    "\ud800", "\r", "=", "x", " "]), max_size=9).map("".join)


def parsed(markup):
    """Returns the first element of a page, as a parser that follows the standard reads it and accepts it as valid."""
    page = f"<!DOCTYPE html><html><head><title>x</title></head><body>{markup.text}</body></html>"
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page).find("body")[0]


@settings(deadline=None)
@given(ANY | SPECIAL, ANY | SPECIAL)
def test_a_text_is_read_as_it_is_and_never_as_markup(text, value):
    read = parsed(element("p", text, title=value))
    assert len(read) == 0
    assert (read.text or "", read.get("title")) == tuple(
        "".join(REPLACEMENT if REPLACEMENT in escaped(sign) else sign for sign in one) for one in (text, value))
    assert list(read.keys()) == ["title"]


@settings(deadline=None)
@given(st.dictionaries(ANY | SPECIAL, ANY | SPECIAL, max_size=3))
def test_json_in_a_script_is_read_back_and_never_ends_it(values):
    read = parsed(element("div", element("script", json_of(values), type="application/json")))[0]
    assert len(read) == 0
    assert json.loads(read.text) == values


def test_attributes_are_left_out_bare_or_written_with_hyphens():
    made = element("a", "x", Markup("<b>y</b>"), ["z", None, 1], data_trial=3, class_="mark", hidden=None, open=True)
    assert made.text == '<a data-trial="3" class="mark" open="">x<b>y</b>z1</a>'
    assert element("br").text == "<br>"
    assert element("path", d="M0 0").text == '<path d="M0 0"/>'


@pytest.mark.parametrize("content", [None, "", [], [None, [[]]]])
def test_nothing_is_written_as_nothing(content):
    assert joined(content) == ""


def test_a_table_can_be_scrolled_by_keyboard_and_has_a_name():
    read = parsed(table(("a", "b"), [["1", "<2>"]], "numbers"))
    assert (read.get("tabindex"), read.get("role"), read.get("aria-label")) == ("0", "region", "numbers")
    assert [cell.text for cell in read.iter("th")] == ["a", "b", "1"]
    assert [cell.text for cell in read.iter("td")] == ["<2>"]
