"""The one exception for wrong input."""

import difflib
from collections.abc import Iterable

MOST_LISTED = 40  # names that a message lists; of more it gives the nearest


class InvalidInput(ValueError):
    """A rule that some input breaks: one line that states the rule, then the value.

    The command line prints it without a traceback and exits with status 2.
    """

    def __init__(self, rule: str) -> None:
        super().__init__(" ".join(rule.split()))  # what it quotes may hold line breaks


def unknown(what: str, name: str, known: Iterable[str]) -> InvalidInput:
    """Returns the error for a name that is not in a registry: it lists the known names and the nearest.

    >>> str(unknown("strategy", "randon", ["tpe", "random"]))
    "unknown strategy 'randon'; did you mean 'random'? known: random, tpe"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=3)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ";"
    listed = names if len(names) <= MOST_LISTED else [*(nearest or names[:3]), f"and {len(names)} in all"]
    return InvalidInput(f"unknown {what} '{name}'{hint} known: {', '.join(listed) or 'none'}")


def require(condition: bool, rule: str) -> None:
    """Raises `InvalidInput` with the rule, and the value that breaks it, unless the condition holds."""
    if not condition:
        raise InvalidInput(rule)
