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
from psycopg2.extensions import POLL_OK, POLL_READ

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

__all__ = ["DeadlineError", "Wait", "connect", "drive", "drive_async", "execute", "pause"]

T = TypeVar("T")


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


def connect(dsn: str, deadline: float) -> "Steps[Connection]":
    """Open a connection."""
    connection: Connection = psycopg2.connect(dsn, async_=True)
    try:
        yield from _poll(connection, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def execute(connection: "Connection", sql: str, deadline: float) -> Steps[list[tuple[Any, ...]]]:
    """Run SQL and fetch its rows. If it is interrupted, the connection is closed: its state would not be known."""
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        yield from _poll(connection, deadline)
    except psycopg2.Error:
        raise
    except BaseException:
        connection.close()
        raise
    return cursor.fetchall() if cursor.description else []


def _poll(connection: "Connection", deadline: float) -> Steps[None]:
    while (state := connection.poll()) != POLL_OK:
        yield Wait(deadline, connection.fileno(), state != POLL_READ)


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
                ready = _wait(wait)
            except BaseException as interruption:  # noqa: BLE001 - a signal's exception has to reach the generator
                wait = steps.throw(interruption)
            else:
                wait = next(steps) if ready else steps.throw(DeadlineError())
    except StopIteration as stop:
        result: T = stop.value
        return result


def _wait(wait: Wait) -> bool:
    remaining = wait.deadline - time.monotonic()
    if wait.fd >= 0:
        poller = select.poll()
        poller.register(wait.fd, select.POLLOUT if wait.write else select.POLLIN)
        # poll(2) takes whole milliseconds: rounded up, so that it does not spin in the last one.
        return remaining > 0 and bool(poller.poll(remaining * 1000 + 1))
    if wait.future is not None:
        try:
            wait.future.result(max(0.0, remaining))
        except TimeoutError:
            return False
        return True
    time.sleep(max(0.0, remaining))
    return True


async def drive_async(steps: Steps[T]) -> T:
    """Run a generator to its end in the running event loop."""
    try:
        wait = next(steps)
        while True:
            try:
                ready = await _wait_async(wait)
            except BaseException as interruption:  # noqa: BLE001 - a cancellation has to reach the generator
                wait = steps.throw(interruption)
            else:
                wait = next(steps) if ready else steps.throw(DeadlineError())
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _wait_async(wait: Wait) -> bool:
    import asyncio  # noqa: PLC0415 - slow to import; whoever comes here has it

    remaining = wait.deadline - time.monotonic()
    loop = asyncio.get_running_loop()
    if wait.fd >= 0:
        ready = loop.create_future()
        # A copy of the descriptor: libpq may close its own while connecting, and the loop would lose track.
        fd = os.dup(wait.fd)
        add, remove = (loop.add_writer, loop.remove_writer) if wait.write else (loop.add_reader, loop.remove_reader)
        add(fd, _settle, ready)
        try:
            return bool((await asyncio.wait([ready], timeout=max(0.0, remaining)))[0])
        finally:
            remove(fd)
            os.close(fd)
    if wait.future is not None:
        done, _ = await asyncio.wait([asyncio.wrap_future(wait.future)], timeout=max(0.0, remaining))
        return bool(done)
    await asyncio.sleep(max(0.0, remaining))
    return True


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
