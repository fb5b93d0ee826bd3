"""Talking to PostgreSQL through psycopg2 without blocking, one generator for threads and for event loops.

A generator yields what it waits for, a `Wait`; `drive` waits with poll(2), `drive_async` with the event loop. So every
wait has a deadline, also when the server or the network hangs, and there is one implementation and not two.
"""

import os
import select
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, make_dsn, parse_dsn

from backpressure.storage._failures import is_passing
from backpressure.storage.protocol import Argument

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

__all__ = [
    "LOCK_TIMEOUT",
    "DeadlineError",
    "Session",
    "Short",
    "Steps",
    "Wait",
    "drive",
    "drive_async",
    "open_session",
    "pause",
]

SURELY_SENT = 2048
"""Characters of a statement that any socket's buffer takes at once, so that what is left is to wait for the answer."""

LOCK_TIMEOUT = "5s"
"""How long the server waits for a record that somebody else holds, which takes microseconds unless that is a person."""

T = TypeVar("T")
Rows = list[tuple[Any, ...]]


class DeadlineError(Exception):
    """The caller's time is up."""


class Wait(NamedTuple):
    """What a generator waits for, and until when (`time.monotonic`).

    Attributes:
        deadline: when to give up and raise DeadlineError.
        fd: a file descriptor to become ready, or -1.
        write: ready for writing, not reading.
        future: something to be done by another thread, or None. Without either, the wait is a pause of its own right.
    """

    deadline: float
    fd: int = -1
    write: bool = False
    future: "Future[None] | None" = None


Steps = Generator[Wait, None, T]


class Short:
    """An operation on one key by its shortcut, ready to be sent.

    Args:
        sql: executes the shortcut.
        function: executes the function instead, where that is always asked the same; otherwise None.
    """

    __slots__ = ("function", "skip", "sql")

    SKIPPED = 8
    """Times that the shortcut is not tried after it was of no use: one refusal is usually followed by others."""

    def __init__(self, sql: str, function: str | None) -> None:
        self.sql = sql
        self.function = function
        self.skip = 0


class Session:
    """A connection, for one statement at a time.

    If a statement is interrupted, the connection is closed: its state would not be known.

    Attributes:
        seen: functions that were called.
        prepared: what executes a function that is prepared, by its name.
        shortcuts: what executes a shortcut that is prepared, by its function and the arguments in it.
        short: operations on one key that are ready to be sent, by function, keys and the arguments in the shortcut.
        sweep_after: calls until the next one that also deletes expired rows.
    """

    SWEEP_EVERY = 512
    MOST_SHORTCUTS = 64
    MOST_SHORT = 1024

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg2.connect(dsn, async_=True)
        self.seen: set[str] = set()
        self.prepared: dict[str, str] = {}
        self.shortcuts: dict[tuple[str, tuple[Argument, ...]], str] = {}
        self.short: dict[tuple[str, tuple[str, ...], tuple[Argument, ...]], Short] = {}
        # By chance at first, or processes that make one call each would never sweep.
        self.sweep_after = 1 + os.urandom(1)[0]
        self._ours: bool | None = None
        self._cursor: Any = None
        self._fd = -1
        self._readable = select.poll()

    @property
    def closed(self) -> bool:
        """Whether the connection was closed, or broke."""
        return bool(self.connection.closed)

    @property
    def told_pid(self) -> int:
        """Process of the server that answers, as it was told at the start."""
        return int(self.connection.info.backend_pid)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def execute(self, sql: str, deadline: float) -> Steps[Rows]:
        """Run SQL and fetch its rows."""
        try:
            self._send(sql)
            yield from self.settled(deadline)
            return self._rows()
        except psycopg2.Error:
            raise
        except BaseException:
            self.connection.close()
            raise

    def execute_now(self, sql: str, deadline: float) -> tuple[Any, ...] | None:
        """Run SQL and fetch its first row, in the calling thread: what `execute` comes to, in a third of the time."""
        poll = self.connection.poll
        cursor = self._cursor
        try:
            cursor.execute(sql)
            # To ask psycopg2 before there is an answer would cost a system call in vain.
            state = POLL_READ if len(sql) < SURELY_SENT else poll()
            while state != POLL_OK:
                left = max(0.0, deadline - time.monotonic())
                if not (self._readable.poll(left * 1000 + 1) if state == POLL_READ else self._writable(left)):
                    raise DeadlineError  # noqa: TRY301 - a call more would be paid for by every permit
                state = poll()
            return cursor.fetchone()  # type: ignore[no-any-return]
        except psycopg2.Error:
            raise
        except BaseException:
            self.connection.close()
            raise

    def is_ours(self, deadline: float) -> Steps[bool]:
        """Whether every statement goes to the same session of the server; if so, set it up once.

        Behind a pooler the process that answers is not the one that the connection was told of at its start.
        """
        if self._ours is None:
            settings = {
                "synchronous_commit": "off",
                "lock_timeout": LOCK_TIMEOUT,
                # Stricter ones would refuse what one statement does safely as soon as two callers meet.
                "default_transaction_isolation": "read committed",
            }
            calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
            rows = yield from self.execute(f"SELECT {calls} WHERE pg_backend_pid() = {self.told_pid}", deadline)
            self._ours = bool(rows)
        return self._ours

    def settled(self, deadline: float) -> Steps[None]:
        """Wait until the connection has done what it was at."""
        while (state := self.connection.poll()) != POLL_OK:
            yield Wait(deadline, self.connection.fileno(), state != POLL_READ)

    def _writable(self, seconds: float) -> bool:
        return _ready(Wait(time.monotonic() + seconds, self._fd, write=True))

    def _send(self, sql: str) -> None:
        if self._cursor is None:
            # The connection is there, and its descriptor changes no more.
            self._cursor = self.connection.cursor()
            self._fd = self.connection.fileno()
            self._readable.register(self._fd, select.POLLIN)
        self._cursor.execute(sql)

    def _rows(self) -> Rows:
        return self._cursor.fetchall() if self._cursor.description else []


