import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import nas.export.certificate
import nas.export.timing_again
from evaluators.latency import Latency, MeasurementFailed, Precision
from evaluators.runtimes import parse_target, runtime_of
from nas import cli
from nas.export.certificate import (
    CERTIFICATE,
    assessed,
    from_json,
    latencies_of,
    open_budgets,
    read_export,
    time_files,
    to_json,
    write_certificate,
)
from nas.export.timing_again import certify
from nas.problem.budgets import Budgets
from nas.report.certificate import certificate_report
from nas.testing import random_arrays
from search_spaces import Architecture, InvalidInput

GOLDEN = Path(__file__).parents[2] / "golden" / "certificate.json"  # as exports wrote it before it had types
ARCHITECTURE = Architecture.parse("in_r8_c1+conv_k3_c8_s2_relu+head_c8_relu_n3")


def timed(latency_ms, clock=1.0):
    return Latency(latency_ms, 0.99 * latency_ms, 1.01 * latency_ms, 1.1 * latency_ms, 10, 0.1, 0.1, 0.09, 0.0,
                   clock=clock)


@pytest.fixture
def measured(monkeypatch):
    """What the next timings find, in their order; by default a millisecond."""
    latencies, asked = [], []

    def measure_once(target, model, shape, precision, quiet_ms, wait_s):
        assert wait_s == nas.export.certificate.WAIT_S
        asked.append((target.text, model.name, shape, quiet_ms))
        found = latencies.pop(0) if latencies else timed(1.0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(nas.export.certificate, "measure_once", measure_once)
    measure_once.latencies, measure_once.asked = latencies, asked
    return measure_once


def make_export(directory, budgets, targets=("onnxruntime",)):
    """Makes an export of an untrained network, as a delivery does it but for training and comparing."""
    directory.mkdir()
    files = []
    for target in map(parse_target, targets):
        path = directory / f"model{runtime_of(target).suffix}"
        runtime_of(target).write(ARCHITECTURE, random_arrays(ARCHITECTURE, seed=0), path, {})
        files.append({"file": path.name, "sha256": nas.export.certificate.digest(path), "target": target.text,
                      "size_bytes": path.stat().st_size, "max_abs_difference": 1e-7, "largest_logit": 1.0,
                      "top_class_agreement": 1.0})
    certificate = {
        "budgets": open_budgets(budgets), "targets": list(targets), "architecture": ARCHITECTURE.text, "files": files,
        "costs": {"macs": ARCHITECTURE.macs, "params": ARCHITECTURE.params, "memory_bytes": ARCHITECTURE.memory_bytes}}
    certificate["timings"] = [time_files(directory, ARCHITECTURE, files, {})]
    write_certificate(directory, assessed(certificate))
    return directory


def test_every_timing_is_added_to_the_certificate_with_the_reference_and_in_raw_milliseconds(tmp_path, measured):
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.2))
    first = read_export(directory).certificate
    measured.latencies += [timed(0.9, clock=1.1), timed(1.1)]
    exported = certify(directory)
    assert exported.certificate == read_export(directory).certificate
    assert exported.certificate["timings"][0] == first["timings"][0]
    found = [timing["latencies"]["onnxruntime"] for timing in exported.certificate["timings"]]
    assert [one["raw_ms"] for one in found] == [1.0, pytest.approx(0.99), 1.1]
    assert [one["raw_high_ms"] for one in found] == [pytest.approx(ms) for ms in (1.01, 0.9999, 1.111)]
    assert [(one["reference_ms"], one["quiet_reference_ms"]) for one in found] == [(0.1, 0.09)] * 3
    assert all(timing["environment"]["processor"] for timing in exported.certificate["timings"])
    assert {path.name for path in directory.iterdir()} == {CERTIFICATE, "model.onnx"}
    assert measured.asked[1:] == [("onnxruntime", "model.onnx", (8, 8, 1), 0.09)] * 2


