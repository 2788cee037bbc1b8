"""The PostgreSQL server of tests and experiments, asked with its own driver."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import postgresql as module
from experiments.postgresql import binaries, running


def ask(url, statement, rows=True):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if rows else None


def test_a_database_is_empty_and_its_server_wants_the_password(postgresql):
    import psycopg

    url = postgresql.new_database()
    assert ask(url, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'") == [(0,)]
    assert postgresql.password not in repr(postgresql)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(url.replace(postgresql.password, "guessed"), "SELECT 1")


def test_what_was_committed_outlives_a_stop_in_the_middle(postgresql):
    import psycopg

    url = postgresql.new_database()
    ask(url, "CREATE TABLE kept AS SELECT 7 AS number", rows=False)
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO kept VALUES (8)")
        postgresql.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        ask(url, "SELECT 1")
    postgresql.start()
    assert ask(url, "SELECT number FROM kept") == [(7,)]


def test_nothing_of_a_server_is_left_after_an_error(postgresql):
    with pytest.raises(ZeroDivisionError), running() as server:
        process = server._process.pid
        raise ZeroDivisionError
    assert not server.directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_server_ends_with_a_process_that_is_killed(postgresql):
    script = ("from experiments.postgresql import running\nimport time\n"
              "with running() as server:\n print(server._process.pid, server.directory, flush=True)\n time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    number, directory = process.stdout.readline().split()
    process.kill()
    process.communicate()
    deadline_s = time.monotonic() + 30
    while Path("/proc", number, "exe").exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert not Path("/proc", number, "exe").exists()
    shutil.rmtree(directory)


def test_a_server_that_does_not_start_says_why(postgresql):
    with pytest.raises(RuntimeError, match='unrecognized configuration parameter "fsnyc"'), running(fsnyc="off"):
        pass


def test_the_newest_package_is_taken_else_what_is_on_the_path(tmp_path, monkeypatch):
    for version in ("9", "15"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin/initdb").touch()
    monkeypatch.setattr(module, "DEBIAN", tmp_path)
    assert binaries() == tmp_path / "15/bin"
    shutil.copyfile("/bin/true", tmp_path / "initdb")
    (tmp_path / "initdb").chmod(0o755)
    monkeypatch.setattr(module, "DEBIAN", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries() == tmp_path
    monkeypatch.setenv("PATH", "")
    assert binaries() is None
    with pytest.raises(FileNotFoundError, match="neither in"), running():
        pass
