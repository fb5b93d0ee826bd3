"""State in PostgreSQL, shared by every process and host that uses the same database and schema."""

import contextlib
import math
import re
import time
from typing import NamedTuple

import psycopg2

from backpressure.clock import Clock, SystemClock
from backpressure.errors import StorageUnavailableError
from backpressure.storage import _failures
from backpressure.storage._connection import DeadlineError, Prepared, Session, Steps, drive, drive_async, pause
from backpressure.storage._literals import literal, parameters, quote_identifier
from backpressure.storage._pool import SessionPool
from backpressure.storage.protocol import Argument, Feature, Operation, Result

__all__ = ["PostgresStorage"]

DEFAULT_TIMEOUT = 5.0
LONGEST_TIMEOUT = 7 * 86400.0
"""Seconds; poll(2) can't wait for a month."""
LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier."""
KNOWN_QUESTIONS = 1024
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


class _Call(NamedTuple):
    """An operation on its way. `deadline` is by `time.monotonic`, `seconds` what the caller allowed."""

    operation: Operation
    parameters: str
    arity: int
    seconds: float
    deadline: float


class PostgresStorage:
    """Runs each operation as one statement, a function call, in a transaction of its own.

    The tables are made when they are first missed, by whichever process comes first. Nothing connects before the first
    operation. One storage serves any number of threads and event loops, and goes on working after a fork and after a
    restart of the server. Behind PgBouncer in transaction mode, which it notices, it leaves nothing in a session.

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
        if not isinstance(schema, str) or not schema or "\0" in schema or len(schema.encode()) > LONGEST_NAME:
            raise ValueError(f"schema must be a name of 1 to {LONGEST_NAME} bytes, not {schema!r}")
        if isinstance(max_connections, bool) or not isinstance(max_connections, int) or max_connections < 1:
            raise ValueError(f"max_connections must be a whole number of at least 1, not {max_connections!r}")
        self.clock: Clock = SystemClock()
        self.schema = schema
        self._timeout = _checked(timeout)
        # SQLAlchemy's spelling names the driver, which libpq does not know.
        self._dsn = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", dsn)
        self._quoted = quote_identifier(schema)
        self._pool = SessionPool(self._dsn, max_connections)
        self._known: dict[tuple[tuple[str, ...], tuple[Argument, ...]], str] = {}

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation; see `Storage.run`."""
        session = self._pool.take_idle()
        prepared = session.prepared.get(operation.name) if session else None
        if session is None or prepared is None or session.sweep_after <= 1:
            if session is not None:
                self._pool.give_back(session)
            return drive(self._run(self._call(operation, keys, arguments, timeout)))
        # The usual case: the same as `_attempt`, without the generators.
        deadline = time.monotonic() + (self._timeout if timeout is None else _checked(timeout))
        values = self._values(operation, keys, arguments)
        try:
            session.sweep_after -= 1
            for start in prepared.in_turn():
                rows = session.execute_now(f"{start}({values})", deadline)
                if rows:
                    return rows[0]
                prepared.of_no_use()
        except psycopg2.Error as error:
            # Without its traceback, which would keep this frame, and with it the storage's connections.
            failure = error.with_traceback(None)
        except DeadlineError as late:
            raise self._unavailable(self._call(operation, keys, arguments, timeout)) from late
        finally:
            self._pool.give_back(session)
        call = self._call(operation, keys, arguments, timeout)
        return drive(self._recover(call._replace(deadline=deadline), failure))

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - as `Storage` has it
    ) -> Result:
        """Apply one operation; see `Storage.run_async`."""
        return await drive_async(self._run(self._call(operation, keys, arguments, timeout)))

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

    def _values(self, operation: Operation, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> str:
        """Key and arguments as SQL. An operation in a hurry is mostly asked the same again."""
        if operation.statement is None:
            return parameters(keys, arguments, many=operation.many)
        question = (keys, arguments)
        values = self._known.get(question)
        if values is None:
            if len(self._known) >= KNOWN_QUESTIONS:
                self._known.clear()
            values = self._known[question] = parameters(keys, arguments, many=operation.many)
        return values

    def _call(
        self, operation: Operation, keys: tuple[str, ...], arguments: tuple[Argument, ...], timeout: float | None
    ) -> _Call:
        seconds = self._timeout if timeout is None else _checked(timeout)
        values = parameters(keys, arguments, many=operation.many)
        return _Call(operation, values, 1 + len(arguments), seconds, time.monotonic() + seconds)

    def _run(self, call: _Call) -> Steps[Result]:
        try:
            return (yield from self._attempt(call))
        except psycopg2.Error as error:
            failure = error.with_traceback(None)
        except DeadlineError as late:
            raise self._unavailable(call) from late
        return (yield from self._recover(call, failure))

    def _recover(self, call: _Call, failure: psycopg2.Error) -> Steps[Result]:
        """Make the tables, or connect anew, until the operation succeeds or the time is up."""
        delay = 0.0
        installed = False
        while True:
            try:
                if _failures.is_missing(failure):
                    if installed:
                        raise _failures.damaged(self.schema, call.operation, failure) from failure
                    yield from self._install(call.operation.feature, call.deadline)
                    installed = True
                elif _failures.is_passing(failure):
                    # Connections of before a restart are all broken; the first new one is tried at once.
                    self._pool.discard_idle()
                    yield from pause(delay, call.deadline)
                    delay = min(2 * delay or FIRST_PAUSE, LONGEST_PAUSE)
                else:
                    raise _failures.typed(self._dsn, failure) from failure
                return (yield from self._attempt(call))
            except psycopg2.Error as error:
                failure = error.with_traceback(None)
            except DeadlineError as late:
                raise self._unavailable(call, failure) from late

    def _attempt(self, call: _Call) -> Steps[Result]:
        session = yield from self._pool.borrow(call.deadline)
        try:
            yield from self._prepare(session, call)
            prepared = session.prepared.get(call.operation.name)
            plain = f"SELECT * FROM {self._quoted}.{call.operation.name}"  # noqa: S608 - a quoted name
            for start in prepared.in_turn() if prepared else (plain,):
                rows = yield from session.execute(f"{start}({call.parameters})", call.deadline)
                if rows:
                    break
                if prepared:
                    prepared.of_no_use()
            session.sweep_after -= 1
            if session.sweep_after <= 0:
                session.sweep_after = Session.SWEEP_EVERY
                with contextlib.suppress(psycopg2.Error, DeadlineError):
                    yield from session.execute(self._sweep(call.operation.feature), call.deadline)
        finally:
            self._pool.give_back(session)
        return rows[0]

    def _prepare(self, session: Session, call: _Call) -> Steps[None]:
        """Prepare an operation's statements when it comes to a session for the second time, if that is ours."""
        name, statement = call.operation.name, call.operation.statement
        if name in session.prepared:
            return
        if name in session.seen and (yield from session.is_ours(call.deadline)):
            places = ", ".join(f"${place}" for place in range(1, call.arity + 1))
            sql = f"PREPARE {name} AS SELECT * FROM {self._quoted}.{name}({places})"  # noqa: S608 - a quoted name
            if statement is not None:
                sql += f"; PREPARE {name}_quick AS {statement.replace('{schema}', self._quoted)}"
            yield from session.execute(sql, call.deadline)
            session.prepared[name] = Prepared(f"EXECUTE {name}", statement and f"EXECUTE {name}_quick")
        session.seen.add(name)

    def _sweep(self, feature: Feature) -> str:
        tables = (f"{self._quoted}.{quote_identifier(table)}" for table in feature.tables)
        return "SELECT " + ", ".join(f"{self._quoted}.sweep_1({literal(table)})" for table in tables)

    def _install(self, feature: Feature, deadline: float) -> Steps[None]:
        from backpressure.storage import _schema  # noqa: PLC0415 - once in the life of a database

        session = yield from self._pool.borrow(deadline)
        try:
            yield from _schema.install(session, self.schema, feature, deadline)
        finally:
            self._pool.give_back(session)

    def _unavailable(self, call: _Call, failure: psycopg2.Error | None = None) -> StorageUnavailableError:
        return _failures.unavailable(self._dsn, call.seconds, failure)


def _checked(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    return min(timeout, LONGEST_TIMEOUT)
