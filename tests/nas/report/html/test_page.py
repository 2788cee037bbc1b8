import base64
import dataclasses
import hashlib
import re

import html5lib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.engine.correlation import Ranking
from nas.engine.search import run_search
from nas.measuring.calibration import Agreement, Check
from nas.report.html import page
from nas.report.html.page import report

NASTY = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&amp;\'"\0\u202e\ud800'
SECTIONS = ["Front", "Winner, block by block", "Certificates", "Hypervolume over time", "Learning curves", "Choices",
            "Importance of the choices", "What became of the candidates", "How far the numbers can be trusted",
            "Provenance", "All networks"]


def parsed(content):
    """Returns a page as a parser reads it that follows the standard and raises for what is not valid."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(content.decode())


def hostile(found, text):
    """Returns findings with a text of users wherever a run has one."""
    candidates = [dataclasses.replace(one, reason=text, taken_from=text) for one in found.candidates]
    told = [dataclasses.replace(one, reason=text) for one in found.told]
    object.__setattr__(config := dataclasses.replace(found.config), "data", text)
    return dataclasses.replace(found, name=text, config=config, told=told, candidates=candidates,
                               resolved=dataclasses.replace(found.resolved, data_split=text, data_fingerprint=text),
                               environments=[{"written": text, text: text}], unreadable={text: text})


def test_a_page_is_valid_and_has_every_section(exported):
    read = parsed(report(exported))
    assert [one.text for one in read.iter("h2")] == SECTIONS
    names = [one.get("id") for one in read.iter() if one.get("id")]
    assert len(names) == len(set(names))
    links = [one.get("href") for one in read.iter() if one.get("href")]
    assert {link.removeprefix("#") for link in links} <= set(names)  # nothing leads out of the page
    assert not [one for one in read.iter() if one.get("src") or one.get("style") or one.get("onclick")]


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_search_that_has_hardly_begun_has_every_section_too(found, kept):
    few = dataclasses.replace(found, told=found.told[:kept], candidates=found.candidates[:kept], standings=(),
                              noise=None, unreadable={}, environments=())
    assert [one.text for one in parsed(report(few)).iter("h2")] == SECTIONS


@pytest.mark.parametrize("changes", [
    {"objectives": ("accuracy",)}, {"objectives": ("accuracy", "macs"), "latency_ms": None, "macs": None},
    {"target": ("onnxruntime", "litert"), "latency_ms": (0.09, None)}, {"data": "table:learning-curves", "start": ()}])
def test_a_page_is_valid_whatever_is_searched_for(exported, changes):
    config = dataclasses.replace(exported.config, **changes)
    budgets = config.budgets(config.latency_ms)
    for kept in (None, 1):
        other = dataclasses.replace(exported, config=config, budgets=budgets, told=exported.told[:kept],
                                    candidates=exported.candidates[:kept])
        assert [one.text for one in parsed(report(other)).iter("h2")] == SECTIONS


def test_a_page_counts_what_each_machine_has_timed(found):
    def on(host, latency):
        return dataclasses.replace(latency, host=host, processor=f"Cortex of {host}")

    timed = [dataclasses.replace(one, costs=dataclasses.replace(one.costs, latencies={
        target: on("shelf" if index else "desk", latency) for target, latency in one.costs.latencies.items()}))
        for index, one in enumerate(found.candidates)]
    expected = {one.architecture for one in timed[1:] for latency in one.costs.latencies.values()
                if not latency.is_predicted} - {timed[0].architecture}
    read = parsed(report(dataclasses.replace(found, candidates=timed)))
    rows = [[cell.text for cell in row] for row in read.iter("tr")]
    assert ["onnxruntime", "shelf", "Cortex of shelf", str(len(expected))] in [row[:4] for row in rows]
    assert ["onnxruntime", "desk", "Cortex of desk", "1"] in [row[:4] for row in rows]


def test_only_our_own_style_and_script_may_do_anything(exported):
    read = parsed(report(exported))
    (policy,) = [one.get("content") for one in read.iter("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    allowed = re.findall(r"(style|script)-src 'sha256-([^']+)'", policy)
    (style,), scripts = list(read.iter("style")), [one for one in read.iter("script") if one.get("type") is None]
    digests = [base64.b64encode(hashlib.sha256(one.text.encode()).digest()).decode() for one in (style, *scripts)]
    assert allowed == list(zip(("style", "script"), digests, strict=True))
    assert policy.startswith("default-src 'none'")
    assert not re.findall(r"https?://(?!www\.w3\.org)", report(exported).decode())


@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=20) | st.just(NASTY))
def test_texts_of_users_stay_texts(found, text):
    tame, wild = ([one.tag for one in parsed(report(hostile(found, each))).iter()] for each in ("x", text))
    assert wild == tame


def test_everything_that_is_known_is_told(exported):
    read = parsed(report(exported))
    words = re.sub(r"\s+", " ", " ".join(read.find("body").itertext()))
    for said in ("nas search --latency 0.09ms --macs 20000000", "0123456789abcdef", "validation: as given",
                 "export: certified for onnxruntime", "88.00 [87.00, 89.00] % of 1,000 test images", "a doubt",
                 "export-2: it has changed", "Noise: ± 1.00 points between seeds", "stopped after 2 of 10 epochs",
                 "no pixel is left", "1 latency was predicted and not measured", "≈ 0.120 [0.110, 0.130]",
                 "budgets that 2 rejected candidates broke", "logistic regression 80.00 %"):
        assert said in words, said
    rows = [one for one in read.iter("tr") if (one.get("id") or "").startswith("trial-")]
    assert len(rows) == len(exported.networks)


def test_the_quality_of_the_predictor_is_told_from_what_and_against_what(found):
    check = Check(7, Agreement(0.031, 0.9, 0.85), Agreement(0.2, 0.3, 0.5), 1.0)
    read = parsed(report(dataclasses.replace(found, held_out={"litert": check})))
    words = " ".join(read.find("body").itertext())
    assert "litert: against the later third of the timings, 7 networks that were new then" in words
    (row,) = [one for one in read.iter("tr") if one[0].text == "predictor"]
    assert [cell.text for cell in row] == ["predictor", "3.1%", "90%", "0.85"]


def test_the_quality_of_the_score_is_told_from_what_and_against_what(found):
    rankings = [Ranking("parameters", 20, 0.4, (0.1, 0.6), 0.5, (0.2, 0.7), 0.5, (0, 1), 0.0),
                Ranking("3 epochs", 20, 0.7, (0.5, 0.8), 0.8, (0.6, 0.9), 1.0, (0.5, 1), 4.2, 0.01)]
    read = parsed(report(dataclasses.replace(found, rankings=rankings, final_epochs=20)))
    words = " ".join(read.find("body").itertext())
    assert "20 networks, against the accuracy after 20 epochs, 95 % intervals over the networks" in words
    assert "3 epochs: networks are ranked as the whole training ranks them (tau 0.70): --epochs 3" in words
    (row,) = [one for one in read.iter("tr") if one[0].text == "3 epochs"]
    assert [cell.text for cell in row][1:3] == ["0.70 [0.50, 0.80]", "0.80 [0.60, 0.90]"]


def test_importances_take_their_number_of_networks(found):
    assert "it takes at least 30 networks of the space" in report(found).decode()
    many = [dataclasses.replace(found.candidates[index % 2], trial=index, architecture=one.architecture.replace(
        "head_c128", f"head_c{128 + index}"), accuracy=0.8 + index / 1000, assignment=one.assignment)
        for index, one in enumerate(found.candidates[:2] * 20)]
    content = report(dataclasses.replace(found, candidates=many, told=many)).decode()
    assert "PED-ANOVA" in content


def test_a_page_of_many_networks_stays_small(found, monkeypatch):
    monkeypatch.setattr(page, "LARGEST_BYTES", 300_000)
    many = [dataclasses.replace(found.candidates[5], trial=100 + index, architecture=found.candidates[5].architecture
                                .replace("head_c128", f"head_c{200 + index}")) for index in range(400)]
    content = report(dataclasses.replace(found, candidates=[*found.candidates, *many]))
    assert 150_000 < len(content) <= 300_000
    assert re.search(r"\d+ more, dominated and rejected ones, are left out here", content.decode())


def test_the_command_writes_a_report_into_the_run_or_where_it_is_told(nas, make_config, gauge, tmp_path):
    run = run_search(make_config(trials=3), tmp_path / "run", gauge=gauge)
    status, out, _ = nas("report", run.path)
    assert status == 0
    assert out.startswith(f"{run.path / 'report.html'}: ")
    written = (run.path / "report.html").read_bytes()
    assert nas("report", run.path, "--out", tmp_path / "other.html")[0] == 0
    other = (tmp_path / "other.html").read_bytes()
    assert len(written) == len(other)
    assert nas("report", run.path, "--out", "-")[1].startswith("<!DOCTYPE html>")
    assert nas("report", tmp_path)[0] == 2
    parsed(written)