@pytest.mark.parametrize(("highs_ms", "verdict"), [
    ((1.0,), "met"), ((1.1,), "missed"), ((1.0, 1.1), "missed"), ((0.9, 1.05), "met"), ((1.0, 9.0, 0.9), "met"),
    ((0.9, 1.1, 1.2), "missed"), ((0.9, 0.9, 1.1, 1.2), "met")])
def test_the_verdict_is_that_of_the_median_over_all_timings(highs_ms, verdict, tmp_path, measured):
    measured.latencies += [timed(high_ms / 1.01) for high_ms in highs_ms]
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.0))
    if len(highs_ms) > 1:
        certify(directory, times=len(highs_ms) - 1)
    certificate = read_export(directory).certificate
    middle = sorted(highs_ms)[(len(highs_ms) - 1) // 2:len(highs_ms) // 2 + 1]
    assert certificate["budgets"]["latency"]["measured"] == pytest.approx(sum(middle) / len(middle))
    assert certificate["verdict"] == verdict
    assert certificate["budgets"]["latency"]["met"] == (verdict == "met")


def test_every_budget_is_judged_on_its_own_target(tmp_path, measured):
    targets = ("onnxruntime:batch=4", "onnxruntime:threads=2")
    budgets = Budgets(latency_ms=(None, 0.5), latency_p95_ms=(1.2, None), images_per_s=(3000, None), params=10**6,
                      targets=targets)
    measured.latencies += [timed(1.0), timed(0.6), timed(1.0), timed(0.3), timed(1.0), timed(0.4)]
    exported = certify(make_export(tmp_path / "export", budgets, targets))
    found = {name: (entry["measured"], entry["met"]) for name, entry in exported.certificate["budgets"].items()}
    assert found == {
        f"latency@{targets[1]}": (pytest.approx(0.4 * 1.01), True), "latency_p95": (pytest.approx(1.1 * 1.01), True),
        "throughput": (pytest.approx(4000 / 1.01), True), "params": (ARCHITECTURE.params, True)}
    assert exported.met


def test_the_reference_of_another_machine_says_nothing_about_this_one(tmp_path, measured):
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.2))
    certificate = read_export(directory).certificate
    certificate["timings"][0]["environment"]["processor"] = "a faster one"
    write_certificate(directory, certificate)
    certify(directory, times=1)
    assert measured.asked[-1][-1] is None


def test_a_timing_that_fails_loses_no_earlier_one(tmp_path, measured):
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.2))
    measured.latencies += [timed(1.0), MeasurementFailed("the measuring process died of SIGKILL")]
    with pytest.raises(MeasurementFailed):
        certify(directory, times=3)
    assert len(read_export(directory).certificate["timings"]) == 2


def test_timings_are_as_far_apart_as_asked(tmp_path, measured, monkeypatch):
    now, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(nas.export.timing_again.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(nas.export.timing_again.time, "sleep", sleep)
    certify(make_export(tmp_path / "export", Budgets(latency_ms=1.2)), times=3, apart_s=90.5)
    assert sum(slept) == pytest.approx(2 * 90.5)


def test_what_is_no_export_or_another_file_is_refused(tmp_path, measured):
    with pytest.raises(InvalidInput, match=r"an export holds certificate\.json, but '.*' does not"):
        certify(tmp_path)
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.2))
    with pytest.raises(InvalidInput, match="`times` must be at least 1, but got 0"):
        certify(directory, times=0)
    asked = len(measured.asked)
    untimed = json.dumps(read_export(directory).certificate | {"timings": []})
    for number, damaged in enumerate(("", "[]", "{}", untimed)):
        shutil.copytree(directory, copy := tmp_path / f"damaged {number}")
        (copy / CERTIFICATE).write_text(damaged)
        with pytest.raises(InvalidInput, match=r"certificate\.json must be as an export has written it") as refused:
            certify(copy)
        assert "\n" not in str(refused.value)
    (directory / "model.onnx").write_bytes(b"of another network")
    with pytest.raises(InvalidInput, match=r"but '.*model\.onnx' is another or missing"):
        certify(directory)
    (directory / "model.onnx").unlink()
    with pytest.raises(InvalidInput, match="is another or missing"):
        certify(directory)
    assert len(measured.asked) == asked


def test_the_command_line_shows_every_timing_in_raw_milliseconds_and_tells_the_verdict_by_its_status(
        tmp_path, measured, monkeypatch, capsys):
    make_export(tmp_path / "export", Budgets(latency_ms=1.2, params=10**6))
    accuracy = {"test": 0.9, "test_ci": [0.88, 0.92], "images": 1000, "logistic_regression": 0.8}
    write_certificate(tmp_path / "export", read_export(tmp_path / "export").certificate | {"accuracy": accuracy})
    measured.latencies += [timed(1.3, clock=1.25), timed(1.17)]
    shown = []
    for status in (1, 0):  # the median of two is over the budget, that of three is not
        monkeypatch.setattr(sys, "argv", ["nas", "certify", str(tmp_path), "--times", "1"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == status
        shown.append(capsys.readouterr().out)
    assert "NOT certified for onnxruntime" not in shown[1]
    for text in ("certified for onnxruntime", "latency: 1.182 ms <= 1.2 ms (upper end of the 95 % interval, median of",
                 "params: 1", "1.62", "0.100", "0.0900"):
        assert text in shown[1]
    assert len(read_export(tmp_path / "export").certificate["timings"]) == 3


def test_real_files_are_timed_in_fresh_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(nas.export.certificate, "DECIDING", Precision(half_width=0.1, at_least_s=0.1, at_most_s=0.5))
    exported = certify(make_export(tmp_path / "export", Budgets(latency_ms=50.0)), times=1)
    assert exported.met
    for timing in exported.certificate["timings"]:
        latency = latencies_of(timing)["onnxruntime"]
        assert 0 < latency.low_ms <= latency.median_ms <= latency.raw_ms <= latency.raw_high_ms < 50
        assert latency.quiet_reference_ms > 0


@pytest.fixture
def table(tmp_path):
    """A table of a device on which a network takes a microsecond for each thousand multiply-adds."""
    networks = [ARCHITECTURE.text.replace("c8", f"c{channels}") for channels in range(8, 40, 2)]
    rows = [f"{network},{Architecture.parse(network).macs / 1e6}" for network in networks]
    (tmp_path / "phone.csv").write_text("\n".join(["architecture,latency_ms", *rows]))
    return f"table:{tmp_path}/phone.csv"


@pytest.mark.parametrize(("factor", "verdict", "words"), [
    (2, "predicted", "NOT certified for .*, only predicted to meet the budget: the device cannot be timed here"),
    (0.5, "missed", "NOT certified for .*: a budget is exceeded")])
def test_files_for_a_device_that_is_not_here_are_predicted_to_meet_a_budget_and_never_certified(
        factor, verdict, words, table, tmp_path, measured):
    budgets = Budgets(latency_ms=factor * ARCHITECTURE.macs / 1e6, targets=(table,))
    exported = read_export(make_export(tmp_path / "export", budgets, (table,)))
    assert measured.asked == []
    assert (exported.certificate["verdict"], exported.met) == (verdict, verdict == "predicted")
    entry = exported.certificate["budgets"]["latency"]
    assert "measured" not in entry
    assert entry["predicted"] == pytest.approx(ARCHITECTURE.macs / 1e6, rel=0.2)
    found = exported.certificate["timings"][0]["latencies"][table]
    assert (found["predicted"], found["runs"]) == (True, 0)
    assert "not timed" in found["flags"][0]
    shown = {"accuracy": None, **exported.certificate}
    report = "\n".join(map(str, certificate_report(shown, exported.directory).renderables))
    assert re.search(words, report)
    assert "predicted latency: " in report
    assert f"{table}: predicted from the 16 rows of" in report


def test_what_cannot_be_timed_here_is_not_certified_again(table, tmp_path, measured):
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.0, targets=(table,)), (table,))
    with pytest.raises(InvalidInput, match=r"files are timed where they run, but what is known of table:.* is a table"):
        certify(directory)


