"""The question for the queue, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure.airflow.schedulers import queue_query

if TYPE_CHECKING:
    from support.postgres import PostgresServer


def test_an_index_spares_the_database_the_history(postgres: PostgresServer) -> None:
    """The same question of the same table looks at a small part of the blocks, and leaves no table behind."""
    index = "CREATE INDEX ON task_instances (state)"
    plain, indexed = (queue_query(sql, rows=20_000, each=1_000, dsn=postgres.dsn()) for sql in ("", index))
    assert plain["blocks"] >= 5 * indexed["blocks"] > 0
    assert postgres.psql("SELECT count(*) FROM pg_class WHERE relname = 'task_instances'") == "0"
