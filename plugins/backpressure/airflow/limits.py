"""Limits that load tests have measured, written down in the lessons' database."""

from __future__ import annotations

import contextlib
from typing import Any

__all__ = ["read_limit", "write_limit"]


def write_limit(name: str, calls_per_second: float) -> None:
    """Write a measured limit into the table ``load_limits`` of the lessons' database, which it makes if need be."""
    # Two who make the table at once may both find that it is not there: the lock lets one go first.
    _execute(
        "SELECT pg_advisory_xact_lock(hashtext('load_limits')); CREATE TABLE IF NOT EXISTS load_limits "
        "(name text PRIMARY KEY, calls_per_second double precision NOT NULL, at timestamptz NOT NULL DEFAULT now())"
    )
    _execute(
        "INSERT INTO load_limits (name, calls_per_second) VALUES (%(name)s, %(limit)s) ON CONFLICT (name) "
        "DO UPDATE SET calls_per_second = EXCLUDED.calls_per_second, at = EXCLUDED.at",
        name=name,
        limit=calls_per_second,
    )


def read_limit(name: str) -> float:
    """The limit that was written down last.

    Raises:
        LookupError: there is none.
    """
    rows = _execute("SELECT calls_per_second FROM load_limits WHERE name = %(name)s", name=name)
    if not rows:
        raise LookupError(f"no limit {name!r} was written down")
    return float(rows[0][0])


def _execute(statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """One statement, as the lessons' database role, on a connection of its own; its rows, if it has any."""
    from backpressure.airflow.database import connect  # noqa: PLC0415 - not while a DAG file is parsed

    with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []
