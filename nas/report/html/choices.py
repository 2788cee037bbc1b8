"""The importance of the choices of a space for accuracy and latency, as bars."""

from collections.abc import Sequence

from nas.report.html.findings import Findings
from nas.report.html.markup import Markup, element
from nas.report.html.network import bar
from nas.report.importance import FEWEST, Importance, importances
from search_spaces.numbers import count_of

SHOWN = 12  # choices

Importances = dict[str, list[Importance]]


def importances_of(found: Findings) -> Importances:
    """Returns the importances for the metric, of fully trained networks, and for latency, of all that were timed."""
    known = [one for one in found.networks if one.trial in found.choices]
    trained = [one for one in known if one.trained and one.accuracy is not None]
    timed = [one for one in known if (latency := next(iter(one.costs.latencies.values()), None))
             and not latency.is_predicted]
    return {found.metric.title: importances([found.choices[one.trial] for one in trained],
                                            [-(one.accuracy or 0.0) for one in trained]),
            "latency": importances([found.choices[one.trial] for one in timed],
                                   [one.latency_ms or 0.0 for one in timed])}


def importance_section(of: Importances) -> Markup:
    """Returns the importances of the choices, the most important ones as bars beside those of chance."""
    parts = [element("div", element("h3", f"for {name}"), _bars(rows) if rows else element(
        "p", f"Not known: it takes at least {FEWEST} networks of the space whose {name} was found and differs."))
        for name, rows in of.items()]
    return element("div", element("div", parts, class_="columns"), element(
        "p", "PED-ANOVA: how far the best tenth of the networks differ in a choice from all that were tried, as a "
        "share of all choices' importances. The line across a bar is how far chance would take it in 19 of 20 cases, "
        "with the accuracies shuffled among the networks; what does not reach beyond it is marked. Importance says "
        "where good ones differ among what this search has tried, and not that the choice alone made them good.",
        class_="note") if any(of.values()) else None)


def words_of(choice: str) -> str:
    """Returns the name of a choice in words.

    >>> words_of("stage3.mb.se_ratio")
    'stage 3, mb, se ratio'
    """
    words = choice.replace("stage", "stage ").replace("layer", "layer ").replace("block", "block ")
    return ", ".join(words.replace("_", " ").split("."))


def _bars(rows: Sequence[Importance]) -> Markup:
    largest = max(max(row.share, row.chance) for row in rows) or 1.0
    items = [element("li", element("span", f"{words_of(row.choice)} ", element(
        "small", f"{row.share:.0%}", " – may be chance" if row.share <= row.chance else None)), bar(
        row.share / largest, "macs", row.chance / largest), class_="share") for row in rows[:SHOWN]]
    more = len(rows) - len(items)
    return element("div", element("ol", items, class_="ranking"),
                   element("p", f"and {count_of(more, 'choice')} of less importance", class_="note") if more else None)
