"""The storage of the trials of a run: a SQLite file, set for many small transactions.

A file that another one has made, or that is damaged, is refused before anything is written to it, and a link is not
followed. Whoever only reads gets a copy in memory: nothing is made or changed, be it on a disk that takes no writes.
"""

import contextlib
import errno
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.machine.files import held, write_whole
from evaluators.machine.ownership import temporary_directory
from nas.trials.rows import StoredStudy, read_study
from search_spaces.errors import InvalidInput

if TYPE_CHECKING:
    import optuna

STUDY = "search"  # the name of every study that a search has made
LOG, INDEX, JOURNAL = "-wal", "-shm", "-journal"  # what SQLite keeps beside a file: its index is there while it is open
PROBE = bytes(1 << 16)  # bytes that a disk which is not full takes
BUSY_S = 60
DAMAGE = (LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)  # of values read from it
_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA,
            sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT)  # codes of errors that tell of the file itself


@dataclass
class StudyFile:
    """The file of a study, which one search at a time goes on with, and any number of processes read.

    Attributes:
        directory: what holds it.
        name: of the file.
    """

    directory: Path
    name: str = "study.db"
    _copied: "tuple[object, optuna.Study | StoredStudy] | None" = field(default=None, repr=False)
    _storage: "optuna.storages.RDBStorage | None" = field(default=None, repr=False)

    @property
    def path(self) -> Path:
        """The path of the file; raises `InvalidInput` where it, or a file of SQLite's beside it, is a link."""
        for beside in (LOG, INDEX, JOURNAL):
            held(self.directory, self.name + beside)
        return held(self.directory, self.name)

    @property
    def text(self) -> str:
        """The name of it in run.toml."""
        return self.name

    @property
    def place(self) -> str:
        """The path of the file, for messages."""
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Tells whether the file is there."""
        return self.path.exists()

    @property
    def was_there(self) -> bool:
        """Tells whether the file, or a log or journal of it, is there."""
        return self.path.exists() or any(self._beside(name) for name in (LOG, JOURNAL))

    def begin(self, directions: Sequence[str]) -> None:
        """Makes the file of a study without trials, whole or not at all."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with contextlib.closing(_in_memory()) as memory:
            optuna.create_study(storage=_storage_of(memory), study_name=STUDY, directions=list(directions))
            write_whole(self.path, memory.serialize())

    def opened(self) -> "optuna.Study":
        """Returns the study, to go on with; raises as `told_of` does."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        from nas.run.database import Cached

        with told_of(self.path):
            self._storage = sqlite_storage(self.path)
            return optuna.load_study(study_name=STUDY, storage=Cached(self._storage))

    def telling(self, damage: tuple[type[Exception], ...] = ()) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which errors of the file are told in one line, see `told_of`."""
        return told_of(self.path, damage)

    def outlasts(self, error: Exception, say: Callable[[str], None]) -> bool:
        """Returns False: a file is there or not, and is not waited for."""
        return False

    def close(self) -> None:
        """Closes the storage that `opened` has opened, so that SQLite leaves a single file."""
        if self._storage is not None:
            self._storage.engine.dispose()
            self._storage = None

    def read(self) -> "optuna.Study | StoredStudy":
        """Returns a copy of the study as it is now, the same one as long as nothing has changed.

        Raises:
            InvalidInput: a damaged file, or one that no search has made.
            OSError: a file that cannot be read.
        """
        state = [(status.st_ino, status.st_mtime_ns, status.st_size) for name in ("", LOG, JOURNAL)
                 if (status := self._beside(name))]
        if self._copied is None or self._copied[0] != state:
            with told_of(self.path, DAMAGE):
                self._copied = state, self._copy()
        return self._copied[1]

    def _copy(self) -> "optuna.Study | StoredStudy":
        memory = _in_memory()
        with self._source() as source, contextlib.closing(sqlite3.connect(source, uri=True, timeout=BUSY_S)) as file:
            file.backup(memory)
        _require_whole(self.path, memory)
        found = read_study(memory, STUDY)
        if found is not None:
            memory.close()
            return found
        import optuna

        return optuna.load_study(study_name=STUDY, storage=_storage_of(memory, skip_table_creation=True))

    @contextlib.contextmanager
    def _source(self) -> Iterator[str]:
        """Yields the address at which SQLite reads the file without making another one beside it.

        It makes an index where there is a log, so what a killed search has left without one is read elsewhere.
        """
        if self._beside(LOG) and self._beside(INDEX):
            yield f"{self.path.absolute().as_uri()}?mode=ro"
        elif any(status.st_size for name in (LOG, JOURNAL) if (status := self._beside(name))):
            with temporary_directory() as directory:
                for name in ("", LOG, JOURNAL):
                    if self._beside(name):
                        shutil.copyfile(f"{self.path}{name}", directory / f"{self.name}{name}")
                yield (directory / self.name).as_uri()
        else:
            yield f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"

    def _beside(self, name: str) -> os.stat_result | None:
        try:
            return self.path.with_name(self.name + name).stat()
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def told_of(path: Path, damage: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Tells an error of the file of a study in one line that names it.

    Args:
        path: the file.
        damage: what else than an error of the storage is raised where values in it are not as a search writes them.

    Raises:
        InvalidInput: it is damaged.
        OSError: it cannot be read or written, as on a disk that is full.
    """
    try:
        yield
    except (InvalidInput, OSError):
        raise
    except _of_storage(damage) as error:
        found = _of_sqlite(error)
        if found is not None and found.sqlite_errorcode & 0xFF not in _DAMAGED:
            raise _of_machine(path, found) from error
        raise unusable(path, f"damaged: {found or f'{type(error).__name__}: {error}'}") from error


def _of_storage(damage: tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    """Returns the errors of a storage; libraries are imported where there is an error that may be theirs."""
    import optuna
    import sqlalchemy

    return sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, *damage


def unusable(path: Path | str, state: str) -> InvalidInput:
    """Returns the error for a file of trials that can neither be read nor gone on with."""
    return InvalidInput(f"the trials of a run are read as its search has written them, but '{path}' is {state}; put a "
                        "copy of it back, or search anew in another directory (`--run`)")


def _of_sqlite(error: BaseException | None) -> sqlite3.Error | None:
    """Returns the error of SQLite's that an error of the libraries above it has come of."""
    while error is not None:
        if isinstance(error, sqlite3.Error) and hasattr(error, "sqlite_errorcode"):
            return error
        error = getattr(error, "orig", None) or error.__cause__
    return None


def _of_machine(path: Path, error: sqlite3.Error) -> OSError:
    """Returns the error of the system where SQLite fails, which tells of a full disk in several ways."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(PROBE)
    except OSError as found:
        return OSError(found.errno, found.strerror, str(path))
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return OSError(errno.EIO, str(error), str(path))


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


def _storage_of(connection: sqlite3.Connection, **options: bool) -> "optuna.storages.RDBStorage":
    """Returns the storage that a connection leads to."""
    import sqlalchemy

    from nas.run.database import Database

    return Database("sqlite://", engine_kwargs={
        "creator": lambda: connection, "poolclass": sqlalchemy.pool.StaticPool}, **options)


def _require_whole(path: Path, database: sqlite3.Connection) -> None:
    """Raises `InvalidInput`, or an error of SQLite's, where a file is damaged or none that a search has made."""
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise unusable(path, f"damaged: {found}")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        raise unusable(path, "empty")
    if not tables >= {"studies", "trials"} or (STUDY,) not in database.execute("SELECT study_name FROM studies"):
        raise unusable(path, "a database without the trials of a search")
    orphans = database.execute("PRAGMA foreign_key_check").fetchone()
    if orphans:
        raise unusable(path, f"damaged: rows of the table '{orphans[0]}' belong to nothing")


def sqlite_storage(path: Path) -> "optuna.storages.RDBStorage":
    """Returns a storage in a SQLite file with write-ahead logging; a file system that lacks it does without, slower."""
    import sqlalchemy

    from nas.run.database import Database

    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        print(f"nas: the file system of '{path}' has no write-ahead logging, so trials are recorded slower",
              file=sys.stderr)
    url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()  # which quotes a `?` in the path
    storage = Database(url, engine_kwargs={"connect_args": {"timeout": BUSY_S}})

    def connect(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    sqlalchemy.event.listen(storage.engine, "connect", connect)
    storage.engine.dispose()
    return storage
