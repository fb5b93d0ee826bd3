"""Deliveries that are due at an instant: the lessons' database itself refuses what comes too late."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

__all__ = ["DueDeliveries"]

_TABLE = """CREATE TABLE IF NOT EXISTS due_deliveries (
    run_id text NOT NULL,
    item text NOT NULL,
    due double precision NOT NULL,
    delivered double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    PRIMARY KEY (run_id, item),
    CONSTRAINT delivered_in_time CHECK (delivered <= due))"""
_FORGET = "DELETE FROM due_deliveries WHERE due < extract(epoch FROM clock_timestamp()) - 86400"
_DELIVER = "INSERT INTO due_deliveries (run_id, item, due) VALUES (%s, %s, %s)"


class DueDeliveries:
    """What one run delivers, each item once and in time by the server's clock.

    Args:
        run_id: whose deliveries these are.
        dsn: a libpq connection string instead of the application database's Airflow connection.
    """

    def __init__(self, run_id: str, *, dsn: str | None = None) -> None:
        self._run_id = run_id
        self._dsn = dsn

    def create(self) -> None:
        """Make the table where there is none, and forget what was due more than a day ago."""
        with closing(self._connect()) as database, database.cursor() as cursor:
            cursor.execute(_TABLE)
            cursor.execute(_FORGET)

    def deliver(self, item: str, due: float) -> None:
        """Deliver an item that is due at an instant (epoch s).

        Raises:
            psycopg2.errors.CheckViolation: it is too late.
        """
        with closing(self._connect()) as database, database.cursor() as cursor:
            cursor.execute(_DELIVER, (self._run_id, item, due))

    def _connect(self) -> Connection:
        from backpressure.airflow.database import connect  # noqa: PLC0415 - not while a DAG file is parsed

        return connect(application="deliveries", dsn=self._dsn)
