"""The study of a run in a PostgreSQL server, for workers on many machines, and how these share it.

Whose turn it is, is a lock of the server's that ends with the connection which holds it. That a worker lives is told by
its heartbeats, by the server's clock: a trial without one for `GRACE_S`, in which the server was up, is lost. The
password of a URL is shown nowhere and written nowhere.
"""

import contextlib
import functools
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evaluators.machine.trouble import MachineTrouble
from nas.problem.candidate import Candidate
from nas.run.connections import CONNECT_TIMEOUT_S, CONNECTION, with_living, with_sessions
from nas.run.sharing import worker_name
from search_spaces.errors import InvalidInput, require, unknown

if TYPE_CHECKING:
    import optuna
    import sqlalchemy

SCHEME, DRIVER = "postgresql", "postgresql+psycopg"
CONFIGURATION = "run.toml"  # the attribute of a study that keeps the text of that
GRACE = "grace_s"  # the attribute of a study that has another time in the place of `GRACE_S`
GRACE_S = 60.0
BEATS = 6  # in that time
SECRETS = ("password", "sslpassword")  # that a URL may have behind its `?`
PAUSES_S = (0.5, 30.0)  # the first and the longest between attempts to reach a server
ALIVE = """SELECT trials.number FROM trials JOIN trial_heartbeats USING (trial_id)
    WHERE trials.study_id = :study AND trials.state = 'RUNNING'
    AND localtimestamp - greatest(heartbeat, pg_postmaster_start_time()::timestamp) < make_interval(secs => :grace)"""


def is_url(text: str) -> bool:
    """Tells whether a text is the URL of a storage, be it as a path, and no path."""
    return "://" in text or re.match(r"postgres[\w+]*:/", text) is not None


