import http.client
import os
import shutil
import signal
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from evaluators.registry import EVALUATORS
from nas.cli.report import write_report
from nas.engine.search import run_search
from nas.report.html import live
from nas.report.html.live import live_server
from nas.run.directory import RunDirectory
from search_spaces import InvalidInput

PATIENCE_S = 60


def until(true):
    """Waits until something is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def searching(make_config, evaluator, gauge, monkeypatch, tmp_path):
    """A search in the background that trains as many networks as it is let: its directory, and what lets it."""
    let, trained = threading.Semaphore(3), []

    def train(architecture, data, fidelity):
        assert let.acquire(timeout=PATIENCE_S)
        trained.append(architecture)
        return evaluator(architecture, data, fidelity)

    monkeypatch.setitem(EVALUATORS, "hash", lambda context: train)
    monkeypatch.setattr(live, "REST", 0)
    path = tmp_path / "run"
    thread = threading.Thread(target=run_search, args=(make_config(trials=8), path), kwargs={"gauge": gauge})
    thread.start()
    until(lambda: len(trained) == 3 and (path / "run.toml").exists()
          and sum(one.trained for one in RunDirectory(path).told()) == 3)

    def go_on(count):
        let.release(count)
        until(lambda: sum(one.trained for one in RunDirectory(path).told()) >= len(trained) >= 3 + count)

    yield path, go_on
    let.release(8)
    thread.join()


@pytest.fixture
def serve():
    """Begins servers of runs: `serve(path)` is an address."""
    begun = []

    def begin(path):
        server, address = live_server(path)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        begun.append((server, thread))
        return address

    yield begin
    for server, thread in begun:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(address, path=None, method="GET", **headers):
    """Returns the status, the version and the content of an answer."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
    connection.request(method, parts.path if path is None else path,
                       headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content


def version_of(content):
    return content.partition('data-version="')[2].partition('"')[0]


def test_the_page_follows_a_search(searching, serve, monkeypatch):
    path, go_on = searching
    address = serve(path)
    until(lambda: ask(address, If_None_Match=version_of(ask(address)[1])) == (304, ""))  # the next training waits
    status, before = ask(address)
    assert status == 200
    go_on(2)
    status, after = ask(address, If_None_Match=version_of(before))
    assert status == 200
    assert after.count('<tr id="trial-') > before.count('<tr id="trial-')
    monkeypatch.setattr(live, "REST", 1e6)
    go_on(1)
    until(lambda: version_of(ask(address)[1]) != version_of(after))  # the rest of the page before is over
    shown = ask(address)
    go_on(1)
    assert ask(address) == shown  # it has just been written, and the search is to have its machine


def test_nothing_of_a_run_is_changed(table_run, serve):
    content = {file: file.read_bytes() for file in table_run.rglob("*") if file.is_file()}
    assert ask(serve(table_run))[0] == 200
    assert {file: file.read_bytes() for file in table_run.rglob("*") if file.is_file()} == content


def test_only_who_has_the_address_gets_anything(table_run, serve):
    address = serve(table_run)
    token = urlsplit(address).path
    assert len(token) > 32
    for other in ("/", "", token[:-1], token[:-2] + "/", token + "x", token.upper(), "/%ff"):
        status, content = ask(address, other)
        assert (status, "trial" in content) == (404, False)
    for host in ("example.org", f"example.org:{urlsplit(address).port}", "127.0.0.1.example.org", "localhost.", ""):
        status, content = ask(address, Host=host)
        assert (status, "trial" in content) == (421, False)
    assert ask(address, Host="localhost:8000")[0] == 200  # as through a tunnel
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(address, method=method)[0] == 404
    assert ask(address, token + "more")[0] == 404


def test_each_server_has_an_address_of_its_own(table_run, serve):
    one, other = serve(table_run), serve(table_run)
    assert urlsplit(one).path != urlsplit(other).path
    assert {urlsplit(address).hostname for address in (one, other)} == {"127.0.0.1"}
    with pytest.raises(OSError, match="in use"):
        live_server(table_run, urlsplit(one).port)
    with pytest.raises(InvalidInput, match="`port` lies in 1 to 65535, but got 70000"):
        live_server(table_run, 70_000)


def test_a_run_that_cannot_be_read_is_told_of(table_run, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "REST", 0)
    path = shutil.copytree(table_run, tmp_path / "run")
    address = serve(path)
    (path / "run.toml").write_text("nothing")
    status, content = ask(address)
    assert status == 503
    assert content.startswith("The run cannot be read: run.toml must be as a search has written it")


def test_a_port_that_is_taken_is_named(table_run):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"Address already in use: '127.0.0.1:{port}'"):
            live_server(table_run, port)


def test_it_ends_with_an_interruption(table_run, capsys, monkeypatch):
    def begun(*arguments):
        server, address = live_server(*arguments)
        threading.Thread(target=lambda: (ask(address), os.kill(os.getpid(), signal.SIGINT))).start()
        return server, address

    monkeypatch.setattr(live, "live_server", begun)
    monkeypatch.setattr(os, "nice", lambda by: 0)
    with pytest.raises(KeyboardInterrupt):
        write_report(str(table_run), live=True)
    address = capsys.readouterr().out.splitlines()[0]
    with pytest.raises(ConnectionRefusedError):
        ask(address)


@pytest.mark.parametrize(("options", "rule"), [
    (("--port", 8000), "a port is of what is served, but got 8000 for a file"),
    (("--live", "--out", "a.html"), "one of `--out`, `--live` and `--dashboard` is taken at a time"),
    (("--live", "--dashboard"), "one of `--out`, `--live` and `--dashboard` is taken at a time")])
def test_what_does_not_go_together_is_refused(options, rule, table_run, nas):
    assert nas("report", table_run, *options) == (2, "", f"nas: {rule}\n")


def test_a_reader_stays_where_they_are_when_the_page_goes_on(browser, searching, serve):
    path, go_on = searching
    browser.open(serve(path), height=500)
    rows = "document.querySelectorAll('#candidates tbody tr').length"
    before = browser.evaluate(rows)
    browser.evaluate("""
        document.querySelector('#axes input[value="1"]').click();
        document.querySelectorAll('#candidates thead button')[0].click();
        document.querySelectorAll('#candidates thead button')[0].click();
        for (const one of document.querySelectorAll('details')) one.open = true;
        document.querySelectorAll('#front a.mark')[0].dispatchEvent(new MouseEvent('click', { bubbles: true }));
        document.querySelector('.scroll.tall').scrollTop = 7;
        document.getElementById('all').scrollIntoView();
        document.querySelectorAll('#candidates thead button')[3].focus({ preventScroll: true });
        getSelection().removeAllRanges();""")
    state = """JSON.stringify([
        document.querySelector('#axes input:checked').value,
        document.querySelector('#candidates th').getAttribute('aria-sort'),
        document.querySelectorAll('details:not([open])').length,
        document.querySelector('#detail h3').textContent, document.querySelector('.scroll.tall').scrollLeft,
        document.activeElement.textContent])"""
    top = "document.getElementById('all').getBoundingClientRect().top"
    chosen, place = browser.evaluate(state), browser.evaluate(top)
    go_on(2)
    until(lambda: browser.evaluate(rows) > before)
    assert browser.evaluate(state) == chosen
    assert browser.evaluate(top) == pytest.approx(place, abs=1)  # pages are scrolled by whole pixels
    trials = "[...document.querySelectorAll('#candidates tbody tr')].map((row) => +row.cells[0].textContent)"
    assert browser.evaluate(trials) == sorted(browser.evaluate(trials), reverse=True)
    assert browser.complaints() == []
