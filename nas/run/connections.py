"""Connections to a PostgreSQL server, both ends of which find within a minute that the other machine is gone."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy

CONNECT_TIMEOUT_S = 10
CONNECTION = {"connect_timeout": CONNECT_TIMEOUT_S, "keepalives_idle": 30, "keepalives_interval": 10,
              "keepalives_count": 3}
SESSION = ("SET TIME ZONE 'UTC'",  # as heartbeats of workers anywhere are compared
           "SET tcp_keepalives_idle = 30", "SET tcp_keepalives_interval = 10", "SET tcp_keepalives_count = 3")
USED_S, RESTED_S = "used_s", 1.0  # when a connection was used, and after how long without that it is tried first


def with_sessions(engine: "sqlalchemy.Engine") -> None:
    """Lets each new connection of an engine begin with `SESSION`."""
    import sqlalchemy

    @sqlalchemy.event.listens_for(engine, "connect")
    def begin(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            for statement in SESSION:
                cursor.execute(statement)
        connection.commit()


def with_living(engine: "sqlalchemy.Engine") -> None:
    """Lets the pool of an engine open its connections anew where one that has rested has ended meanwhile.

    One that was used just now is not tried first, since that takes a way to the server and back.
    """
    import sqlalchemy

    @sqlalchemy.event.listens_for(engine, "checkout")
    def require_alive(connection: Any, record: Any, proxy: Any) -> None:
        if time.monotonic() > record.info.get(USED_S, 0.0) + RESTED_S:
            try:
                connection.execute("SELECT 1")
                connection.rollback()
            except Exception as error:
                raise sqlalchemy.exc.InvalidatePoolError from error

    @sqlalchemy.event.listens_for(engine, "checkin")
    def note_use(connection: Any, record: Any) -> None:
        record.info[USED_S] = time.monotonic()
