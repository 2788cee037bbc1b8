"""Tables of HTML, by which values show themselves in notebooks."""

from collections.abc import Iterable
from html import escape


def html_table(caption: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Returns a table, every text in it escaped.

    >>> html_table("a < b", [], [["<i>"]]).partition("<tbody>")[2]
    '<tr><td>&lt;i&gt;</td></tr></tbody></table>'
    """
    body = "".join(_row("td", row) for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead>{_row('th', head)}</thead><tbody>{body}</tbody></table>"


def _row(cell: str, values: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(str(value))}</{cell}>' for value in values)}</tr>"
