"""Airflow's metadata database as its administrator sees it: who holds the scheduler's lock, and who takes it.

The role of the connection used here owns none of Airflow's tables and can read none. An advisory lock needs no rights:
whoever may connect to the database may take it.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from backpressure.airflow.database import METADATA, WATCHING_DB, connect
from backpressure.airflow.machine import part_log
from backpressure.server_log import said, slow_statements

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

__all__ = ["LockWatch", "hold_lock", "read_logs"]

CRITICAL_SECTION = 2
"""The number of the advisory lock that a scheduler takes while it hands over tasks (``DBLocks`` of Airflow 3.3)."""

_HOLDER = """
SELECT held.pid, who.application_name AS application, who.state
FROM pg_locks AS held JOIN pg_stat_activity AS who USING (pid)
WHERE held.locktype = 'advisory' AND held.classid = 0 AND held.objid = %(lock)s AND held.granted
  AND held.database = (SELECT oid FROM pg_database WHERE datname = %(database)s)
"""
_HOLD = "SELECT pg_advisory_xact_lock(%(lock)s), pg_sleep(%(seconds)s)"
_WAIT = "SELECT pg_sleep(%(seconds)s)"


def hold_lock(seconds: float, *, lock: int | None = CRITICAL_SECTION, dsn: str | None = None) -> dict[str, Any]:
    """Run one statement that lasts so long and holds a lock meanwhile, as a scheduler that hangs in its pass does.

    Args:
        seconds: how long.
        lock: its number; None takes none.
        dsn: a libpq connection string instead of the Airflow connection, of the metadata database.

    Returns ``pid`` (the server process), ``began`` (epoch s) and ``seconds``, by this process's clock.
    """
    with closing(connect(WATCHING_DB, application="hanging", database=METADATA, dsn=dsn)) as session:
        pid, began, clock = session.info.backend_pid, time.time(), time.monotonic()
        with session.cursor() as cursor:
            cursor.execute(_HOLD if lock is not None else _WAIT, {"lock": lock, "seconds": seconds})
        return {"pid": pid, "began": began, "seconds": time.monotonic() - clock}


def read_logs(words: str, since: float, until: float) -> dict[str, list[Any]]:
    """What the lab's servers logged between two instants (epoch s).

    ``slow`` are the database server's slow statements, ``said`` the instants at which the scheduler said some words.
    """
    slow = slow_statements(part_log("postgres"), since, until)
    return {"slow": [one.to_dict() for one in slow], "said": said(part_log("scheduler"), words, since, until)}


class LockWatch:
    """Who holds the scheduler's lock, one reading after another over one connection.

    Args:
        dsn: a libpq connection string instead of the Airflow connection, of any database of the server.
    """

    def __init__(self, *, dsn: str | None = None) -> None:
        self._dsn = dsn
        self._open: Connection | None = None

    def sample(self, lock: int = CRITICAL_SECTION, database: str = METADATA) -> dict[str, Any]:
        """Who has the lock now: ``pid`` (0 for nobody), ``application`` and ``state`` of the session, and ``at``."""
        if self._open is None:
            self._open = connect(WATCHING_DB, application="lock watch", dsn=self._dsn)
        with self._open.cursor() as cursor:
            cursor.execute(_HOLDER, {"lock": lock, "database": database})
            found = cursor.fetchone()
        pid, application, state = found or (0, "", "")
        return {"pid": pid, "application": application, "state": state, "at": time.time()}

    def close(self) -> None:
        """Close the connection; the next reading opens a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None
