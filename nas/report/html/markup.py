"""Elements of HTML and SVG, in which every text is escaped, wherever it comes from."""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

VOID = frozenset({"br", "img", "input", "meta"})
DRAWN = frozenset({"circle", "line", "path", "rect", "use"})  # of SVG, without content
# control characters, surrogates and code points that are no characters, which HTML forbids, and signs that turn the
# direction of what follows them
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
                        + "".join(f"{chr(plane + 0xfffe)}{chr(plane + 0xffff)}"
                                  for plane in range(0, 0x110000, 0x10000)) + "]")
REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class Markup:
    """A piece of HTML as it stands in a page."""

    text: str


Content: TypeAlias = "Markup | str | int | Iterable[Content] | None"


def escaped(text: str) -> str:
    """Returns a text as it may stand between tags and between quotes.

    >>> escaped('<b class="x">')
    '&lt;b class=&quot;x&quot;&gt;'
    """
    return html.escape(_FORBIDDEN.sub(REPLACEMENT, text))


def element(name: str, /, *content: Content, **attributes: Any) -> Markup:
    """Returns an element; texts in it and in its attributes are escaped, None and False leave an attribute out.

    An underscore stands for the hyphen of an attribute, and behind a name that is Python's for nothing.

    >>> element("p", "1 < 2", class_="note", data_trial=3).text
    '<p class="note" data-trial="3">1 &lt; 2</p>'
    """
    start = name + "".join(_attribute(key, value) for key, value in attributes.items()
                           if value is not None and value is not False)
    if name in DRAWN and not content:
        return Markup(f"<{start}/>")
    return Markup(f"<{start}>" if name in VOID else f"<{start}>{joined(content)}</{name}>")


def joined(content: Content) -> str:
    """Returns content as it stands in a page, texts escaped."""
    if content is None:
        return ""
    if isinstance(content, Markup):
        return content.text
    if isinstance(content, str | int):
        return escaped(str(content))
    return "".join(map(joined, content))


def json_of(value: Any) -> Markup:
    """Returns a value as JSON that may stand in a script element: nothing in it ends the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def number(value: float) -> str:
    """Returns a length or place in a drawing, to a tenth.

    >>> number(12.04), number(-0.31)
    ('12', '-0.3')
    """
    return f"{value:.1f}".removesuffix(".0")


def table(head: Iterable[Content], rows: Iterable[Iterable[Any]], caption: str) -> Markup:
    """Returns a table, the first cell of each row its heading, that can be scrolled sideways where it is too wide."""
    body = [[element("th", first, scope="row"), *(element("td", cell) for cell in cells)] for first, *cells in rows]
    whole = element("table", element("caption", caption),
                    element("thead", element("tr", [element("th", one, scope="col") for one in head])),
                    element("tbody", [element("tr", cells) for cells in body]))
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _attribute(key: str, value: Any) -> str:
    name = key.removesuffix("_").replace("_", "-")
    return f' {name}=""' if value is True else f' {name}="{escaped(str(value))}"'
