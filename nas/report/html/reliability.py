"""The reliability of a run's numbers: its score, its latencies and its predictor, each against something."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from evaluators.benchmarks.tables import is_table
from nas.engine.correlation import recommendation
from nas.measuring.calibration import Check
from nas.problem.candidate import Candidate
from nas.report.correlation import noise_text, ranked_text, share_text
from nas.report.html.findings import Findings
from nas.report.html.markup import Content, Markup, element, table
from nas.report.measured import UNKNOWN, accuracy_text, latency_text
from search_spaces.numbers import count_of


def reliability_section(found: Findings) -> Markup:
    """Returns the quality of scores, latencies and predictions, as far as it is known, and its sources."""
    return element("div", element("h3", f"Score: {found.metric.title} after a brief training"), _score(found),
                   element("h3", "Latency: timed again in other processes"), _timed_again(found),
                   element("h3", "Predictor of latency"), _predictor(found))


def _score(found: Findings) -> Content:
    if is_table(found.config.data):
        return element("p", "Accuracies are those of a published table: nothing was trained here.")
    noise = noise_text(found.noise, found.config.recipe.epochs, Path(found.name)).replace("`", "")
    parts: list[Content] = [element("p", f"{noise[:1].upper()}{noise[1:]}.")]
    if found.rankings:
        rows = [[one.score, _interval(one.tau, one.tau_ci), _interval(one.rho, one.rho_ci),
                 share_text(one.overlap, one.overlap_ci), f"{one.seconds:.1f}" if one.seconds else UNKNOWN, one.use]
                for one in found.rankings]
        parts += [table(("score", "Kendall's tau", "Spearman's rho", "best tenth found", "s each", "use"), rows,
                        f"{ranked_text(found.rankings, found.final_epochs, found.metric)}, 95 % intervals over the "
                        "networks"),
                  element("p", recommendation(found.rankings).replace("`", ""))]
    else:
        parts.append(element("p", f"How far trainings of {count_of(found.config.recipe.epochs, 'epoch')} rank networks "
                             "as whole trainings do has not been measured: ",
                             element("code", f"nas correlate {found.name}"), " does it."))
    if found.standings:
        parts += [table(("trial", "in the search", "epochs", "in finals (%)", "log loss", "as", "epochs there"),
                        _finals(found), "trained again for longer, on the same validation images; "
                                          "the log loss in the search counts, too")]
    return parts


def _finals(found: Findings) -> list[list[Content]]:
    by_text = {one.architecture: one for one in found.networks}
    rows: list[list[Content]] = []
    for standing in sorted(found.standings, key=lambda one: (-one.epochs, *one.rank)):
        one = by_text.get(standing.architecture)
        rows.append([_link(one) if one else standing.architecture,
                     accuracy_text(one.accuracy, one.accuracy_ci) if one else UNKNOWN, one.epochs if one else UNKNOWN,
                     accuracy_text(standing.accuracy),
                     UNKNOWN if standing.calibrated_log_loss is None else f"{standing.calibrated_log_loss:.3f}",
                     standing.precision, standing.epochs])
    return rows


def _timed_again(found: Findings) -> Content:
    """Returns the latencies of the search beside those of later processes."""
    first = {one.trial: one for one in found.told}
    pairs = [(first[one.trial], one) for one in found.networks if one.retimed and one.latency_ms
             and first[one.trial].latency_ms]
    if not pairs:
        return element("p", "No candidate has been timed again.")
    changes = [abs((later.latency_ms or 0) / (before.latency_ms or 1) - 1) for before, later in pairs]
    inside = sum((before.latency_ci_ms or (0, 0))[0] <= (later.latency_ms or 0) <= (before.latency_ci_ms or (0, 0))[1]
                 for before, later in pairs)
    rows = [[_link(later), latency_text(before.latency_ms, before.latency_ci_ms),
             latency_text(later.latency_ms, later.latency_ci_ms)] for before, later in pairs]
    timed = count_of(len(pairs), "network was", "networks were")
    return [element("p", f"{timed} timed again in processes that had timed nothing else: the median "
                    f"of the changes is {statistics.median(changes):.1%}, the largest {max(changes):.1%}, and {inside} "
                    f"of {len(pairs)} are within the interval of the first timing. The later one counts."),
            element("details", element("summary", "each of them"), table(
                ("trial", "first (ms)", "later (ms)"), rows, "latencies and their 95 % intervals"))]


def _predictor(found: Findings) -> Content:
    """Returns the checks of predictors of earlier timings on later ones, and the number of latencies predicted only."""
    return [_held_out(target, check) for target, check in found.held_out.items()] + [_predicted(found)]


def _held_out(target: str, check: Check) -> Markup:
    rows = [[name, f"{one.median_error:.1%}", f"{one.within_a_tenth:.0%}", f"{one.kendall_tau:.2f}"]
            for name, one in (("predictor", check.predictor), ("line through multiply-adds", check.line_through_macs))]
    return table(("from the earlier two thirds", "median error", "within 10 %", "Kendall's tau"), rows,
                 f"{target}: against the later third of the timings, "
                 f"{count_of(check.networks, 'network that was', 'networks that were')} new then")


def _predicted(found: Findings) -> Markup:
    predicted = [(latency.median_ms, one.trial, target) for one in found.told
                 for target, latency in one.costs.latencies.items() if latency.is_predicted]
    if not predicted:
        return element("p", "Every latency of this report is measured, or from a published table; none is predicted.")
    later = {(one.trial, target): latency for one in found.candidates
             for target, latency in one.costs.latencies.items() if not latency.is_predicted}
    errors = [abs(predicted_ms / later[key].median_ms - 1) for predicted_ms, *at in predicted
              if (key := (at[0], at[1])) in later]
    words = (f"{count_of(len(predicted), 'latency was', 'latencies were')} predicted and not measured, marked ≈ in the "
             "list of networks. ")
    if errors:
        timed = count_of(len(errors), "of these was", "of these were")
        return element("p", words + f"{timed} timed later: the median error is "
                       f"{statistics.median(errors):.1%}, the largest {max(errors):.1%}.")
    return element("p", words + "None of these networks was timed later; ", element("code", "nas latency check"),
                   " measures how far predictions are off.")


def _link(one: Candidate) -> Markup:
    return element("a", f"trial {one.trial}", href=f"#trial-{one.trial}")


def _interval(value: float, ends: Sequence[float]) -> str:
    return f"{value:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"
