"""Work that takes memory and database connections for a while, and what tells how much of them is taken.

Nothing is imported or opened before it is used: a DAG file imports this.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backpressure.bulkhead import Bulkhead

__all__ = ["MB", "Sample", "connection_limit", "consume"]

MB = 1 << 20


def consume(seconds: float, *, memory: int = 0, connections: int = 0, name: str = "") -> dict[str, Any]:
    """Hold memory and connections for some time; returns what this process had of each.

    Args:
        seconds: how long.
        memory: MB that are really used, and not only asked for.
        connections: of the application database.
        name: what ``pg_stat_activity`` calls the connections.

    Returns what was ``used``: ``memory``, the process's private MB, which is more than what the work asked for, and
    ``connections``; and from when (``since``) ``until`` when (epoch s).

    Raises:
        TooManyConnectionsError: the database refused a connection.
    """
    from backpressure.airflow.database import connect  # noqa: PLC0415 - not while a DAG file is parsed
    from backpressure.airflow.machine import private_bytes  # noqa: PLC0415 - the same

    since = time.time()
    with ExitStack() as stack:
        held = [stack.enter_context(closing(connect(application=name))) for _ in range(connections)]
        filled = bytearray(b"x") * (memory * MB)
        time.sleep(seconds)
        used = (private_bytes() or 0) / MB
        del filled
    return {"used": {"memory": used, "connections": float(len(held))}, "since": since, "until": time.time()}


def connection_limit(role: str = "lab") -> int:
    """How many connections a role may hold at once."""
    from backpressure.airflow.database import Sessions  # noqa: PLC0415 - not while a DAG file is parsed

    with Sessions() as sessions:
        return sessions.limit(role)


class Sample:
    """Reads how many connections are in use, and how many are booked: a sample at each call.

    A sample has ``at`` (the server's clock, epoch s), ``used`` (as PostgreSQL counts) and ``booked``. Bookings are read
    before and after that count, and the larger number is taken: what begins or ends in between is booked all the same.

    Args:
        books: permits are connections.
        name: what ``pg_stat_activity`` calls the connections.
    """

    def __init__(self, books: Bulkhead, name: str) -> None:
        from backpressure.airflow.database import Sessions  # noqa: PLC0415 - not while a DAG file is parsed

        self._books, self._name, self._sessions = books, name, Sessions()

    def __call__(self) -> dict[str, float]:
        """One sample."""
        before = self._books.count()[0]
        seen = self._sessions.sample(application=self._name)
        return {"at": seen["at"], "used": seen["total"], "booked": max(before, self._books.count()[0])}
