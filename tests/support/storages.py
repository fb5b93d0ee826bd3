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
from support.processes import Crowd, crowd_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class, named like a value by psycopg2


class ServerClock(ManualClock):
    """A clock moved by hand that PostgreSQL tells its time by, in one schema."""

    def __init__(self, cursor: Cursor, schema: str) -> None:
        super().__init__()
        self._cursor = cursor
        self._schema = schema
        self._write()

    def advance_ns(self, nanoseconds: int) -> None:
        """Move forward."""
        super().advance_ns(nanoseconds)
        self._write()

    def step(self, delay: float) -> None:
        """Set the time of day."""
        super().step(delay)
        self._write()

    def _write(self) -> None:
        # A setting of the database would reach new sessions only, a table reaches all at once.
        self._cursor.execute(f"UPDATE {self._schema}.test_clock SET now = {self.now_ns()}")  # noqa: S608 - made up here


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def administrator(postgres: PostgresServer) -> Iterator[Cursor]:
    """A superuser's cursor, each statement its own transaction."""
    connection = psycopg2.connect(postgres.dsn())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = warning")
        yield cursor
    connection.close()


@pytest.fixture
def postgres_storage(postgres: PostgresServer, administrator: Cursor) -> Iterator[PostgresStorage]:
    """PostgreSQL under its real clock, in a schema of its own."""
    storage = PostgresStorage(postgres.dsn(), schema=f"t_{secrets.token_hex(4)}", timeout=20)
    yield storage
    storage.close()
    administrator.execute(f"DROP SCHEMA IF EXISTS {storage.schema} CASCADE")


@pytest.fixture(scope="session")
def _frozen_schema(postgres: PostgresServer, administrator: Cursor) -> str:
    """A schema whose time stands in a table. Its features are installed once a session, by whoever comes first."""
    PostgresStorage(postgres.dsn(), schema="frozen").install(Feature("core", version=1, folder="", tables=()))
    administrator.execute("CREATE TABLE frozen.test_clock AS SELECT 0::bigint AS now")
    administrator.execute(
        "CREATE OR REPLACE FUNCTION frozen.now_ns() RETURNS bigint LANGUAGE sql AS 'SELECT now FROM frozen.test_clock'"
    )
    return "frozen"


@pytest.fixture
def manual_postgres_storage(
    postgres: PostgresServer, administrator: Cursor, _frozen_schema: str
) -> Iterator[PostgresStorage]:
    """PostgreSQL under a clock moved by hand, empty."""
    schema = _frozen_schema
    storage = PostgresStorage(postgres.dsn(), schema=schema, timeout=20)
    storage.clock = ServerClock(administrator, schema)
    yield storage
    storage.close()
    administrator.execute(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")  # noqa: S608 - made up here
    tables = [name for (name,) in administrator.fetchall() if name not in {"schema_version", "test_clock"}]
    if tables:
        administrator.execute(f"TRUNCATE {', '.join(f'{schema}.{name}' for name in tables)}")


@pytest.fixture(scope="session")
def crew() -> Iterator[Crowd]:
    """Eight processes, there for the whole session: not to be killed."""
    with crowd_of(8) as crowd:
        yield crowd


@pytest.fixture(params=["memory", "postgres"])
def storage(request: pytest.FixtureRequest) -> Storage:
    """Each storage in turn, under a `ManualClock`: `storage.clock.advance(seconds)` moves its time."""
    if request.param == "memory":
        return MemoryStorage(ManualClock())
    chosen: PostgresStorage = request.getfixturevalue("manual_postgres_storage")
    return chosen
