"""Who holds the scheduler's lock, as the server says, on a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from backpressure.airflow import metadata
from backpressure.airflow.database import METADATA, connect
from support.postgres import PostgresServer

PATIENCE = 20.0


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The session's server with a database that is called as Airflow's."""
    postgres.psql(f"CREATE DATABASE {METADATA}")
    yield postgres
    postgres.psql(f"DROP DATABASE {METADATA} WITH (FORCE)")


def test_the_holder_of_the_lock_is_seen_from_another_database(server: PostgresServer) -> None:
    """While its statement lasts, and not before or after it."""
    with closing(metadata.LockWatch(dsn=server.dsn())) as watch:
        assert watch.sample()["pid"] == 0
        held: dict[str, float] = {}
        holder = threading.Thread(target=lambda: held.update(metadata.hold_lock(0.5, dsn=server.dsn())))
        holder.start()
        deadline = time.monotonic() + PATIENCE
        while not (seen := watch.sample())["pid"]:
            assert time.monotonic() < deadline
        holder.join()
        assert (seen["pid"], seen["application"]) == (held["pid"], "hanging")
        assert held["seconds"] >= 0.5
        assert watch.sample()["pid"] == 0


def test_a_statement_that_takes_no_lock_holds_none(server: PostgresServer) -> None:
    """The contrast differs in the lock alone."""
    with closing(connect(dsn=server.dsn(), database=METADATA)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", (metadata.CRITICAL_SECTION,))
        assert cursor.fetchone() == (True,)
        assert metadata.hold_lock(0.01, lock=None, dsn=server.dsn())["seconds"] >= 0.01
