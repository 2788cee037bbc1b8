"""The report in a real browser: Chromium, where there is one.

Screenshots are kept where PARETONAS_SCREENSHOTS says, of the run that PARETONAS_RUN names; those of docs/ are made so.
"""

import dataclasses
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from nas.report.fronts import compare_runs
from nas.report.html.findings import findings_of
from nas.report.html.fronts import comparison_page
from nas.report.html.page import report
from nas.run.directory import RunDirectory

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
PICTURED = 2  # screens
FOCUSED = "document.activeElement.dataset.trial"


@pytest.fixture
def page(exported, tmp_path):
    """A report of a search of some hundred networks, or of the run that is to be pictured, as a file."""
    if "PARETONAS_RUN" in os.environ:
        (tmp_path / "report.html").write_bytes(report(findings_of(RunDirectory.existing(os.environ["PARETONAS_RUN"]))))
        return tmp_path / "report.html"
    crowd = [dataclasses.replace(one, trial=100 + index, accuracy=0.8 + index % 97 / 1000, architecture=
             one.architecture.replace("head_c128", f"head_c{200 + index}"))
             for index, one in enumerate((exported.candidates[5],) * 200)]
    place = tmp_path / "report.html"
    place.write_bytes(report(dataclasses.replace(exported, candidates=[*exported.candidates, *crowd])))
    return place


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_without_a_complaint_or_a_network_and_nothing_sticks_out(browser, page, size, scheme):
    width, height = SIZES[size]
    browser.open(page, width, height, scheme)
    assert browser.complaints() == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    picture = Path(os.environ.get("PARETONAS_SCREENSHOTS", page.parent)) / f"report_{size}_{scheme}.png"
    browser.picture(picture, PICTURED * height)
    with Image.open(picture) as image:
        assert image.size == (width, PICTURED * height)
        assert len(image.convert("RGB").getcolors()) > 50


def test_every_network_is_reached_and_told_of_by_keyboard(browser, page):
    browser.open(page)
    order = []
    for _ in range(60):
        browser.press("Tab", 9)
        order.append(browser.evaluate("document.activeElement.closest('svg')?.id || document.activeElement.id"))
    assert {"front", "detail", "parallel"} <= set(order)
    assert order[order.index("front") + 1] != "front"  # one stop for all marks: the arrow keys lead to the others
    browser.evaluate("document.querySelector('#front a[tabindex=\"0\"]').focus()")
    assert browser.evaluate(FOCUSED) == "7"
    browser.press("ArrowRight", 39)
    after = browser.evaluate(FOCUSED)
    assert after != "7"
    assert browser.evaluate("document.getElementById('tip').hidden") is False
    browser.press("Enter", 13)
    assert browser.evaluate("document.querySelector('#detail h3').textContent") == f"Trial {after}"
    assert browser.evaluate("document.querySelectorAll('#detail li').length") > 5
    browser.press("Escape", 27)
    assert browser.evaluate("document.getElementById('tip').hidden") is True
    browser.press("Home", 36)
    browser.press("ArrowRight", 39)
    browser.press("ArrowLeft", 37)
    first = browser.evaluate(FOCUSED)
    browser.press("ArrowLeft", 37)
    assert browser.evaluate(FOCUSED) == first


def test_another_axis_moves_the_marks_and_a_heading_sorts(browser, page):
    browser.open(page)
    place = "document.querySelector('#front a.mark.winner').getAttribute('transform')"
    before = browser.evaluate(place)
    browser.evaluate("document.querySelector('#axes input[value=\"1\"]').click()")
    assert browser.evaluate(place) != before
    assert browser.evaluate("document.querySelectorAll('#front g[data-axis]:not([display])').length") == 1
    trials = "[...document.querySelectorAll('#candidates tbody tr')].map((row) => +row.cells[0].textContent)"
    assert browser.evaluate(trials)[:3] == [0, 1, 2]
    for order in (False, True):
        browser.evaluate("document.querySelector('#candidates thead button').click()")
        assert browser.evaluate(trials) == sorted(browser.evaluate(trials), reverse=order)


def test_it_can_be_read_without_its_script(browser, page):
    browser.open(page, script=False)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate("document.querySelectorAll('#front a.mark').length") > 200
    assert browser.evaluate("getComputedStyle(document.getElementById('axes')).display") == "none"


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_an_accessibility_checker_finds_nothing_serious(browser, exported, table_run, tmp_path, kind):
    page = tmp_path / "page.html"
    page.write_bytes(report(exported, "1") if kind == "report" else comparison_page(compare_runs(
        [RunDirectory(table_run)] * 2)))
    spec = find_spec("axe_core_python")
    if spec is None:
        pytest.skip("axe is not here: the package axe-core-python has it")
    for scheme in ("light", "dark"):
        browser.open(page, scheme=scheme)
        browser.call("Page.setBypassCSP", enabled=True)
        browser.evaluate((Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text() + ";0")
        found = browser.evaluate("axe.run().then((found) => found.violations.map((one) => "
                                 "[one.impact, one.id, one.nodes[0].html]))")
        assert [one for one in found if one[0] in ("serious", "critical")] == []
