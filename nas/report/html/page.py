"""The report of a run: one HTML file that needs no network."""

import dataclasses
from collections.abc import Iterator

from nas.engine.worth import OPEN, worth
from nas.export.entries import Certificate
from nas.problem.candidate import best_by_hand
from nas.report.html.candidates import blocks_data, candidate_section
from nas.report.html.choices import importance_section, importances_of
from nas.report.html.document import document
from nas.report.html.findings import Findings
from nas.report.html.front import front_section
from nas.report.html.markup import Content, Markup, element
from nas.report.html.network import network_section
from nas.report.html.origin import certificate_section, provenance_section
from nas.report.html.outcomes import outcome_section
from nas.report.html.parallel import parallel_section
from nas.report.html.progress import curves_section, growth_section
from nas.report.html.reliability import reliability_section
from nas.report.measured import accuracy_text, latency_text
from search_spaces.numbers import count_of

LARGEST_BYTES = 2_000_000
FOLLOWING = "This page follows the search."
ENDED = "The server of this page has ended, so it stays as it is; nas report DIR --live starts another one."
FEWEST = 10  # networks, which a page has whatever its size

Figure = tuple[str, Content, str]  # its name, its value, and more about it


def report(found: Findings, version: str | None = None) -> bytes:
    """Returns the report of a run as an HTML file in UTF-8, of no more networks than `LARGEST_BYTES` have room for.

    Args:
        found: of the run.
        version: of a page that is served and asks its server for a later one; None for a file, which asks nobody.
    """
    content = _page(found, version)
    while len(content) > LARGEST_BYTES and found.most > FEWEST:
        share = 0.9 * LARGEST_BYTES / len(content)
        found = dataclasses.replace(found, most=max(FEWEST, int(share * len(found.drawn))))
        content = _page(found, version)
    return content


def _page(found: Findings, version: str | None) -> bytes:
    title = f"{found.name} – search report"
    parts = list(_sections(found))
    contents = element("nav", element("ul", [element("li", element("a", name, href=f"#{key}"))
                                             for key, name, _ in parts]), aria_label="contents")
    following = element("p", FOLLOWING, id="following", class_="note", role="status", data_following=FOLLOWING,
                        data_ended=ENDED)
    return document(
        title, element("a", "skip to the front", href="#front-of", class_="skip"), following if version else None,
        element("header", element("h1", title), _summary(found)), contents,
        element("main", [element("section", element("h2", name, id=key), content, aria_labelledby=key)
                         for key, name, content in parts]),
        element("div", id="tip", role="tooltip", hidden=True), blocks_data(found),
        scripts=("script.js", *(["live.js"] if version else [])), version=version)


def _sections(found: Findings) -> Iterator[tuple[str, str, Markup]]:
    """Yields the anchor, the heading and the content of each section."""
    important = importances_of(found)
    yield "front-of", "Front", front_section(found)
    yield "winner-of", "Winner, block by block", network_section(found)
    yield "certified", "Certificates", certificate_section(found)
    yield "over-time", "Hypervolume over time", growth_section(found)
    yield "learning", "Learning curves", curves_section(found)
    yield "choices", "Choices", parallel_section(found, important)
    yield "importance", "Importance of the choices", importance_section(important)
    yield "outcomes", "What became of the candidates", outcome_section(found)
    yield "reliability", "How far the numbers can be trusted", reliability_section(found)
    yield "provenance", "Provenance", provenance_section(found)
    yield "all", "All networks", candidate_section(found)


def _summary(found: Findings) -> Markup:
    """Returns the figures that a decision begins with."""
    easy, open_trials = found.resolved.easy_accuracy, sum(
        one.outcome in OPEN for one in found.told)
    eligible = sum(one.eligible for one in found.networks)
    by_hand = best_by_hand(found.networks)
    figures = [*_winner(found),
               ("front", len(found.front), f"of {count_of(len(found.networks), 'network')}, of which {eligible} are "
                "within the budgets and fully trained")]
    if by_hand:
        figures.append(("best made by hand", f"{accuracy_text(by_hand.accuracy)} %", "a published network that "
                        "fills the budget or a share of it, on the same images"))
    if easy is not None:
        figures.append(("logistic regression", f"{accuracy_text(easy)} %", "on the same images"))
    figures += [_verdict(name, exported.certificate) for name, exported in found.exports.items()] or [
        ("certificate", "none yet", "nothing is exported")]
    entries = [element("div", element("dt", name), element("dd", element("strong", value), element("small", more)))
               for name, value, more in figures]
    return element("div", element("dl", entries, class_="figures"), element(
        "p", f"The search had not ended when this was written: "
        f"{count_of(open_trials, 'trial is open', 'trials are open')}.", class_="note")
        if open_trials else None, [element("p", f"{line}.", class_="note") for line in worth(found.candidates, easy)])


def _winner(found: Findings) -> Iterator[Figure]:
    best = found.winner
    if best is None:
        yield "winner", "none yet", f"within {found.budgets}"
        return
    interval = f", 95 % interval {' to '.join(map(accuracy_text, best.accuracy_ci))}" if best.accuracy_ci else ""
    yield (f"winner's {found.metric.title} on validation", f"{accuracy_text(best.accuracy)} %",
           f"trial {best.trial}{interval}")
    if best.latency_ms:
        yield (f"its latency on {found.config.targets[0]}", f"{latency_text(best.latency_ms)} ms",
               f"budgets: {found.budgets}")


def _verdict(name: str, certificate: Certificate) -> Figure:
    accuracy = certificate["accuracy"]
    words = [name, *([f"trial {certificate['trial']}"] if "trial" in certificate else []),
             *([f"{accuracy_text(accuracy['test'])} % of the test images"] if accuracy else [])]
    return "certificate", certificate["verdict"], ", ".join(words)
