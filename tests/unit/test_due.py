"""Deliveries that the database refuses when they are late, on a real PostgreSQL."""

from __future__ import annotations

import time

import psycopg2
import pytest
from backpressure.airflow.due import DueDeliveries
from support.postgres import PostgresServer


def test_what_is_late_is_refused_by_the_database(postgres: PostgresServer) -> None:
    """What comes in time is delivered; the same item of another run is another one."""
    deliveries, others = (DueDeliveries(run_id, dsn=postgres.dsn()) for run_id in ("one", "other"))
    deliveries.create()
    others.create()
    deliveries.deliver("b", due=time.time() + 60)
    deliveries.deliver("a", due=time.time() + 60)
    with pytest.raises(psycopg2.errors.CheckViolation, match="delivered_in_time"):
        others.deliver("a", due=time.time() - 1)
    assert postgres.psql("SELECT run_id, item FROM due_deliveries ORDER BY item").split() == ["one|a", "one|b"]