def open_session(dsn: str, deadline: float) -> Steps[Session]:
    """Open a connection, to the first of several hosts that gives one; each has a share of the time that is left.

    libpq's own way from host to host has no bound when it is not to block: one that is switched off would take all.
    """
    targets = _targets(dsn)
    for left, target in zip(range(len(targets) - 1, 0, -1), targets, strict=False):
        now = time.monotonic()
        try:
            return (yield from _open(target, now + (deadline - now) / (left + 1)))
        except DeadlineError:
            continue
        except psycopg2.OperationalError as error:
            if not is_passing(error):
                raise
    return (yield from _open(targets[-1], deadline))


def _targets(dsn: str) -> list[str]:
    """The dsn for each of its hosts, as libpq would try them; the dsn itself where that is libpq's business."""
    if "," not in dsn:
        return [dsn]
    try:
        parts = parse_dsn(dsn)
    except psycopg2.Error:
        return [dsn]
    lists = {name: parts[name].split(",") for name in ("host", "hostaddr", "port") if name in parts}
    count = max((len(lists[name]) for name in ("host", "hostaddr") if name in lists), default=1)
    # To prefer one kind of server takes looking at all of them.
    if count == 1 or parts.get("target_session_attrs", "").startswith("prefer"):
        return [dsn]
    if len(lists.get("port", "")) == 1:
        lists["port"] *= count
    if any(len(values) != count for values in lists.values()):
        return [dsn]
    targets = [make_dsn(dsn, **{name: values[place] for name, values in lists.items()}) for place in range(count)]
    if parts.get("load_balance_hosts") == "random":
        import random  # noqa: PLC0415 - rarely needed

        random.shuffle(targets)
    return targets


def _open(dsn: str, deadline: float) -> Steps[Session]:
    session = Session(dsn)
    try:
        yield from session.settled(deadline)
    except BaseException:
        session.close()
        raise
    return session


def pause(delay: float, deadline: float) -> Steps[None]:
    """Wait `delay` seconds.

    Raises:
        DeadlineError: the deadline comes first.
    """
    until = time.monotonic() + delay
    if until > deadline:
        raise DeadlineError
    yield Wait(until)


def drive(steps: Steps[T]) -> T:
    """Run a generator to its end in the calling thread."""
    try:
        wait = next(steps)
        while True:
            try:
                ready = _ready(wait)
            except BaseException as interruption:  # noqa: BLE001 - a signal's exception has to reach the generator
                wait = steps.throw(interruption)
            else:
                wait = next(steps) if ready else steps.throw(DeadlineError())
    except StopIteration as stop:
        result: T = stop.value
        return result


def _ready(wait: Wait) -> bool:
    remaining = max(0.0, wait.deadline - time.monotonic())
    if wait.fd >= 0:
        poller = select.poll()
        poller.register(wait.fd, select.POLLOUT if wait.write else select.POLLIN)
        # poll(2) takes whole milliseconds: one more, so that it does not spin in the last one.
        return bool(poller.poll(remaining * 1000 + 1))
    if wait.future is not None:
        try:
            wait.future.result(remaining)
        except TimeoutError:
            return False
        return True
    time.sleep(remaining)
    return True


async def drive_async(steps: Steps[T]) -> T:
    """Run a generator to its end in the running event loop."""
    try:
        wait = next(steps)
        while True:
            try:
                ready = await _ready_async(wait)
            except BaseException as interruption:  # noqa: BLE001 - a cancellation has to reach the generator
                wait = steps.throw(interruption)
            else:
                wait = next(steps) if ready else steps.throw(DeadlineError())
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _ready_async(wait: Wait) -> bool:
    import asyncio  # noqa: PLC0415 - slow to import; whoever comes here has it

    remaining = max(0.0, wait.deadline - time.monotonic())
    loop = asyncio.get_running_loop()
    if wait.fd >= 0:
        ready = loop.create_future()
        # A copy of the descriptor: libpq may close its own while connecting, and the loop would lose track.
        fd = os.dup(wait.fd)
        add, remove = (loop.add_writer, loop.remove_writer) if wait.write else (loop.add_reader, loop.remove_reader)
        add(fd, _settle, ready)
        try:
            return bool((await asyncio.wait([ready], timeout=remaining))[0])
        finally:
            remove(fd)
            os.close(fd)
    if wait.future is not None:
        done, _ = await asyncio.wait([asyncio.wrap_future(wait.future)], timeout=remaining)
        return bool(done)
    await asyncio.sleep(remaining)
    return True


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
