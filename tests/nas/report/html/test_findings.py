import dataclasses
import json

import pytest

from nas.engine.search import run_search
from nas.report.html.findings import findings_of
from search_spaces import InvalidInput


def roles(found):
    return {one.trial: found.roles(one) for one in found.networks}


def test_each_network_has_its_roles(exported):
    told = roles(exported)
    assert told[7] == ("winner", "on the front", "finalist")
    assert told[1] == ("on the front", "finalist", "exported")
    assert told[0] == ("made by hand", "dominated")
    assert [told[trial] for trial in (2, 3, 5, 8, 10)] == [
        ("rejected",), ("stopped",), ("dominated",), ("failed",), ("over a budget",)]
    untrained = dataclasses.replace(exported.candidates[2], by_hand=True)
    assert exported.roles(untrained) == ("rejected",), "what was not trained is nothing to compare with"
    assert 9 not in told  # it has the architecture of trial 1
    assert exported.exported.trial == 1


def test_of_too_many_networks_the_ones_that_matter_are_drawn(found):
    crowd = [dataclasses.replace(found.candidates[5], trial=100 + index, architecture=f"in+{index}", accuracy=0.5)
             for index in range(50)]
    many = dataclasses.replace(found, candidates=[*found.candidates, *crowd], most=20)
    drawn = [one.trial for one in many.drawn]
    assert len(drawn) == 20
    assert {0, 1, 3, 4, 7, 8, 10} <= set(drawn)
    assert drawn == sorted(drawn)
    assert found.drawn == found.networks


def test_choices_are_those_that_matter_in_a_network(found):
    assert found.choices[0].keys() == {"width", "stage0.channels", "stage1.depth", "stage1.layer0.kernel"}
    assert found.choices[1].keys() == found.choices[0].keys() | {"stage1.layer1.kernel"}
    table = dataclasses.replace(found, resolved=dataclasses.replace(found.resolved, space="nas-bench-macro"))
    assert table.choices[0] == found.candidates[0].assignment


def test_all_is_read_from_a_run(make_config, gauge, tmp_path):
    run = run_search(make_config(trials=4), tmp_path / "run", gauge=gauge)
    (run.path / "export").mkdir()
    (run.path / "export/certificate.json").write_text("{")
    (run.path / "correlation.json").write_text(json.dumps({"of": {}, "networks": {
        one.architecture: {"3": [[one.accuracy, 1.0], [one.accuracy - 0.1, 1.0]]} for one in run.candidates()}}))
    found = findings_of(run)
    assert found.candidates == run.candidates()
    assert (found.config, found.resolved, found.budgets) == (run.config, run.resolved, run.budgets)
    assert found.environments[0]["cores"] > 0
    assert list(found.unreadable) == ["export"]
    assert (found.noise.deviation, found.rankings) == (pytest.approx(0.1 / 2**0.5), ())
    (run.path / "finals.json").write_text("[1]")
    with pytest.raises(InvalidInput, match="the record of finals must be"):
        findings_of(run)
