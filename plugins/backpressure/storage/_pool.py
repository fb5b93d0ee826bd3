"""A few connections for all threads and event loops of one process."""

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from backpressure.storage import _connection
from backpressure.storage._connection import Wait

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """Lends connections; who finds none waits in order of arrival.

    Args:
        dsn: what to connect to.
        size: most connections open at once.
    """

    def __init__(self, dsn: str, size: int) -> None:
        self._dsn = dsn
        self._size = size
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._waiting: deque[Future[None]] = deque()
        self._lent_or_opening = 0

    def borrow(self, deadline: float) -> "Generator[Wait, None, Connection]":
        """Take a connection, open a new one, or wait for one."""
        if self._pid != os.getpid():
            # After a fork the sockets are the parent's. psycopg2 closes none that another process opened.
            self.__init__(self._dsn, self._size)  # type: ignore[misc]
        while True:
            with self._lock:
                if self._idle:
                    return self._idle.pop()
                waiter = None if self._lent_or_opening < self._size else self._queue()
                self._lent_or_opening += waiter is None
            if waiter is None:
                return (yield from self._open(deadline))
            try:
                yield Wait(deadline, future=waiter)
            except BaseException:
                self._leave(waiter)
                raise

    def give_back(self, connection: "Connection") -> None:
        """End a loan. A closed connection makes room for a new one."""
        with self._lock:
            if connection.closed:
                self._lent_or_opening -= 1
            else:
                self._idle.append(connection)
            self._wake_next()

    def discard_idle(self) -> None:
        """Close every connection that is not lent."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._lent_or_opening -= len(idle)
            for _ in idle:
                self._wake_next()
        for connection in idle:
            connection.close()

    def _open(self, deadline: float) -> "Generator[Wait, None, Connection]":
        try:
            return (yield from _connection.connect(self._dsn, deadline))
        except BaseException:
            with self._lock:
                self._lent_or_opening -= 1
                self._wake_next()
            raise

    def _queue(self) -> "Future[None]":
        from concurrent.futures import Future  # noqa: PLC0415 - slow to import, and most processes never queue

        waiter: Future[None] = Future()
        self._waiting.append(waiter)
        return waiter

    def _wake_next(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(None)

    def _leave(self, waiter: "Future[None]") -> None:
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                # It was woken and did not take its turn: the next one may.
                self._wake_next()
