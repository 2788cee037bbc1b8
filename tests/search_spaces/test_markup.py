from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from search_spaces.markup import html_table

TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)


class Cells(HTMLParser):
    """Collects the texts and the names of the elements of a table."""

    def __init__(self):
        super().__init__()
        self.texts, self.elements = [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.texts.append("")

    def handle_data(self, data):
        self.texts[-1] += data


@given(TEXTS, st.lists(st.tuples(TEXTS, st.integers()), max_size=3))
def test_texts_stand_in_a_table_as_they_are_whatever_they_are(caption, rows):
    cells = Cells()
    cells.feed(html_table(caption, ("<b>", "&amp;"), rows))
    assert cells.elements == ["table", "caption", "thead", "tr", "th", "th", "tbody", *["tr", "td", "td"] * len(rows)]
    found = [text for text, element in zip(cells.texts, cells.elements, strict=True)
             if element in ("caption", "th", "td")]
    assert found == [caption, "<b>", "&amp;", *(str(value) for row in rows for value in row)]
