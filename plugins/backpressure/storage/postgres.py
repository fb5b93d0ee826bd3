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
from backpressure.storage._connection import DeadlineError, Session, Short, Steps, drive, drive_async, pause
from backpressure.storage._literals import literal, parameters, quote_identifier
from backpressure.storage._pool import SessionPool
from backpressure.storage.protocol import Argument, Feature, Operation, Result, Shortcut

__all__ = ["PostgresStorage"]

DEFAULT_TIMEOUT = 5.0
LONGEST_TIMEOUT = 7 * 86400.0
"""Seconds; poll(2) can't wait for a month."""
LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier."""
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


class _Call(NamedTuple):
    """An operation on its way. `deadline` is by `time.monotonic`, `seconds` what the caller allowed."""

    operation: Operation
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...]
    seconds: float
    deadline: float

    @property
    def parameters(self) -> str:
        """Key and arguments as SQL."""
        return parameters(self.keys, self.arguments, many=self.operation.many)


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
            # Bytes may be a dsn, too, with a password in it.
            shown = repr(dsn) if isinstance(dsn, str) else type(dsn).__name__
            raise ValueError(f"dsn must be a PostgreSQL connection string or URI, not {shown}")
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

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation; see `Storage.run`."""
        session = self._pool.take_idle()
        if session is None:
            return drive(self._run(self._call(operation, keys, arguments, timeout)))
        shortcut, short = operation.shortcut, None
        if shortcut is not None:
            fixed = arguments if shortcut.by_arguments else ()
            short = session.short.get((operation.name, keys, fixed)) or _short(session, operation, keys, fixed)
        if session.sweep_after <= 1 or (operation.name not in session.prepared if shortcut is None else short is None):
            self._pool.give_back(session)
            return drive(self._run(self._call(operation, keys, arguments, timeout)))
        # The usual case: the same as `_attempt`, without the generators.
        try:
            deadline = time.monotonic() + (self._timeout if timeout is None else _checked(timeout))
            session.sweep_after -= 1
            if short is not None and shortcut is not None:
                if short.skip:
                    short.skip -= 1
                else:
                    row = session.execute_now(short.sql, deadline)
                    if row is not None:
                        return shortcut.told(row, arguments)
                    short.skip = Short.SKIPPED
            known = short and short.function
            row = session.execute_now(known or _function(session, operation, keys, arguments), deadline)
        except psycopg2.Error as error:
            # Without its traceback, which would keep this frame, and with it the storage's connections.
            failure = error.with_traceback(None)
        except DeadlineError as late:
            self._pool.discard_idle()
            raise self._unavailable(self._call(operation, keys, arguments, timeout)) from late
        else:
            assert row is not None, "a function returns one row"
            return row
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
                raise _failures.typed(self._dsn, error) from _failures.cause(self._dsn, error)

    def close(self) -> None:
        """Close the connections that are not in use; the next operation opens one again."""
        self._pool.discard_idle()

    def _call(
        self, operation: Operation, keys: tuple[str, ...], arguments: tuple[Argument, ...], timeout: float | None
    ) -> _Call:
        seconds = self._timeout if timeout is None else _checked(timeout)
        return _Call(operation, keys, arguments, seconds, time.monotonic() + seconds)

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
                    if _failures.is_of_the_connection(failure):
                        # Connections of before a restart are all broken; the first new one is tried at once.
                        self._pool.discard_idle()
                    yield from pause(delay, call.deadline)
                    delay = min(2 * delay or FIRST_PAUSE, LONGEST_PAUSE)
                else:
                    raise _failures.typed(self._dsn, failure) from _failures.cause(self._dsn, failure)
                return (yield from self._attempt(call))
            except psycopg2.Error as error:
                failure = error.with_traceback(None)
            except DeadlineError as late:
                raise self._unavailable(call, failure) from late

    def _attempt(self, call: _Call) -> Steps[Result]:
        session = yield from self._pool.borrow(call.deadline)
        try:
            yield from self._prepare(session, call)
            row = yield from self._shortened(session, call)
            if row is None:
                plain = f"SELECT * FROM {self._quoted}.{call.operation.name}"  # noqa: S608 - a quoted name
                start = session.prepared.get(call.operation.name, plain)
                (row,) = yield from session.execute(f"{start}({call.parameters})", call.deadline)
            session.sweep_after -= 1
            if session.sweep_after <= 0:
                session.sweep_after = Session.SWEEP_EVERY
                with contextlib.suppress(psycopg2.Error, DeadlineError):
                    yield from session.execute(self._sweep(call.operation.feature), call.deadline)
        except DeadlineError:
            # A network that went away without a word would cost one caller its time for each of the others.
            self._pool.discard_idle()
            raise
        finally:
            self._pool.give_back(session)
        return row

    def _prepare(self, session: Session, call: _Call) -> Steps[None]:
        """Prepare an operation's function when it comes to a session for the second time, if that is ours."""
        name = call.operation.name
        if name in session.prepared:
            return
        if name in session.seen and (yield from session.is_ours(call.deadline)):
            places = ", ".join(f"${place}" for place in range(1, 2 + len(call.arguments)))
            sql = f"PREPARE {name} AS SELECT * FROM {self._quoted}.{name}({places})"  # noqa: S608 - a quoted name
            yield from session.execute(sql, call.deadline)
            session.prepared[name] = f"EXECUTE {name}"
        session.seen.add(name)

    def _shortened(self, session: Session, call: _Call) -> Steps[Result | None]:
        """The operation's result by its shortcut; None when there is none, or it was of no use."""
        shortcut = call.operation.shortcut
        if shortcut is None or call.operation.name not in session.prepared:
            return None
        yield from self._prepare_shortcut(session, call, shortcut)
        short = _short(session, call.operation, call.keys, call.arguments if shortcut.by_arguments else ())
        if short is None:
            return None
        if short.skip:
            short.skip -= 1
            return None
        rows = yield from session.execute(short.sql, call.deadline)
        if not rows:
            short.skip = Short.SKIPPED
            return None
        return shortcut.told(rows[0], call.arguments)

    def _prepare_shortcut(self, session: Session, call: _Call, shortcut: Shortcut) -> Steps[None]:
        """Prepare a shortcut, with the arguments that are part of it, unless the session has prepared too many."""
        name, fixed = call.operation.name, call.arguments if shortcut.by_arguments else ()
        number = len(session.shortcuts)
        if (name, fixed) in session.shortcuts or number >= Session.MOST_SHORTCUTS:
            return
        sql = shortcut.sql.format(*map(literal, fixed), schema=self._quoted)
        yield from session.execute(f"PREPARE {name}_short_{number} AS {sql}", call.deadline)
        session.shortcuts[name, fixed] = f"EXECUTE {name}_short_{number}"

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


def _function(session: Session, operation: Operation, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> str:
    """What executes an operation's prepared function."""
    return f"{session.prepared[operation.name]}({parameters(keys, arguments, many=operation.many)})"


def _short(session: Session, operation: Operation, keys: tuple[str, ...], fixed: tuple[Argument, ...]) -> Short | None:
    """What to send for an operation on a key by its shortcut; None when that is not prepared."""
    short = session.short.get((operation.name, keys, fixed))
    start = session.shortcuts.get((operation.name, fixed))
    if short is not None or start is None:
        return short
    if len(session.short) >= Session.MOST_SHORT:
        session.short.clear()
    function = _function(session, operation, keys, fixed) if fixed else None
    short = Short(f"{start}({parameters(keys, (), many=operation.many)})", function)
    session.short[operation.name, keys, fixed] = short
    return short


def _checked(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    return min(timeout, LONGEST_TIMEOUT)
