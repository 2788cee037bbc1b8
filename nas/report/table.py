"""The front as a table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from nas.engine.successive_halving import stopped
from nas.problem.budgets import Budgets, Limit
from nas.problem.candidate import DEFAULT_OBJECTIVES, Candidate, best_by_hand, distinct, front, metric_of, winner
from nas.problem.quantities import QUANTITIES, limitable
from nas.report.measured import UNKNOWN, accuracy_text, latency_text
from search_spaces.architecture import SEPARATOR
from search_spaces.numbers import count_of

ELLIPSIS = "…"
MOST_OF_ARCHITECTURE = 92  # columns, beside those of the trial


def front_report(candidates: Sequence[Candidate], budgets: Budgets, objectives: Sequence[str] = DEFAULT_OBJECTIVES,
                 easy_accuracy: float | None = None) -> Group:
    """Returns a heading, the table of the front and, below it, the architectures; arguments as `front_table` has."""
    members = distinct(front(candidates, objectives))
    title = Text(heading(candidates, members), style="bold")
    if not members:
        return Group(title)
    return Group(title, front_table(candidates, budgets, objectives, easy_accuracy), "", architecture_table(members))


def front_table(candidates: Sequence[Candidate], budgets: Budgets, objectives: Sequence[str] = DEFAULT_OBJECTIVES,
                easy_accuracy: float | None = None) -> Table:
    """Returns lines for each architecture of the front, fastest first, 95 % intervals in brackets.

    The winner is bold and has a star; limits are under the names of what they limit. A candidate has a line for each
    target and each statistic that is limited there, so that it fits into 100 columns. Below stand the best network made
    by hand, and logistic regression where its accuracy on the validation images is given.
    """
    best = winner(candidates, objectives)
    members = distinct(front(candidates, objectives))
    caption = "* winner; brackets are 95 % intervals"
    if any(latency.is_predicted for member in members for latency in member.costs.latencies.values()):
        caption += "; ≈ is predicted, not measured"
    if easy := easy_text(best_by_hand(candidates), easy_accuracy):
        caption += f"\non the same images: {easy}"
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column(f"{metric_of(candidates).title} (%)", justify="right", no_wrap=True)
    times = [(quantity, target) for name, quantity, target in limitable(budgets.targets)
             if target is not None and (quantity == "latency" or name in budgets.limits)]
    times.sort(key=lambda time: budgets.targets.index(time[1]))
    table.add_column("latency (ms)" + "".join(_time_title(budgets, *time) for time in times), justify="right",
                     no_wrap=True)
    own = [name for name, quantity in QUANTITIES.items() if not quantity.of_target]
    for name in own:
        table.add_column(QUANTITIES[name].title + _limit_text(budgets.limits.get(name)), justify="right", no_wrap=True)
    for candidate in members:
        wins = best is not None and candidate.architecture == best.architecture
        cells = [f"{'* ' if wins else ''}{candidate.trial}",
                 accuracy_text(candidate.accuracy, candidate.accuracy_ci),
                 "\n".join(_time_text(candidate, *time) for time in times),
                 *(_format(name, candidate.costs.value(name)) for name in own)]
        table.add_row(*map(Text, cells), style="bold" if wins else None)
    return table


def easy_text(by_hand: Candidate | None, easy_accuracy: float | None) -> str:
    """Returns the accuracies of the easy alternatives to a search in words, as far as they are known."""
    return ", ".join([
        *([f"best made by hand {accuracy_text(by_hand.accuracy)} % (trial {by_hand.trial})"] if by_hand else []),
        *([f"logistic regression {accuracy_text(easy_accuracy)} %"] if easy_accuracy is not None else [])])


def architecture_table(candidates: Sequence[Candidate]) -> Table:
    """Returns the architecture of each candidate, folded between blocks; shared blocks stand once, in the title.

    It fits into 100 columns, also where more are there, as in a file.
    """
    texts = [candidate.architecture for candidate in candidates]
    short, prefix, suffix = shorten(texts)
    ends = [words for words, end in ((f"begins with {prefix}", prefix), (f"ends with {suffix}", suffix)) if end]
    title = f"architectures; each {' and '.join(ends)}" if ends else "architectures"
    table = Table(box=None, show_header=False, title=Text(title, overflow="fold"), title_justify="left", pad_edge=True)
    table.add_column(justify="right", vertical="top", no_wrap=True)
    table.add_column(overflow="fold", max_width=MOST_OF_ARCHITECTURE)
    for candidate, text in zip(candidates, short, strict=True):
        # rich folds at white space, so there is a blank after each sign, which the notation allows
        table.add_row(str(candidate.trial), Text(text.replace(SEPARATOR, f"{SEPARATOR} ")))
    return table


def shorten(texts: Sequence[str]) -> tuple[list[str], str, str]:
    """Returns the texts with an ellipsis for the blocks that all begin and end with, and these two parts.

    A single text stays whole.

    >>> shorten(["in+a+b+head", "in+c+head"])
    (['…+a+b+…', '…+c+…'], 'in', 'head')
    """
    tokens = [text.split(SEPARATOR) for text in texts]
    begin = _shared(tokens) if len(texts) > 1 else 0
    end = _shared([list(reversed(own[begin:])) for own in tokens]) if len(texts) > 1 else 0
    short = []
    for own in tokens:
        middle = own[begin:len(own) - end]
        short.append(SEPARATOR.join([*([ELLIPSIS] if begin else []), *middle, *([ELLIPSIS] if end else [])]))
    first = tokens[0] if tokens else []
    return short, SEPARATOR.join(first[:begin]), SEPARATOR.join(first[len(first) - end:])


def _shared(tokens: Sequence[Sequence[str]]) -> int:
    """Returns the length of the longest common prefix of lists of tokens."""
    count = 0
    for column in zip(*tokens, strict=False):
        if len(set(column)) > 1:
            break
        count += 1
    return count


def heading(candidates: Sequence[Candidate], members: Sequence[Candidate]) -> str:
    """Returns the numbers of candidates and of members of the front, in words."""
    candidates = distinct(candidates)
    eligible = sum(candidate.eligible for candidate in candidates)
    if not eligible:
        return f"No front yet: of {count_of(len(candidates), 'candidate')}, none is within the budget and fully trained"
    early = len(stopped(candidates))
    return (f"Pareto front: {len(members)} of {count_of(len(candidates), 'candidate')} ({eligible} within the budget "
            f"and fully trained{f', {early} stopped early' if early else ''})")


def _limit_text(limit: Limit | None, before: str = "\n") -> str:
    sign = "≥" if limit and QUANTITIES[limit.quantity].lower else "≤"
    return f"{before}{sign} {limit.format(limit.value)}" if limit else ""


def _time_title(budgets: Budgets, quantity: str, target: str) -> str:
    """Returns the line of a column's title that names the lines below it."""
    limit = next((one for one in budgets.limits.values() if (one.quantity, one.target) == (quantity, target)), None)
    of = target if len(budgets.targets) > 1 and quantity == "latency" else ""
    words = " ".join(filter(None, (QUANTITIES[quantity].title, of, _limit_text(limit, ""))))
    return f"\n{words}" if words else ""


def _time_text(candidate: Candidate, quantity: str, target: str) -> str:
    latency = candidate.costs.latencies.get(target)
    if latency is None:
        return UNKNOWN
    if quantity == "latency":
        predicted = "≈ " if latency.is_predicted else ""
        return predicted + latency_text(latency.median_ms, (latency.low_ms, latency.high_ms))
    return f"{QUANTITIES[quantity].title} " + _format(quantity, candidate.costs.value(quantity, target))


def _format(name: str, value: float | None) -> str:
    return UNKNOWN if value is None else QUANTITIES[name].scale.format(value)
