import base64
import dataclasses
import re
from xml.etree import ElementTree

import pytest

import nas
from nas.report.html.findings import findings_of
from nas.report.notebook import front_svg, run_html

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run(make_config, gauge, tmp_path):
    """A run in a directory whose name would be an element."""
    return nas.search(make_config(trials=6, latency_ms=1.0), tmp_path / "<b>run", gauge=gauge)


def test_a_run_shows_its_front_as_a_picture_and_a_table(run):
    shown = run._repr_html_()
    assert shown == run_html(run.directory)
    assert "&lt;b&gt;run" in shown
    assert "<b>" not in shown
    assert "of 6 candidates" in shown
    for candidate in run.pareto():
        assert candidate.architecture in shown
    (source,) = re.findall('src="data:image/svg\\+xml;base64,([^"]+)"', shown)
    drawing = ElementTree.fromstring(base64.b64decode(source))
    assert drawing.tag == f"{SVG}svg"
    marks = [mark.get("data-trial") for mark in drawing.iter(f"{SVG}a")]
    assert set(marks) == {str(candidate.trial) for candidate in findings_of(run.directory).drawn}


def test_a_picture_is_against_the_objective(make_config, gauge, tmp_path):
    run = nas.search(make_config(trials=3, objectives=("accuracy", "macs")), tmp_path / "run", gauge=gauge)
    drawing = ElementTree.fromstring(front_svg(findings_of(run.directory)))
    assert "multiply-adds" in "".join(drawing.itertext())
    assert "latency" not in "".join(text.text or "" for text in drawing.iter(f"{SVG}text"))


def test_there_is_no_picture_as_long_as_no_cost_is_known(run, monkeypatch):
    empty = dataclasses.replace(findings_of(run.directory), told=(), candidates=())
    assert front_svg(empty) is None
    monkeypatch.setattr("nas.report.notebook.findings_of", lambda directory: empty)
    assert "No front yet" in run._repr_html_()
    assert "<img" not in run._repr_html_()
