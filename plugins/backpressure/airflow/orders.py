"""Orders in the application database: one schema for each environment, with a row of stock that every order changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from backpressure.airflow.database import connect

__all__ = ["ORDER", "Orders"]

ORDER = """\\set amount random(1, 3)
BEGIN;
UPDATE stock SET sold = sold + :amount WHERE item = 'book';
INSERT INTO orders (run_id, item) VALUES (:run, 'book');
END;
"""
"""The same in pgbench's language, for one item."""

_TABLES = """CREATE SCHEMA IF NOT EXISTS {0};
CREATE TABLE IF NOT EXISTS {0}.stock (item text PRIMARY KEY, sold bigint NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS {0}.orders (run_id text NOT NULL, item text NOT NULL, at timestamptz DEFAULT now());
INSERT INTO {0}.stock (item) VALUES ('book') ON CONFLICT DO NOTHING;
DELETE FROM {0}.orders WHERE at < now() - interval '1 day'"""
_SELL = "UPDATE stock SET sold = sold + 1 WHERE item = %s"
_ENTER = "INSERT INTO orders (run_id, item) VALUES (%s, %s)"
_COUNT = "SELECT count(*) FROM orders WHERE starts_with(run_id, %s)"


class Orders:
    """The orders of one environment.

    Args:
        schema: where its tables are.
        dsn: a libpq connection string instead of the application database's Airflow connection.
    """

    def __init__(self, schema: str, *, dsn: str | None = None) -> None:
        self.schema = schema
        self._dsn = dsn

    def create(self) -> None:
        """Make schema and tables where there are none, and forget orders of earlier days."""
        from psycopg2 import sql  # noqa: PLC0415 - not while a DAG file is parsed

        self._run((sql.SQL(_TABLES).format(sql.Identifier(self.schema)), ()))

    def sell(self, run_id: str, item: str, confirm: Callable[[], object] = lambda: None) -> None:
        """Take an order: the stock's row, if there is one, is held until ``confirm`` has returned, as shops do it."""
        self._run((_SELL, (item,)), confirm, (_ENTER, (run_id, item)))

    def count(self, run_id: str) -> int:
        """How many orders there are of runs whose id begins so."""
        ((found,),) = self._run((_COUNT, (run_id,)))
        return int(found)

    def _run(self, *steps: Any) -> list[tuple[Any, ...]]:
        """Carry out statements, and what is called between them, in one transaction; returns the last one's rows."""
        with closing(connect(dsn=self._dsn)) as database, database.cursor() as cursor:
            database.autocommit = False
            cursor.execute("SELECT set_config('search_path', %s, true)", (self.schema,))
            for step in steps:
                if callable(step):
                    step()
                else:
                    cursor.execute(*step)
            rows = list(cursor.fetchall()) if cursor.description else []
            database.commit()
            return rows
