"""A few sessions for all threads and event loops of one process."""

import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from backpressure.storage._connection import Session, Steps, Wait, open_session

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["SessionPool"]

_pools: weakref.WeakSet["SessionPool"] = weakref.WeakSet()


def _start_afresh_after_fork() -> None:
    # The sockets are the parent's, and a lock may be held by a thread that is not there. psycopg2 closes no connection
    # that another process opened.
    for pool in _pools:
        pool.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh_after_fork)


class SessionPool:
    """Lends sessions; who finds none waits until one is given back.

    Args:
        dsn: what to connect to.
        size: most connections open at once.
    """

    def __init__(self, dsn: str, size: int) -> None:
        self._dsn = dsn
        self._size = size
        self.start()
        _pools.add(self)

    def start(self) -> None:
        """Begin with no session."""
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._waiting: deque[Future[None]] = deque()
        self._lent_or_idle = 0

    def take_idle(self) -> Session | None:
        """Take a session that is open and idle, if there is one."""
        # Without the lock, which every permit would pay for twice: a list's own pop and append are atomic.
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def borrow(self, deadline: float) -> Steps[Session]:
        """Take a session, open a new one, or wait for one."""
        while True:
            session = self.take_idle()
            if session is not None:
                return session
            with self._lock:
                waiter = None if self._lent_or_idle < self._size else self._queue()
                self._lent_or_idle += waiter is None
            if waiter is None:
                return (yield from self._open(deadline))
            try:
                yield Wait(deadline, future=waiter)
            except BaseException:
                self._leave(waiter)
                raise

    def give_back(self, session: Session) -> None:
        """End a loan. A closed session makes room for a new one."""
        if session.connection.closed:
            with self._lock:
                self._lent_or_idle -= 1
        else:
            self._idle.append(session)
        # Whoever queues looks for an idle session after that, and here it is the other way round: one sees the other.
        if self._waiting:
            with self._lock:
                self._wake_next()

    def discard_idle(self) -> None:
        """Close every session that is not lent."""
        while (session := self.take_idle()) is not None:
            session.close()
            self.give_back(session)

    def _open(self, deadline: float) -> Steps[Session]:
        try:
            return (yield from open_session(self._dsn, deadline))
        except BaseException:
            with self._lock:
                self._lent_or_idle -= 1
                self._wake_next()
            raise

    def _queue(self) -> "Future[None]":
        # The lock is held. Whoever gave a session back in between would have woken nobody.
        from concurrent.futures import Future  # noqa: PLC0415 - slow to import, and most processes never queue

        waiter: Future[None] = Future()
        self._waiting.append(waiter)
        if self._idle:
            self._wake_next()
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
