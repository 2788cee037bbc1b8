"""The storage of the trials of a run: a SQLite file, set for many small transactions."""

import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna


def sqlite_storage(path: Path) -> "optuna.storages.RDBStorage":
    """Returns a storage in a SQLite file with write-ahead logging; a file system that lacks it does without, slower."""
    import optuna
    import sqlalchemy

    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        print(f"nas: the file system of '{path}' has no write-ahead logging, so trials are recorded slower",
              file=sys.stderr)
    url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()  # which quotes a `?` in the path
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})

    def connect(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    sqlalchemy.event.listen(storage.engine, "connect", connect)
    storage.engine.dispose()
    return storage