def test_a_device_that_is_not_here_beside_one_that_is_leaves_files_uncertified(table, tmp_path, measured):
    targets = ("onnxruntime", table)
    exported = certify(make_export(tmp_path / "export", Budgets(latency_ms=(1.2, 99.0), targets=targets), targets))
    assert exported.certificate["verdict"] == "predicted"
    assert {name: "measured" in entry for name, entry in exported.certificate["budgets"].items()} == {
        "latency": True, f"latency@{table}": False}


def test_an_old_certificate_is_read_judged_and_written_as_it_was():
    content = GOLDEN.read_bytes()
    certificate = from_json(content)
    again = assessed(certificate)
    assert [entry.pop("verdict") for entry in again["files"]] == ["met", "predicted", "no budget"]
    assert to_json(again) == content
    assert [latency.source for latency in latencies_of(certificate["timings"][0]).values()] == ["measured", "predicted"]


def test_a_new_timing_says_no_more_and_no_less_than_an_old_one(tmp_path, measured):
    new, old = read_export(make_export(tmp_path / "export", Budgets())).certificate, from_json(GOLDEN.read_bytes())
    assert list(new["timings"][0]["latencies"]["onnxruntime"]) == list(old["timings"][0]["latencies"]["onnxruntime"])


INT8 = "onnxruntime:precision=int8"


def judged(int8, **changes):
    """Returns a certificate of a float32 and an int8 file of a network that is right on 81.5 % of 2,000 images."""
    targets = ["onnxruntime", INT8]
    shared = {"sha256": "", "size_bytes": 1000, "max_abs_difference": 1e-6, "largest_logit": 9.0,
              "top_class_agreement": 1.0, "test_accuracy": 0.815, "test_accuracy_ci": (0.80, 0.83)}
    files = [{**shared, "format": "onnx", "file": "model.onnx", "target": "onnxruntime"},
             {**shared, "format": "onnx", "file": "model-int8.onnx", "target": INT8, "max_abs_difference": 0.5, **int8}]
    times = {target: nas.export.certificate._written(timed(1.0)) for target in targets}
    accuracy = {"test": 0.815, "test_ci": (0.80, 0.83), "images": 2000, "network": 0.815, "logistic_regression": 0.7}
    return assessed({
        "budgets": open_budgets(Budgets(latency_ms=(1.2, 1.2), size_bytes=1500, targets=targets)), "targets": targets,
        "architecture": ARCHITECTURE.text, "id": "", "accuracy": accuracy, "accuracy_loss_points": 1.0, "data": None,
        "costs": {"macs": 1, "params": 1, "memory_bytes": 1}, "files": files, "preprocessing": {},
        "training": {"images": 0, "epochs": 0, "duration_s": 0.0},
        "timings": [{"environment": {"written": "now"}, "latencies": times}], **changes})


@pytest.mark.parametrize(("int8", "changes", "verdict", "line"), [
    ({"test_accuracy": 0.808}, {}, "met", None),
    ({"test_accuracy": 0.798}, {}, "loses accuracy", "79.80 % right, 1.70 points less than the network"),
    ({"test_accuracy": 0.805}, {}, "met", None),  # exactly a point
    ({"test_accuracy": 0.798}, {"accuracy_loss_points": 2.0}, "met", None),
    ({"test_accuracy": 0.812, "top_class_agreement": 0.85}, {}, "met", None),
    ({"size_bytes": 2000}, {}, "missed", None),
    ({"max_abs_difference": float("nan")}, {}, "met", None),
])
def test_a_verdict_names_the_file_that_fails_and_not_its_neighbour(int8, changes, verdict, line, tmp_path):
    certificate = judged(int8, **changes)
    assert [entry["verdict"] for entry in certificate["files"]] == ["met", verdict]
    assert certificate["verdict"] == verdict
    lines = list(map(str, certificate_report(certificate, tmp_path).renderables))
    if verdict != "met":
        (blamed,) = (line for line in lines if "NOT certified" in line)
        assert f"NOT certified for {INT8}: " in blamed
        assert f"{tmp_path}: certified for onnxruntime" in lines
    assert line is None or f"model-int8.onnx ({INT8}): {line}" in lines


