"""Items on their way through a line of stages, in a table: a queue before each stage, and every step's instant.

An item waits before a stage, is in its hands, waits before the next one, and so on. Beside it stands what it holds of
the queue that it is in: the token of a permit, where queues are bounded by permits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from backpressure.airflow.database import WATCHING_DB, connect

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named like a value by psycopg2

__all__ = ["Item", "Line"]

# The schema is named, since a role's own schema, once there is one, would go before it (see `stock`).
# Two who make the table at once may both find that it is not there: the lock lets one go first.
_CREATE = """SELECT pg_advisory_xact_lock(hashtext('line_items'));
    CREATE TABLE IF NOT EXISTS public.line_items (
        line text NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        step integer NOT NULL DEFAULT 0,
        token text NOT NULL,
        at float8[] NOT NULL DEFAULT ARRAY[extract(epoch FROM clock_timestamp())::float8]);
    CREATE INDEX IF NOT EXISTS line_items_next ON public.line_items (line, step, id);
    DELETE FROM public.line_items WHERE at[1] < extract(epoch FROM clock_timestamp()) - 86400"""
_PUT = "INSERT INTO public.line_items (line, token) VALUES (%s, %s)"
_TAKE = """UPDATE public.line_items
    SET step = step + 1, at = at || extract(epoch FROM clock_timestamp())::float8
    WHERE id = (
        SELECT id FROM public.line_items WHERE line = %s AND step = %s ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, token"""
_HAND_ON = """UPDATE public.line_items
    SET step = step + 1, token = %s, at = at || extract(epoch FROM clock_timestamp())::float8
    WHERE line = %s AND id = %s"""
_ROWS = "SELECT at FROM public.line_items WHERE line = %s AND step >= 0 ORDER BY id"
_LEFT = "SELECT count(*) FROM public.line_items WHERE line = %s AND step BETWEEN 0 AND %s"
_END = "INSERT INTO public.line_items (line, step, token) VALUES (%s, -1, '')"
_ENDED = "SELECT EXISTS (SELECT FROM public.line_items WHERE line = %s AND step = -1)"


class Item(NamedTuple):
    """What a stage has in hand: the item's number, and the token that it brought."""

    id: int
    token: str


class Line:
    """One line, over one connection, which opens with the first use; for one thread.

    Args:
        name: of the line; the items of others are not seen.
        dsn: a libpq connection string instead of the Airflow connection.
    """

    def __init__(self, name: str, *, dsn: str | None = None) -> None:
        self.name = name
        self._dsn = dsn
        self._open: Connection | None = None

    def create(self) -> None:
        """Make the table where there is none, and forget what is older than a day."""
        self._run(_CREATE)

    def put(self, token: str = "") -> None:
        """Put a new item in the queue before the first stage."""
        self._run(_PUT, self.name, token)

    def take(self, stage: int) -> Item | None:
        """Take the oldest item that waits before a stage, the first being 0; None when none does.

        Several may take at once: each item is taken by one.
        """
        found = self._run(_TAKE, self.name, 2 * stage)
        return Item(*found[0]) if found else None

    def pass_on(self, item: Item, token: str = "") -> None:
        """Put an item in the queue before the next stage, or out of the line after the last."""
        self._run(_HAND_ON, token, self.name, item.id)

    def items(self, stage: int, every: float = 0.05) -> Iterator[Item]:
        """Take the items that wait before a stage as they come, until the line has ended.

        Args:
            stage: the first is 0.
            every: seconds after which a stage that found none asks again.
        """
        while True:
            if item := self.take(stage):
                yield item
            elif self._run(_ENDED, self.name)[0][0]:
                return
            else:
                time.sleep(every)

    def left(self, stages: int) -> int:
        """How many items have not got past the last of so many stages."""
        return int(self._run(_LEFT, self.name, 2 * stages - 1)[0][0])

    def end(self) -> None:
        """Say that no more items will come: who finds none waiting stops asking."""
        self._run(_END, self.name)

    def steps(self) -> list[list[float]]:
        """Each item's instants (epoch s, the server's clock): put, taken, passed on, taken, and so on."""
        return [list(row[0]) for row in self._run(_ROWS, self.name)]

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._open is None or self._open.closed:
            self._open = connect(WATCHING_DB, application="line", dsn=self._dsn)
        with self._open.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []
