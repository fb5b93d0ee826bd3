"""Connecting to a database that may refuse: ask again for a while, and tell of every refusal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["connect_within"]


def connect_within(
    seconds: float, tell: Callable[[dict[str, Any]], object] | None = None, *, every: float = 0.25, **connection: Any
) -> Any:
    """Open a connection, and ask for it so many seconds long as long as the database has none to give.

    Args:
        seconds: after which a refusal is final.
        tell: is told of each refusal: its ``sqlstate``, and whether it ``gives_up``.
        every: seconds between two attempts.
        connection: what :func:`backpressure.airflow.database.connect` takes.

    Raises:
        TooManyConnectionsError: there was none.
    """
    from backpressure.airflow.database import TooManyConnectionsError, connect  # noqa: PLC0415 - not while parsing

    deadline = time.monotonic() + seconds
    while True:
        try:
            return connect(**connection)
        except TooManyConnectionsError as refusal:
            gives_up = time.monotonic() >= deadline
            if tell:
                tell({"sqlstate": refusal.sqlstate, "gives_up": gives_up})
            if gives_up:
                raise
            time.sleep(every)
