import json
import math
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from nas.report.dashboard import _copy, dashboard_server
from nas.run.config import SearchConfig
from nas.run.directory import RunDirectory
from search_spaces import InvalidInput


def trial(number, values, violation):
    found = create_trial(values=values, params={"width": number}, distributions={"width": IntDistribution(0, 9)},
                         constraints={"latency": violation, "macs": -0.5}, user_attrs={"candidate": {"trained": True}})
    found.number = number
    return found


@dataclass
class Run:
    """A run directory, as far as a dashboard reads it."""

    path = Path("runs/a")
    config = SearchConfig()

    def trials(self):
        return [trial(0, [0.9, 0.1], -0.1), trial(1, [0.0, math.inf], 0.3), trial(2, [0.8, 0.2], 0.0),
                create_trial(state=TrialState.FAIL)]


def test_the_copy_tells_what_is_exceeded_where_the_dashboard_looks_for_it():
    told, copied = Run().trials(), _copy(Run(), Run().trials()).get_all_trials(0)
    assert [one.system_attrs["constraints"] for one in copied] == [[-0.1, -0.5], [0.3, -0.5], [0.0, -0.5], []]
    assert [one.values for one in copied] == [[0.9, 0.1], [0.0, 0.2], [0.8, 0.2], None]
    for name in ("number", "state", "params", "user_attrs"):
        assert [getattr(one, name) for one in copied][:3] == [getattr(one, name) for one in told][:3]


def test_a_missing_package_is_told_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(InvalidInput, match=r"`pip install paretonas\[dashboard\]` brings it"):
        dashboard_server(Run())


@pytest.fixture
def opened(table_run):
    """Opens paths of a dashboard as a browser does: `opened(path)`; the first one has nothing but the address."""
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not here; the extra `dashboard` has it")
    server, address = dashboard_server(RunDirectory(table_run))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def open_path(path=None, content=None):
        to = address if path is None else address.rsplit("/", 2)[0] + path
        return browser.open(urllib.request.Request(
            to, content, {"Content-Type": "application/json"}, method="PUT" if content else "GET")).read()

    yield open_path
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_dashboard_shows_a_run_and_changes_nothing(opened, table_run):
    before = {path: path.read_bytes() for path in table_run.rglob("*") if path.is_file()}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        opened("/api/studies/0")
    assert b"<title>Optuna Dashboard" in opened()
    trials = json.loads(opened("/api/studies/0"))["trials"]
    assert [one["number"] for one in trials] == [one.trial for one in RunDirectory(table_run).told()]
    opened("/api/studies/0/note", json.dumps({"body": "changed", "version": 1}).encode())
    assert json.loads(opened("/api/studies/0"))["note"]["body"] == "changed"
    assert {path: path.read_bytes() for path in table_run.rglob("*") if path.is_file()} == before
