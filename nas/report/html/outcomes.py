"""The outcomes of the candidates: how many were trained, and why the others were not."""

import statistics
from collections import Counter
from collections.abc import Sequence

from nas.problem.candidate import Candidate, Outcome
from nas.report.html.findings import Findings
from nas.report.html.markup import Content, Markup, element, table
from nas.report.html.network import bar
from search_spaces.numbers import count_of

LONGEST = 160  # characters of a reason
REASONS = 20


def outcome_section(found: Findings) -> Markup:
    """Returns the numbers of trials by their outcome, the budgets that were broken, and the reasons of failures."""
    counts = Counter(one.outcome for one in found.told)
    total = max(1, len(found.told))
    rows: list[list[Content]] = [[str(outcome), counts[outcome], f"{counts[outcome] / total:.0%}", element(
        "div", bar(counts[outcome] / total, "macs"), class_="narrow")] for outcome in Outcome if counts[outcome]]
    return element("div", table(("outcome", "trials", "share", "drawn"), rows, "trials by their outcome"),
                   _rejections(found), _reasons(found))


def _rejections(found: Findings) -> Content:
    """Returns the number and the sizes of the violations of each budget by rejected candidates."""
    rejected = [one for one in found.candidates if one.outcome is Outcome.REJECTED]
    if not rejected:
        return element("p", "No candidate was rejected for a budget.")
    rows = []
    for name in found.budgets.limits:
        over = [one.violations[name] for one in rejected if one.violations.get(name, 0) > 0]
        if over:
            rows.append([name, len(over), f"{min(over):.0%}", f"{statistics.median(over):.0%}", f"{max(over):.0%}"])
    untimed = sum(any(latency.is_predicted for latency in one.costs.latencies.values()) for one in rejected)
    return [table(("budget", "broken by", "at least by", "in the median", "at most"), rows,
                  f"budgets that {count_of(len(rejected), 'rejected candidate')} broke"),
            element("p", "They were not trained: a candidate that breaks a budget costs its measurement only. Costs "
                    "are found cheapest first, so that later budgets were not looked at where one was broken."
                    + f" {untimed} were not timed either, as a predictor saw them over the budget." * bool(untimed),
                    class_="note")]


def _reasons(found: Findings) -> Content:
    """Returns the reasons of the other candidates that were not trained to their end."""
    others: Sequence[Candidate] = [one for one in found.told if one.reason and one.outcome in (
        Outcome.FAILED, Outcome.IMPOSSIBLE, Outcome.STOPPED)]
    if not others:
        return None
    counts = Counter((str(one.outcome), one.reason or "") for one in others)
    rows = [[outcome, reason if len(reason) <= LONGEST else f"{reason[:LONGEST]}…", number]
            for (outcome, reason), number in counts.most_common(REASONS)]
    return table(("outcome", "reason", "trials"), rows, "reasons")
