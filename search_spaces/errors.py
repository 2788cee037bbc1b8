"""The one exception for wrong input."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

MOST_LISTED = 40  # names that a message lists; of more it gives the nearest
MOST_QUOTED = 80  # characters of an input that a message quotes
MOST_PATH = 400  # of a path
MOST_SHOWN = 2000  # characters of a message

_QUOTED = re.compile(r"(?<!\w)'(.*?)'(?!\w)|(?<!\w)\"(.*?)\"(?!\w)")


class InvalidInput(ValueError):
    """A rule that some input breaks: one line that states the rule, then the value.

    The command line prints it without a traceback and exits with status 2. Of what it quotes, the middle is left out
    where it is long, but not of a path that is there or could be, nor of advice that follows the rule.
    """

    def __init__(self, rule: str, advice: str = "") -> None:
        line = visible(shortened(" ".join(rule.split()), 4 * MOST_SHOWN))
        super().__init__(shortened(_QUOTED.sub(_shortly, line), MOST_SHOWN) + visible(advice))


def visible(text: str) -> str:
    r"""Returns a text with the characters escaped that a terminal would obey instead of showing them.

    >>> visible("a\x1b[2J b")
    'a\\x1b[2J b'
    """
    return text if text.isprintable() else "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode()
        for one in text)


def shortened(text: str, most: int = MOST_QUOTED) -> str:
    """Returns a text of at most so many characters, the middle left out.

    >>> shortened("conv_k3_c16_s2_relu", 11)
    'conv...relu'
    """
    end = (most - 3) // 2
    return text if len(text) <= most else f"{text[:most - 3 - end]}...{text[-end:]}"


def _shortly(quoted: re.Match[str]) -> str:
    text, mark = quoted[0][1:-1], quoted[0][0]
    if len(text) > MOST_QUOTED and _is_path(text):
        return quoted[0]
    return f"{mark}{shortened(text)}{mark}"


def _is_path(text: str) -> bool:
    """Tells whether a path is there, or is an absolute one that begins with a folder that is."""
    path = Path(text)
    if path.is_absolute() and len(text) <= MOST_PATH:
        path = Path(*path.parts[:2])
    return os.path.lexists(path)


def unknown(what: str, name: str, known: Iterable[str]) -> InvalidInput:
    """Returns the error for a name that is not in a registry: it lists the known names and the nearest.

    >>> str(unknown("strategy", "randon", ["tpe", "random"]))
    "unknown strategy 'randon'; did you mean 'random'? known: random, tpe"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name[:MOST_QUOTED], names, n=3)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ";"
    listed = names if len(names) <= MOST_LISTED else [*(nearest or names[:3]), f"and {len(names)} in all"]
    return InvalidInput(f"unknown {what} '{name}'{hint} known: {', '.join(listed) or 'none'}")


def require(condition: bool, rule: str) -> None:
    """Raises `InvalidInput` with the rule, and the value that breaks it, unless the condition holds."""
    if not condition:
        raise InvalidInput(rule)
