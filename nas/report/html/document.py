"""The frame of a page: one HTML file whose own style and scripts alone may do anything."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from nas.report.html.markup import Content, Markup, element


def document(title: str, *body: Content, scripts: Sequence[str] = (), version: str | None = None) -> bytes:
    """Returns a page as an HTML file in UTF-8.

    Args:
        title: of the page.
        body: its content.
        scripts: the files of its scripts, which come after the content.
        version: of a page that asks the server that it is from for a later one.
    """
    style, *own = (Markup(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
                   for name in ("style.css", *scripts))
    policy = "; ".join((  # so that no text of a run could ever do anything
        "default-src 'none'", f"style-src {_digest(style)}",
        *([f"script-src {' '.join(map(_digest, own))}"] if own else []),
        *(["connect-src 'self'"] if version else []), "base-uri 'none'", "form-action 'none'"))
    head = element("head", element("meta", charset="utf-8"), element("title", title),
                   element("meta", http_equiv="Content-Security-Policy", content=policy),
                   element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                   element("meta", name="color-scheme", content="light dark"), element("style", style))
    whole = element("html", head, element("body", body, [element("script", one) for one in own]), lang="en",
                    data_version=version)
    return f"<!DOCTYPE html>\n{whole.text}\n".encode()


def _digest(content: Markup) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.text.encode()).digest()).decode()}'"
