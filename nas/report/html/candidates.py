"""The list of all networks of a run, and their blocks, which the script of the page draws for the chosen one."""

from collections.abc import Sequence

from nas.problem.candidate import Candidate
from nas.problem.quantities import QUANTITIES
from nas.report.html.costs import TITLES
from nas.report.html.findings import Findings
from nas.report.html.markup import Content, Markup, element, json_of
from nas.report.html.network import parts, shape_text
from nas.report.measured import UNKNOWN, accuracy_text, latency_text
from search_spaces.numbers import count_of


def candidate_section(found: Findings) -> Markup:
    """Returns a line for each network with all that is known of it; the script sorts it by a click on a heading."""
    targets = found.config.targets
    heads = ["trial", "what", f"{found.metric.title} (%)", "epochs",
             *(f"latency on {target} (ms)" for target in targets), *(TITLES[name] for name in TITLES),
             "outcome", "remarks", "architecture"]
    rows = [_row(found, one) for one in found.drawn]
    left_out = len(found.networks) - len(found.drawn)
    buttons = [element("th", element("button", head, type="button"), scope="col") for head in heads]
    table = element("table", element("thead", element("tr", buttons)), element("tbody", rows), id="candidates")
    return element("div", element("p", f"{count_of(len(rows), 'network')}; a click on a heading sorts them."
                                  + (f" {left_out} more, dominated and rejected ones, are left out here; nas pareto "
                                     f"{found.name} --csv FILE writes all." if left_out else ""), class_="note"),
                   element("div", table, class_="scroll tall", tabindex=0, role="region",
                           aria_label="list of networks"))


def blocks_data(found: Findings) -> Markup:
    """Returns the distinct blocks of the listed networks, and of which of them each network consists."""
    index: dict[tuple[str | int, ...], int] = {}
    consists = {}
    for one in found.drawn:
        blocks = [(f"{part.kind} {part.options}", shape_text(part.after), part.macs, part.params)
                  for part in parts(found.architectures[one.architecture])]
        consists[one.trial] = [index.setdefault(block, len(index)) for block in blocks]
    return element("script", json_of({"blocks": list(index), "networks": consists}), type="application/json",
                   id="blocks")


def _row(found: Findings, one: Candidate) -> Markup:
    cells: list[tuple[Content, float | str | None]] = [
        (", ".join(found.roles(one)), None), (accuracy_text(one.accuracy, one.accuracy_ci), one.accuracy),
        (one.epochs, one.epochs)]
    for target in found.config.targets:
        latency = one.costs.latencies.get(target)
        cells.append((UNKNOWN, None) if latency is None else (
            ("≈ " if latency.is_predicted else "") + latency_text(latency.median_ms, (latency.low_ms, latency.high_ms)),
            latency.median_ms))
    for name in TITLES:
        value = one.costs.value(name)
        cells.append((UNKNOWN if value is None else QUANTITIES[name].scale.format(value), value))
    cells += [(str(one.outcome), None), (_remarks(found, one), None), (element("code", one.architecture), None)]
    return element("tr", element("th", one.trial, scope="row", data_value=one.trial), [
        element("td", content, data_value=f"{value:.6g}" if isinstance(value, float) else value)
        for content, value in cells], id=f"trial-{one.trial}")


def _remarks(found: Findings, one: Candidate) -> str:
    doubts: Sequence[str] = [f"{target}: {flag}" for target, latency in one.costs.latencies.items()
                             for flag in latency.flags]
    over = found.budgets.excess(one.costs)
    return "; ".join(filter(None, (over, one.reason if one.reason != over else "", *doubts, "timed again" if one.retimed
                                   else "", f"continues trial {one.continues}" if one.continues is not None else "",
                                   f"trained in {one.taken_from}" if one.taken_from else "")))
