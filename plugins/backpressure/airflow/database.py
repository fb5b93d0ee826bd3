"""A lesson task's way to PostgreSQL: connect as the lessons' role, and see who is connected, as the server says.

``connect`` opens what a lesson wants to open. ``Sessions`` looks on: its own connection belongs to another role, so
that looking takes none of the connections that are looked at, and it never counts itself.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import psycopg2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

APPLICATION_DB = "lab_postgres"
"""The connection id of the lessons' application database, whose role may hold a few connections only."""
WATCHING_DB = "backpressure_db"
"""The connection id through which sessions are watched: its role may see all of them and has no such limit."""
METADATA = "airflow"
"""The name of Airflow's metadata database in the lab, and of the role that its components connect as."""
TOO_MANY_CONNECTIONS = "53300"
"""The SQLSTATE of a connection that PostgreSQL refused because there are as many as there may be."""

# libpq tells no SQLSTATE of a refused connection; these are the server's words for 53300.
_REFUSALS = ("too many connections for role", "too many connections for database", "too many clients already",
             "remaining connection slots are reserved")  # fmt: skip

_SESSIONS = """
SELECT pid, usename AS role, datname AS database, application_name AS application, state,
       wait_event_type = 'Lock' AS waits_for_lock,
       extract(epoch FROM now.now)::float8 AS at,
       extract(epoch FROM now.now - backend_start)::float8 AS age,
       extract(epoch FROM now.now - xact_start)::float8 AS transaction_age,
       extract(epoch FROM now.now - state_change)::float8 AS state_age
FROM pg_stat_activity, (SELECT clock_timestamp() AS now) AS now
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND (%(role)s::text IS NULL OR usename = %(role)s)
  AND (%(database)s::text IS NULL OR datname = %(database)s)
  AND (%(application)s::text IS NULL OR application_name = %(application)s)
ORDER BY backend_start, pid
"""


class TooManyConnectionsError(Exception):
    """PostgreSQL refused a connection because there are as many as there may be (SQLSTATE 53300)."""

    sqlstate = TOO_MANY_CONNECTIONS


def connect(
    conn_id: str = APPLICATION_DB,
    *,
    application: str = "",
    database: str | None = None,
    dsn: str | None = None,
    timeout: int = 10,
    options: str = "",
) -> Connection:
    """Open a connection on which each statement commits itself; close it when done, or use ``contextlib.closing``.

    Args:
        conn_id: the Airflow connection that says where, as whom, and with which password.
        application: how ``pg_stat_activity`` shall name this connection.
        database: another database of the same server; the Airflow connection's own when left out.
        dsn: a libpq connection string instead of the Airflow connection.
        timeout: seconds to wait for the server.
        options: settings of the server for this connection, as libpq has them: ``"-c statement_timeout=500"``.

    Raises:
        TooManyConnectionsError: the role, the database or the server has as many connections as it may.
        psycopg2.OperationalError: the server could not be reached, or refused for another reason.
    """
    known: dict[str, Any] = {"dsn": dsn} if dsn else dict(parameters(conn_id))
    where = known | ({"dbname": database} if database else {}) | ({"options": options} if options else {})
    try:
        opened: Connection = psycopg2.connect(**where, application_name=application, connect_timeout=timeout)
    except psycopg2.OperationalError as error:
        if any(words in str(error) for words in _REFUSALS):
            raise TooManyConnectionsError(str(error).strip()) from error
        raise
    opened.autocommit = True
    return opened


def ask(statement: str, *, dsn: str, application: str) -> None:
    """Carry out a statement on a connection of its own, and close that."""
    with contextlib.closing(connect(dsn=dsn, application=application)) as database, database.cursor() as cursor:
        cursor.execute(statement)


