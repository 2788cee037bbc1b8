"""The origin of a run and its exports: provenance, the command that repeats it, and certificates."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.latency import Source
from nas.export.certificate import Exported, latencies_of, metric_of
from nas.export.entries import Certificate
from nas.problem.candidate import Candidate
from nas.problem.quantities import QUANTITIES, format_bytes
from nas.report.certificate import VERDICTS, on_test_text, score_text
from nas.report.command import command_of
from nas.report.html.findings import Findings
from nas.report.html.markup import Content, Markup, element, table
from nas.report.measured import UNKNOWN, accuracy_text, latency_text
from nas.run.environment import environment, lasting
from search_spaces.numbers import count_of

LEADING = ("written", "platform", "processor", "cores", "python", "paretonas")


def certificate_section(found: Findings) -> Markup:
    """Returns the certificates of the exports in the run directory."""
    parts: list[Content] = [_certificate(name, exported) for name, exported in found.exports.items()]
    parts += [element("p", element("strong", f"{name}: "), reason) for name, reason in found.unreadable.items()]
    if not parts:
        return element("p", "Nothing has been exported into the run directory yet: ",
                       element("code", f"nas export {found.name}"), " trains the winner to the end, writes its files, "
                       "times them in fresh processes and certifies them.")
    return element("div", parts)


def _certificate(name: str, exported: Exported) -> Markup:
    certificate = exported.certificate
    verdict = certificate["verdict"]
    words, _ = VERDICTS[verdict]
    said = words.format(targets=", ".join(certificate["targets"]), directory=exported.directory,
                        allowed=certificate.get("accuracy_loss_points", 0)).replace("`", "")
    accuracy = certificate["accuracy"]
    return element("article", element("h3", f"{name}: ", element("span", said, class_=f"verdict {verdict.split()[0]}")),
                   element("p", f"Trial {certificate['trial']}. " if "trial" in certificate else None,
                           f"{_decisive(certificate)}"
                           f"{accuracy_text(accuracy['test'], accuracy['test_ci'])} % of {accuracy['images']:,} test "
                           f"images; logistic regression: {accuracy_text(accuracy['logistic_regression'])} %. "
                           if accuracy else "No test images. ",
                           f"Trained for {count_of(certificate['training']['epochs'], 'epoch')} on "
                           f"{certificate['training']['images']:,} images."),
                   _budgets(certificate), _files(certificate), [
                       element("p", f"{entry['file']}: {remark}.") for entry in certificate["files"]
                       for remark in entry.get("remarks", ())], _timings(certificate))


def _decisive(certificate: Certificate) -> str:
    """Returns the metric by which files are judged, where that is not the accuracy."""
    accuracy = certificate["accuracy"]
    if not accuracy or "metric" not in accuracy:
        return ""
    return f"{metric_of(certificate).heading}: {on_test_text(accuracy['metric'])}. "


def _budgets(certificate: Certificate) -> Content:
    if not certificate["budgets"]:
        return None
    rows = []
    for name, entry in certificate["budgets"].items():
        scale = QUANTITIES[entry["quantity"]].scale
        value = entry.get("measured", entry.get("predicted"))
        about = "≈ " if "predicted" in entry else ""
        rows.append([name, UNKNOWN if value is None else about + scale.format(value, 4),
                     scale.format(entry["limit"], 4), entry["unit"],
                     {True: "met", False: "missed", None: "not known"}[entry.get("met")]])
    return table(("budget", "found", "limit", "unit", "verdict"), rows, "budgets, over all timings")


def _files(certificate: Certificate) -> Markup:
    rows = [[entry["file"], entry.get("target", entry["format"]), format_bytes(entry["size_bytes"]),
             score_text(entry),
             f"{entry['max_abs_difference']:.1e}", f"{entry['top_class_agreement']:.1%}", entry["verdict"],
             element("code", entry["sha256"][:12])] for entry in certificate["files"]]
    heads = ("file", "runtime", "size", f"{metric_of(certificate).title} (%)", "logits differ by", "same class",
             "verdict", "SHA-256")
    return table(heads, rows, "files, each loaded back and compared with the network")


def _timings(certificate: Certificate) -> Markup:
    rows = []
    for timing in certificate["timings"]:
        for target, latency in latencies_of(timing).items():
            rows.append([_moment(timing["environment"].get("written")), target,
                         ("≈ " if latency.is_predicted else "") + latency_text(latency.raw_ms),
                         latency_text(latency.raw_high_ms), latency_text(latency.reference_ms),
                         "; ".join(latency.flags) or "none"])
    return table(("timed", "runtime", "raw latency (ms)", "at most (ms)", "reference (ms)", "doubts"), rows,
                 "timings in fresh processes")


def provenance_section(found: Findings) -> Markup:
    """Returns the command that repeats the search, its data, its machine, its versions and its configuration."""
    resolved, now = found.resolved, environment()
    facts: list[tuple[str, Content]] = [
        ("data", found.config.data), ("fingerprint of the data", resolved.data_fingerprint),
        ("split", resolved.data_split),
        ("images", f"{resolved.resolution} pixels, {count_of(resolved.channels, 'channel')}, "
                   f"{resolved.classes} classes"),
        ("budgets", str(found.budgets)), ("evaluator", found.config.evaluator), ("strategy", found.config.strategy),
        ("seed", found.config.seed),
        ("workers", found.config.workers or ("1" if found.config.in_turn else "one on each core")),
        ("space", element("details", element("summary", found.config.space), element("code", resolved.space))),
        ("this report", f"of {found.name}, written by paretonas {now.get('paretonas', '')}, {_moment(now['written'])}")]
    exact = (" Candidates are asked for in the same order given the same measurements; latencies are measured anew, so "
             "that a repetition may part from this run where a timing decides."
             if found.config.in_turn else " With several workers, what is proposed depends on which training ends "
             "first.")
    return element("div", element("h3", "Command that repeats the search"),
                   element("pre", element("code", command_of(found.config)), tabindex=0, role="region",
                           aria_label="command"),
                   element("p", "It takes the data with the fingerprint below.", exact, class_="note"),
                   element("dl", [(element("dt", name), element("dd", value)) for name, value in facts],
                           class_="facts"),
                   element("h3", "Machine and versions"), _environments(found.environments),
                   element("h3", "What timed the networks"), _machines(found.candidates),
                   element("details", element("summary", "whole configuration"), table(
                       ("setting", "value"), [[name, _written(value)] for name, value in
                                              dataclasses.asdict(found.config).items()], "settings of run.toml")))


def _environments(environments: Sequence[Mapping[str, Any]]) -> Markup:
    if not environments:
        return element("p", "Not recorded.")
    names = [*LEADING, *sorted({name for one in environments for name in lasting(one)} - set(LEADING))]
    heads = ["of", *("begun" if not index else f"resumed ({index})" for index in range(len(environments)))]
    rows = [[name, *(_moment(one.get(name)) if name == "written" else _written(one.get(name)) for one in environments)]
            for name in names]
    return table(heads, rows, "machine and versions")


def _machines(candidates: Sequence[Candidate]) -> Markup:
    """Returns the number of networks timed on each machine, by their last timing, and its reference model's time."""
    timed = {(candidate.architecture, target): latency for candidate in candidates
             for target, latency in candidate.costs.latencies.items() if latency.source is Source.MEASURED}
    machines: dict[tuple[str, ...], list[float]] = {}
    for (_, target), latency in timed.items():
        machine = target, latency.host or UNKNOWN, latency.processor or UNKNOWN
        machines.setdefault(machine, []).append(latency.quiet_reference_ms)
    if not machines:
        return element("p", "Nothing was timed.")
    rows = [[*machine, len(references), latency_text(min(references))] for machine, references in machines.items()]
    return table(("runtime", "machine", "processor", "networks", "reference model, quiet (ms)"), rows,
                 "machines that have timed networks")


def _moment(text: Any) -> str:
    return str(text).partition("+")[0].replace("T", " ") + " UTC" if text else UNKNOWN


def _written(value: Any) -> str:
    if value is None or value == ():
        return UNKNOWN
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
