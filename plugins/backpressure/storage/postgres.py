"""State in PostgreSQL, shared by every process and host that uses the same database and schema."""

import contextlib
import math
import os
import re
import time
from collections.abc import Generator

import psycopg2

from backpressure.clock import Clock, SystemClock
from backpressure.storage import _failures, _schema
from backpressure.storage._connection import DeadlineError, Wait, drive, drive_async, execute, pause
from backpressure.storage._literals import call, literal
from backpressure.storage._pool import ConnectionPool
from backpressure.storage.protocol import Argument, Feature, Operation, Result

__all__ = ["PostgresStorage"]

DEFAULT_TIMEOUT = 5.0
LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier."""
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


class PostgresStorage:
    """Runs each operation as one statement, a function call, in a transaction of its own.

    The tables are made when they are first missed, by whichever process comes first. Nothing connects before the first
    operation. One storage serves any number of threads and event loops, and goes on working after a fork and after a
    restart of the server. It keeps no state in a session, so that it works through PgBouncer in transaction mode.

    Args:
        dsn: libpq connection string or URI; `postgresql+psycopg2://` as SQLAlchemy writes it will do.
        schema: PostgreSQL schema that holds the tables, at most 63 bytes.
        timeout: seconds within which an operation answers or raises, when the caller names none.
        max_connections: most connections that this process keeps open.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self, dsn: str, *, schema: str = "backpressure", timeout: float = DEFAULT_TIMEOUT, max_connections: int = 4
    ) -> None:
        if not isinstance(dsn, str) or not dsn.strip():
            raise ValueError(f"dsn must be a PostgreSQL connection string or URI, not {dsn!r}")
        if not schema or "\0" in schema or len(schema.encode()) > LONGEST_NAME:
            raise ValueError(f"schema must be a name of 1 to {LONGEST_NAME} bytes, not {schema!r}")
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, not {max_connections!r}")
        self.clock: Clock = SystemClock()
        self.schema = schema
        self._timeout = _checked(timeout)
        # SQLAlchemy's spelling names the driver, which libpq does not know.
        self._dsn = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", dsn)
        self._quoted = _schema.quote_identifier(schema)
        self._pool = ConnectionPool(self._dsn, max_connections)

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation; see `Storage.run`."""
        return drive(self._run(operation, keys, arguments, timeout))

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Result:
        """Apply one operation; see `Storage.run_async`."""
        return await drive_async(self._run(operation, keys, arguments, timeout))

    def install(self, *features: Feature, timeout: float = 60.0) -> None:
        """Make or upgrade tables ahead of time, as a role that may; the role that uses them later need not create any.

        Raises:
            StorageError: it could not be done, or not within `timeout` seconds.
        """
        seconds = _checked(timeout)
        deadline = time.monotonic() + seconds
        for feature in features:
            try:
                drive(self._install(feature, deadline))
            except DeadlineError as late:
                raise _failures.unavailable(self._dsn, seconds, None) from late
            except psycopg2.Error as error:
                raise _failures.typed(self._dsn, error) from error

    def close(self) -> None:
        """Close the connections that are not in use; the next operation opens one again."""
        self._pool.discard_idle()

    def _run(
        self, operation: Operation, keys: tuple[str, ...], arguments: tuple[Argument, ...], timeout: float | None
    ) -> Generator[Wait, None, Result]:
        seconds = self._timeout if timeout is None else _checked(timeout)
        deadline = time.monotonic() + seconds
        sql = call(f"{self._quoted}.{operation.name}", keys, arguments, many=operation.many)
        try:
            return (yield from self._attempt(operation.feature, sql, deadline))
        except psycopg2.Error as error:
            return (yield from self._recover(operation, sql, deadline, seconds, error))
        except DeadlineError as late:
            raise _failures.unavailable(self._dsn, seconds, None) from late

    def _recover(
        self, operation: Operation, sql: str, deadline: float, seconds: float, failure: psycopg2.Error
    ) -> Generator[Wait, None, Result]:
        """Make the tables, or connect anew, until the operation succeeds or the time is up."""
        delay = 0.0
        installed = False
        while True:
            try:
                if _failures.is_missing(failure):
                    if installed:
                        raise _failures.damaged(self.schema, operation, failure) from failure
                    yield from self._install(operation.feature, deadline)
                    installed = True
                elif _failures.is_passing(failure):
                    # Connections of before a restart are all broken; the first new one is tried at once.
                    self._pool.discard_idle()
                    yield from pause(delay, deadline)
                    delay = min(2 * delay or FIRST_PAUSE, LONGEST_PAUSE)
                else:
                    raise _failures.typed(self._dsn, failure) from failure
                return (yield from self._attempt(operation.feature, sql, deadline))
            except psycopg2.Error as error:
                failure = error
            except DeadlineError as late:
                raise _failures.unavailable(self._dsn, seconds, failure) from late

    def _attempt(self, feature: Feature, sql: str, deadline: float) -> Generator[Wait, None, Result]:
        connection = yield from self._pool.borrow(deadline)
        try:
            (row,) = yield from execute(connection, sql, deadline)
            if feature.tables and os.urandom(1) == b"\0":
                with contextlib.suppress(psycopg2.Error, DeadlineError):
                    yield from execute(connection, self._sweep(feature), deadline)
        finally:
            self._pool.give_back(connection)
        return row

    def _sweep(self, feature: Feature) -> str:
        tables = (f"{self._quoted}.{_schema.quote_identifier(table)}" for table in feature.tables)
        return "SELECT " + ", ".join(f"{self._quoted}.sweep_1({literal(table)})" for table in tables)

    def _install(self, feature: Feature, deadline: float) -> Generator[Wait, None, None]:
        connection = yield from self._pool.borrow(deadline)
        try:
            yield from _schema.install(connection, self.schema, feature, deadline)
        finally:
            self._pool.give_back(connection)


def _checked(timeout: float) -> float:
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    return timeout