@dataclass
class StudyDatabase:
    """The study of a run in a database.

    Attributes:
        url: of the database; raises `InvalidInput` where it is none of a PostgreSQL server, or its driver is missing.
        study: the name of the study; by default that of the only one there.
    """

    url: str = field(repr=False)
    study: str = ""
    _storage: "optuna.storages.RDBStorage | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        import sqlalchemy

        require(self.url.partition("?")[0].count("@") <= 1,
                "a URL has one @, before its host, and that of a password is %40, but this one has several")
        try:
            found = sqlalchemy.make_url(self.url)
        except (sqlalchemy.exc.ArgumentError, ValueError):  # where its password is in it, is not known
            raise InvalidInput(f"a storage is a URL like {SCHEME}://user@host/database, but got another text") from None
        require(found.drivername in (SCHEME, DRIVER) and bool(found.database), "a storage is a URL like "
                f"{SCHEME}://user@host/database, but got '{_shown(found)}'")
        self._url = found.set(drivername=DRIVER)
        try:
            self.engine = sqlalchemy.create_engine(self._url, poolclass=sqlalchemy.NullPool, connect_args=CONNECTION)
        except ImportError:
            raise InvalidInput("the driver of a storage must be installed (pip install 'paretonas[postgres]'), but "
                               "'psycopg' is not") from None
        with_sessions(self.engine)

    @functools.cached_property
    def name(self) -> str:
        """The name of the study, which the server is asked for where it is not given."""
        return self.study or self._only_name()

    @property
    def text(self) -> str:
        """The URL without its password, as it may be written."""
        return _shown(self._url)

    @property
    def place(self) -> str:
        """The database and name of the study, for messages."""
        return f"{self.text} {self.name}"

    @property
    def exists(self) -> bool:
        """Tells whether the study has been begun."""
        return self.name in self._names()

    was_there = exists

    def begin(self, directions: Sequence[str]) -> None:
        """Makes a study without trials; raises `InvalidInput` where there is one of its name."""
        import optuna

        with self.telling():
            try:
                optuna.create_study(storage=self._opened_storage(), study_name=self.name, directions=list(directions))
            except optuna.exceptions.DuplicatedStudyError:
                raise self._taken() from None

    def require_new(self) -> None:
        """Raises `InvalidInput` for the study of a search that has begun, though it may have no trials yet."""
        if self.exists and CONFIGURATION in self.opened().user_attrs:
            raise self._taken()

    def _taken(self) -> InvalidInput:
        return InvalidInput(f"a search begins a study of its own, but '{self.place}' is there: `nas worker` joins it, "
                            "`--study` gives another name")

    def opened(self) -> "optuna.Study":
        """Returns the study; raises as `telling` does."""
        import optuna

        from nas.run.database import Cached

        with self.telling():
            return optuna.load_study(study_name=self.name, storage=Cached(self._opened_storage()))

    read = opened

    @property
    def pooled(self) -> "sqlalchemy.Engine":
        """The engine of `opened`, which keeps its connections, for single statements."""
        return self._opened_storage().engine.execution_options(isolation_level="AUTOCOMMIT")

    def kept_description(self) -> str:
        """Returns the description that a search has left, empty where there is none."""
        return str(self.opened().user_attrs.get(CONFIGURATION, "")) if self.exists else ""

    def description(self) -> str:
        """Returns the description of the search; raises `InvalidInput` where there is none."""
        require(self.exists, f"a worker joins a search that has begun, but there is no '{self.place}'")
        text = self.kept_description()
        require("[config]" in text, f"a worker joins a search that tells of itself, but '{self.place}' does not")
        return text

    def close(self) -> None:
        """Closes the connections of `opened`."""
        if self._storage is not None:
            self._storage.engine.dispose()
            self._storage = None

    @contextlib.contextmanager
    def telling(self, damage: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Tells an error of the database in one line.

        Raises:
            InvalidInput: the study is not as a search has written it.
            MachineTrouble: the server cannot be reached, or lacks what it needs.
        """
        import optuna
        import sqlalchemy

        try:
            yield
        except (InvalidInput, OSError):
            raise
        except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, *damage) as error:
            if found := outage(error):
                raise MachineTrouble(f"a storage must be in reach, but '{self.text}' is not: {found}") from error
            raise InvalidInput(f"a study is as a search has written it, but '{self.place}' is not: "
                               f"{type(error).__name__}: {error}") from error

    def outlasts(self, error: Exception, say: Callable[[str], None]) -> bool:
        """Waits until the server is there again, if an error tells that it was away; tells whether it does."""
        reason = outage(error)
        if not reason or self._is_refused():
            return False
        waited, (pause_s, longest_s) = False, PAUSES_S
        while True:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)
            try:
                with self.engine.connect():
                    break
            except Exception as error:
                if not outage(error) or self._is_refused():
                    raise
                if not waited:
                    say(f"waiting for '{self.text}': {reason}")
                waited = True
        if waited:
            say(f"'{self.text}' is in reach again")
        return True

    def _is_refused(self) -> bool:
        """Tells whether the server is there, but does not let this process in that it has never let in."""
        if self._storage is not None:
            return False
        from psycopg.pq import PGconn, Ping

        place = self._url.set(drivername=SCHEME).update_query_dict({"connect_timeout": str(CONNECT_TIMEOUT_S)})
        if PGconn.ping(place.render_as_string(hide_password=False).encode()) != Ping.OK:
            return False
        try:
            self.engine.connect().close()
        except Exception:
            return True
        return False

    def _opened_storage(self) -> "optuna.storages.RDBStorage":
        import optuna

        from nas.run.database import Database

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if self._storage is None:
            self._storage = Database(self._url.render_as_string(hide_password=False),
                                     engine_kwargs={"connect_args": CONNECTION})
            with_sessions(self._storage.engine)
            with_living(self._storage.engine)
            self._storage.engine.dispose()
        return self._storage

    def _names(self) -> list[str]:
        import sqlalchemy

        with self.telling(), self.engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("studies"):
                return []
            return [name for (name,) in connection.execute(sqlalchemy.text("SELECT study_name FROM studies"))]

    def _only_name(self) -> str:
        names = self._names()
        if len(names) != 1:
            raise unknown("study", "", names) if names else InvalidInput(
                f"a worker joins a search that has begun, but '{self.text}' has none")
        return names[0]


def outage(error: BaseException | None) -> str:
    """Returns the reason, in one line, why a server is out of service; empty if an error tells of no outage."""
    import sqlalchemy

    away = sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, sqlalchemy.exc.TimeoutError
    while error is not None:
        if isinstance(error, away) or getattr(error, "connection_invalidated", False):
            return " ".join(str(getattr(error, "orig", None) or error).split())
        error = error.__cause__ or error.__context__  # SQLAlchemy's of a session after it have no cause
    return ""


class SharedDatabase:
    """The sharing of a study in a database by processes anywhere. Use it in a `with` statement."""

    def __init__(self, database: StudyDatabase, say: Callable[[str], None]) -> None:
        """Takes the study, and a function that tells of a server that is away."""
        self.worker = worker_name()
        self._database, self._say = database, say
        self._turn: sqlalchemy.Connection | None = None
        self._has_turn = False
        self._trials: dict[int, int] = {}  # numbers and ids of those that this process works on
        self._stopped = threading.Event()

    def __enter__(self) -> "SharedDatabase":
        self._study = self._database.opened()
        self._grace_s = float(self._study.user_attrs.get(GRACE, GRACE_S))
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._drop()

    def acquire(self) -> None:
        """Waits until no other process has the turn, and takes it; also until the server is there again."""
        while not self._has_turn:
            try:
                self._execute("SELECT pg_advisory_lock(:key)", key=_key(self._database.name, "turn"))
                self._has_turn = True
            except Exception as error:
                if not self.outlasts(error):
                    raise

    def release(self) -> None:
        """Gives the turn back, if this process has it."""
        if self._has_turn:
            self._has_turn = False
            try:
                self._execute("SELECT pg_advisory_unlock(:key)", key=_key(self._database.name, "turn"))
            except Exception:  # it has ended with its connection
                self._drop()

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Waits until no other process completes the search; none does during the block."""
        import sqlalchemy

        with self._database.telling(), self._connected() as connection:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:key)"),
                               {"key": _key(self._database.name, "end")})
            yield

    def begin(self, trial: "optuna.Trial") -> None:
        """Records a heartbeat of a trial, and further ones until it ends.

        Raises an error that `outlasts` knows where the turn has ended with its connection.
        """
        self._execute("INSERT INTO trial_heartbeats (trial_id, heartbeat) VALUES (:trial, localtimestamp) "
                      "ON CONFLICT (trial_id) DO UPDATE SET heartbeat = excluded.heartbeat", trial=trial._trial_id)
        self._trials[trial.number] = trial._trial_id

    def end(self, trial: "optuna.Trial") -> None:
        """Ends the heartbeats of a trial."""
        self._trials.pop(trial.number, None)

    def gone(self, running: Iterable[Candidate]) -> list[Candidate]:
        """Returns the running trials whose process has ended."""
        known = list(running)
        if not known:
            return []
        alive = {number for (number,) in self._execute(ALIVE, study=self._study._study_id, grace=self._grace_s)}
        return [candidate for candidate in known if candidate.worker is None or candidate.trial not in (
            self._trials if candidate.worker == self.worker else alive)]

    def outlasts(self, error: Exception) -> bool:
        """Waits until the server is there again, if an error tells that it was away; tells whether it does.

        If this process had the turn, it has it again then, though others may have had it meanwhile.
        """
        if not outage(error):
            return False
        had_turn, self._has_turn = self._has_turn, False
        self._drop()
        self._database.outlasts(error, self._say)
        if had_turn:
            self.acquire()
        return True

    def _execute(self, statement: str, **values: Any) -> "sqlalchemy.CursorResult[Any]":
        import sqlalchemy

        if self._turn is None:
            self._turn = self._connected()
        return self._turn.execute(sqlalchemy.text(statement), values)

    def _connected(self) -> "sqlalchemy.Connection":
        return self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def _drop(self) -> None:
        if self._turn is not None:
            with contextlib.suppress(Exception):
                self._turn.invalidate()
                self._turn.close()
            self._turn = None

    def _beat(self) -> None:
        while not self._stopped.wait(self._grace_s / BEATS):
            for trial_id in list(self._trials.values()):
                with contextlib.suppress(Exception):  # the next one may reach the server again
                    self._study._storage.record_heartbeat(trial_id)


def _shown(url: "sqlalchemy.URL") -> str:
    """Returns a URL without its password, wherever that stands in it."""
    return url._replace(password=None).difference_update_query(SECRETS).render_as_string()


def _key(*names: str) -> int:
    """Returns the number of a lock of the server's."""
    return int.from_bytes(hashlib.sha256(repr(("paretonas", *names)).encode()).digest()[:8], "big", signed=True)