def test_an_int8_file_without_labels_is_judged_by_its_agreement():
    unlabelled = {"accuracy": None}
    for agreement, verdict in ((0.95, "met"), (0.85, "differs")):
        certificate = judged({"top_class_agreement": agreement}, **unlabelled)
        for entry in certificate["files"]:
            del entry["test_accuracy"]
        assert assessed(certificate)["verdict"] == verdict


def test_a_report_says_where_an_int8_file_holds_and_that_it_is_slower(tmp_path):
    remark = "slower than its float32 form: 1.27 times its latency, timed in turns"
    new, old = judged({"processors": "all", "remarks": [remark]}), judged({})
    lines = list(map(str, certificate_report(new, tmp_path).renderables))
    assert f"model-int8.onnx ({INT8}): computes the same on all" in lines
    assert f"model-int8.onnx ({INT8}): {remark}" in lines
    assert any("weights of 8 bits" in str(line) for line in certificate_report(old, tmp_path).renderables)


def test_a_file_that_could_not_be_timed_is_said_so_until_it_is(tmp_path, measured):
    measured.latencies += [MeasurementFailed("no turn has come in 60 s"), timed(1.0), timed(1.0)]
    directory = make_export(tmp_path / "export", Budgets(latency_ms=1.2, macs=10**9))
    exported = read_export(directory)
    assert (exported.certificate["verdict"], exported.met) == ("not timed", False)
    assert exported.certificate["timings"][0]["untimed"] == {"onnxruntime": "no turn has come in 60 s"}
    report = "\n".join(map(str, certificate_report({"accuracy": None, **exported.certificate}, directory).renderables))
    for line in ("NOT certified for onnxruntime, not timed yet", "onnxruntime: not timed: no turn has come in 60 s",
                 "latency: not known yet, 1.2 ms allowed"):
        assert line in report
    for end in (" interval)", " interval, median of 2 timings)"):  # the one that did not come is none
        certificate = certify(directory, times=1).certificate
        lines = map(str, certificate_report({"accuracy": None, **certificate}, directory).renderables)
        assert certificate["verdict"] == "met"
        assert [line.endswith(end) for line in lines if line.startswith("latency: ")] == [True]


def test_commands_of_an_export_of_another_are_run_with_trust_only(tmp_path, monkeypatch, nas):
    monkeypatch.chdir(tmp_path)
    command = "command:touch started; echo 1 ms; echo 1 ms; true {model}"
    directory = make_export(tmp_path / "export", Budgets(latency_ms=50.0, targets=(command,)), targets=(command,))
    started = tmp_path / "started"
    started.unlink()
    status, _, err = nas("certify", "export", "--times", "1")
    assert status == 2
    assert "with `--trust`, but 'export' names command 'touch started; echo 1 ms;" in err
    assert not started.exists()
    assert len(read_export(directory).certificate["timings"]) == 1
    for trust in (True, False):  # it is remembered, though the certificate has changed
        certify(directory, times=1, trust=trust)
    assert len(read_export(directory).certificate["timings"]) == 3


def test_a_notebook_shows_the_verdict_and_the_files(tmp_path, measured):
    exported = read_export(make_export(tmp_path / "<i>export", Budgets(latency_ms=2.0)))
    shown = exported._repr_html_()
    assert "&lt;i&gt;export: met" in shown
    assert "<i>" not in shown
    for entry in exported.certificate["files"]:
        assert f"<td>{entry['file']}</td>" in shown
