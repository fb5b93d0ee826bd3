"""Storages to test with: the same test runs on memory and on PostgreSQL, under a clock that the test moves.

def test_x(storage):                 # twice: MemoryStorage and PostgresStorage
    storage.clock.advance(1.5)       # moves the storage's own time too

def test_y(postgres_storage):        # PostgreSQL under the server's real clock, in a schema of its own
def test_z(postgres):                # the server itself, shared by the session: never stop that one
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg2
import pytest
from backpressure.clock import ManualClock
from backpressure.storage import Feature, MemoryStorage, PostgresStorage, Storage
from support.postgres import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator


class ServerClock(ManualClock):
    """A clock moved by hand that PostgreSQL tells its time by, in one schema."""

    def __init__(self, dsn: str, schema: str) -> None:
        super().__init__()
        self._schema = schema
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {schema}.test_clock (now bigint)")
            told = f"SELECT now FROM {schema}.test_clock"  # noqa: S608 - the fixture's own name
            cursor.execute(f"CREATE OR REPLACE FUNCTION {schema}.now_ns() RETURNS bigint LANGUAGE sql AS '{told}'")
        self._write()

    def advance_ns(self, nanoseconds: int) -> None:
        """Move forward."""
        super().advance_ns(nanoseconds)
        self._write()

    def step(self, delay: float) -> None:
        """Set the time of day."""
        super().step(delay)
        self._write()

    def close(self) -> None:
        """Close the connection by which the clock is moved."""
        self._connection.close()

    def _write(self) -> None:
        with self._connection.cursor() as cursor:
            table = f"{self._schema}.test_clock"
            cursor.execute(f"TRUNCATE {table}; INSERT INTO {table} VALUES (%s)", (self.now_ns(),))  # noqa: S608 - the same


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_storage(postgres: PostgresServer) -> Iterator[PostgresStorage]:
    """PostgreSQL under its real clock, in a schema of its own."""
    storage = PostgresStorage(postgres.dsn(), schema=f"t_{secrets.token_hex(4)}", timeout=20)
    yield storage
    storage.close()
    postgres.psql(f'SET client_min_messages = warning; DROP SCHEMA IF EXISTS "{storage.schema}" CASCADE')


@pytest.fixture
def manual_postgres_storage(postgres_storage: PostgresStorage, postgres: PostgresServer) -> Iterator[PostgresStorage]:
    """PostgreSQL under a clock moved by hand."""
    postgres_storage.install(Feature("core", version=1, folder="", tables=()))
    clock = ServerClock(postgres.dsn(), postgres_storage.schema)
    postgres_storage.clock = clock
    yield postgres_storage
    clock.close()


@pytest.fixture(params=["memory", "postgres"])
def storage(request: pytest.FixtureRequest) -> Storage:
    """Each storage in turn, under a `ManualClock`: `storage.clock.advance(seconds)` moves its time."""
    if request.param == "memory":
        return MemoryStorage(ManualClock())
    chosen: PostgresStorage = request.getfixturevalue("manual_postgres_storage")
    return chosen
