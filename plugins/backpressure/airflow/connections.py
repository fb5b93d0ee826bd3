"""A pool of database connections as applications have it: a few of them, and an error when none comes free in time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from backpressure.airflow.patience import connect_within

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """SQLAlchemy's pool over connections of the lessons' database role; all are open from the beginning.

    Else the first calls of a load test would measure how long it takes to connect.

    Args:
        size: connections at most.
        timeout: seconds to wait for one, then SQLAlchemy raises its ``TimeoutError``.
        application: what ``pg_stat_activity`` calls them.
        insist: seconds to go on asking for a connection that the database refuses, while those that are open are held.

    Raises:
        TooManyConnectionsError: the database still refuses one.
    """

    def __init__(self, size: int, timeout: float, application: str, insist: float = 0.0) -> None:
        from sqlalchemy.pool import QueuePool  # noqa: PLC0415 - not while a DAG file is parsed

        create = partial(connect_within, insist, application=application)
        self._pool = QueuePool(create, pool_size=size, max_overflow=0, timeout=timeout, reset_on_return=None)
        for opened in [self._pool.connect() for _ in range(size)]:
            opened.close()  # gives it back to the pool

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        """Hold a connection in a transaction, which the server sees as such, and commit at the end."""
        connection = self._pool.connect()
        try:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")
        except BaseException:
            connection.invalidate()
            raise
        finally:
            connection.close()

    def close(self) -> None:
        """Close what is open."""
        self._pool.dispose()
