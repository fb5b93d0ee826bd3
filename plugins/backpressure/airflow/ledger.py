"""Messages in the application database: the ledger of what was delivered, and the dead letters beside it.

A dead letter is ``waiting`` until somebody has ``approved`` or ``rejected`` it. Letters live in PostgreSQL and in no
process, so that a restart of anything loses none.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from psycopg2.extras import RealDictCursor

from backpressure.airflow.database import connect

if TYPE_CHECKING:
    from collections.abc import Iterable

_DELIVERIES = """CREATE TABLE IF NOT EXISTS deliveries (
    queue text NOT NULL, id text NOT NULL, amount integer NOT NULL, PRIMARY KEY (queue, id))"""
_LETTERS = """CREATE TABLE IF NOT EXISTS dead_letters (
    queue text NOT NULL,
    id text NOT NULL,
    body text NOT NULL,
    reason text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'approved', 'rejected')),
    reviewer text,
    PRIMARY KEY (queue, id))"""
_DELIVER = "INSERT INTO deliveries (queue, id, amount) VALUES (%s, %s, %s::text::integer) ON CONFLICT DO NOTHING"
_DELIVERED = "SELECT id FROM deliveries WHERE queue = %s"
# A letter that comes twice is one letter: its first reason stays, and so does what was decided.
_PUT = "INSERT INTO dead_letters (queue, id, body, reason) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
_LIST = "SELECT id, body, reason, state, reviewer FROM dead_letters WHERE queue = %s ORDER BY id"
_DECIDE = """UPDATE dead_letters SET state = CASE WHEN id = ANY(%s) THEN 'approved' ELSE 'rejected' END, reviewer = %s
    WHERE queue = %s AND state = 'waiting' RETURNING id, state"""
_CLEAN = """DELETE FROM dead_letters USING deliveries WHERE dead_letters.queue = %s AND dead_letters.state = 'approved'
    AND deliveries.queue = dead_letters.queue AND deliveries.id = dead_letters.id RETURNING dead_letters.id"""


class Ledger:
    """What was delivered of one queue of messages, and what was not.

    Args:
        queue: its name.
        dsn: a libpq connection string instead of the application database's Airflow connection.
    """

    def __init__(self, queue: str, *, dsn: str | None = None) -> None:
        self.queue = queue
        self._dsn = dsn

    def create(self) -> None:
        """Make the tables where there are none; once, before several processes use them at the same time."""
        self._run(_DELIVERIES)
        self._run(_LETTERS)

    def deliver(self, message_id: str, body: str) -> None:
        """Enter a message's amount; a second time changes nothing.

        Raises:
            psycopg2.DataError: the body is no whole number, says the database.
        """
        self._run(_DELIVER, self.queue, message_id, body)

    def delivered(self) -> list[str]:
        """The messages that are in the ledger."""
        return sorted(row["id"] for row in self._run(_DELIVERED, self.queue))

    def set_aside(self, message_id: str, body: str, reason: str) -> None:
        """Make a dead letter of a message; one, however often it is told."""
        self._run(_PUT, self.queue, message_id, body, reason)

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters: ``id``, ``body``, ``reason``, ``state`` and ``reviewer``."""
        return self._run(_LIST, self.queue)

    def decide(self, approved: Iterable[str], reviewer: str) -> list[str]:
        """Approve some of the waiting letters and reject the others; returns those approved now."""
        decided = self._run(_DECIDE, list(approved), reviewer, self.queue)
        return sorted(row["id"] for row in decided if row["state"] == "approved")

    def clean(self) -> list[str]:
        """Remove the approved letters that were delivered after all, and nothing else; returns what was removed."""
        return sorted(row["id"] for row in self._run(_CLEAN, self.queue))

    def _run(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with closing(connect(dsn=self._dsn)) as database, database.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []
