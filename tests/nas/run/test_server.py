"""The study in a PostgreSQL server and its turn; workers that share one are in `tests/nas/engine/test_joining.py`."""

import threading
import time

import pytest
import sqlalchemy

from nas.run.server import SharedDatabase, StudyDatabase, outage
from search_spaces.errors import InvalidInput


@pytest.fixture
def database(postgresql):
    """A study on a server."""
    found = StudyDatabase(postgresql.new_database(), "one")
    found.begin(["maximize"])
    return found


@pytest.mark.parametrize("url", [
    "postgresql:/me:secret@host/name", "me:secret@host/name", "postgresql://me:secret@host:port/name",
    "postgresql://me:first@secret@host/name", "postgresql://me:first@second/secret@host/name",
    "mysql://me:secret@host/name", "mysql://host/name?password=secret", "postgresql://me:secret@host"])
def test_a_url_that_is_refused_may_hold_a_password_and_is_not_shown(url):
    with pytest.raises(InvalidInput) as refused:
        StudyDatabase(url, "one")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", [":secret@host/name", "@host/name?password=secret", "@host/name?sslpassword=secret",
                                  ":secret%40%2F@host/name?application_name=nas"])
def test_a_password_is_left_out_wherever_it_stands_in_a_url(text):
    shown = StudyDatabase(f"postgresql://me{text}", "one").text
    assert "secret" not in shown and shown.startswith("postgresql+psycopg://me@host/name")


def test_a_turn_that_has_ended_with_its_connection_is_given_back_and_taken_again(database):
    with SharedDatabase(database, print) as sharing, SharedDatabase(database, print) as other:
        sharing.acquire()
        end_connections(database)
        sharing.release()
        sharing.acquire()
        with database.engine.connect() as connection:
            held = connection.execute(sqlalchemy.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
            assert held.scalar() == 1
        sharing.release()
        other.acquire()


def end_connections(database):
    with database.engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                           "WHERE datname = current_database() AND pid <> pg_backend_pid()"))


def test_the_server_finds_within_a_minute_that_the_machine_with_the_turn_is_gone(database):
    with database.engine.connect() as connection:
        idle_s, every_s, count = (int(connection.execute(sqlalchemy.text(f"SHOW tcp_keepalives_{name}")).scalar())
                                  for name in ("idle", "interval", "count"))
    assert 0 < idle_s + every_s * count <= 60


def test_a_session_that_an_outage_has_left_tells_of_it_too(postgresql):
    database = StudyDatabase(postgresql.new_database(), "left")
    database.begin(["maximize"])
    trial, errors = database.opened().ask(), []

    def write():
        try:
            for number in range(10**6):
                trial.set_user_attr("number", number)
        except Exception as error:
            errors.append(error)

    for _ in range(3):  # in one of several statements
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.2)
        postgresql.stop()
        thread.join()
        postgresql.start()
    assert all(map(outage, errors)) and len(errors) == 3