class Sessions:
    """Who is connected to the server: one reading after another, over one connection that is itself never counted.

    Args:
        conn_id: the Airflow connection to look through; its role has the rights of ``pg_monitor``.
        dsn: a libpq connection string instead.
    """

    def __init__(self, conn_id: str = WATCHING_DB, *, dsn: str | None = None) -> None:
        self._conn_id = conn_id
        self._dsn = dsn
        self._open: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next reading opens a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def now(self) -> float:
        """The server's clock (epoch s)."""
        return float(self._one("SELECT extract(epoch FROM clock_timestamp())::float8 AS value"))

    def limit(self, role: str = "lab") -> int:
        """How many connections a role may hold at once; -1 is without limit.

        Raises:
            LookupError: there is no such role.
        """
        found = self._one("SELECT (SELECT rolconnlimit FROM pg_roles WHERE rolname = %(role)s) AS value", role=role)
        if found is None:
            raise LookupError(f"PostgreSQL knows no role {role!r}")
        return int(found)

    def server_limit(self) -> int:
        """How many connections the whole server takes (``max_connections``)."""
        return int(self._one("SELECT current_setting('max_connections') AS value"))

    def all(
        self, *, role: str | None = None, database: str | None = None, application: str | None = None
    ) -> list[dict[str, Any]]:
        """Every session that fits, the oldest first.

        Each has ``pid``, ``role``, ``database``, ``application``, ``state`` ("active", "idle", "idle in transaction",
        …), ``waits_for_lock``, ``at`` (the server's clock, epoch s), and in seconds ``age``, ``transaction_age`` (None
        outside one) and ``state_age``.
        """
        with self._cursor() as cursor:
            cursor.execute(_SESSIONS, {"role": role, "database": database, "application": application})
            return [dict(row) for row in cursor.fetchall()]

    def sample(
        self, *, role: str | None = None, database: str | None = None, application: str | None = None
    ) -> dict[str, float]:
        """Count the sessions that fit: a sample as :mod:`backpressure.measures.samples` takes it.

        It has ``at`` (the server's clock, epoch s), ``total``, ``active``, ``idle``, ``in_transaction`` (idle in one),
        ``waiting`` (for a lock), and in seconds the ``oldest`` session and the ``longest_transaction``; 0 for none.
        """
        found = self.all(role=role, database=database, application=application)
        states = [session["state"] or "" for session in found]
        return {
            "at": found[0]["at"] if found else self.now(),
            "total": len(found),
            "active": states.count("active"),
            "idle": states.count("idle"),
            "in_transaction": sum(state.startswith("idle in transaction") for state in states),
            "waiting": sum(bool(session["waits_for_lock"]) for session in found),
            "oldest": max((session["age"] for session in found), default=0.0),
            "longest_transaction": max((session["transaction_age"] or 0.0 for session in found), default=0.0),
        }

    def wait_until_gone(self, application: str, seconds: float = 5.0) -> None:
        """Wait until no session has this name: the server needs a moment to end one that its client has closed.

        Raises:
            TimeoutError: there were some after so many seconds.
        """
        deadline = time.monotonic() + seconds
        while left := len(self.all(application=application)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{left} sessions of {application!r} are still there after {seconds:g} s")
            time.sleep(0.02)

    def _one(self, query: str, **values: Any) -> Any:
        with self._cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchone()["value"]

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        from psycopg2.extras import RealDictCursor  # noqa: PLC0415 - not while a DAG file is parsed

        if self._open is None or self._open.closed:
            self._open = connect(self._conn_id, application="sessions", dsn=self._dsn)
            self._open.set_session(readonly=True, autocommit=True)
        with self._open.cursor(cursor_factory=RealDictCursor) as cursor:
            yield cursor


def dsn(conn_id: str = APPLICATION_DB) -> str:
    """The libpq connection string of an Airflow connection, for threads: only a task's own thread may ask Airflow."""
    from psycopg2.extensions import make_dsn  # noqa: PLC0415 - not while a DAG file is parsed

    return str(make_dsn(**parameters(conn_id)))


def parameters(conn_id: str = APPLICATION_DB) -> Mapping[str, Any]:
    """What libpq needs to connect as an Airflow connection says: host, port, dbname, user, password, as far as said."""
    from airflow.sdk import Connection  # noqa: PLC0415 - tests and commands use this module without Airflow

    found = Connection.get(conn_id)
    known = {
        "host": found.host,
        "port": found.port,
        "dbname": found.schema,
        "user": found.login,
        "password": found.password,
    }
    return {name: value for name, value in known.items() if value}
