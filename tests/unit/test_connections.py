"""The applications' pool of connections, and limits that are written down, on a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from backpressure.airflow import database
from backpressure.airflow.connections import ConnectionPool
from backpressure.airflow.database import Sessions
from backpressure.airflow.limits import read_limit, write_limit
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer


@pytest.fixture
def server(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> PostgresServer:
    """The server as the lessons' database."""
    opened = database.connect
    monkeypatch.setattr(database, "connect", lambda *_, **options: opened(**options | {"dsn": postgres.dsn()}))
    return postgres


@pytest.fixture
def pool(server: PostgresServer) -> Iterator[ConnectionPool]:
    """A pool of two connections."""
    assert server
    made = ConnectionPool(2, timeout=0.05, application="test_connections")
    yield made
    made.close()


def test_all_connections_are_open_before_the_first_is_needed(pool: ConnectionPool, server: PostgresServer) -> None:
    """Nobody's first call waits for the server to make a connection."""
    assert pool
    with Sessions(dsn=server.dsn()) as sessions:
        found = sessions.sample(application="test_connections")
    assert (found["total"], found["in_transaction"]) == (2, 0)


def test_a_held_connection_is_in_a_transaction(pool: ConnectionPool, server: PostgresServer) -> None:
    """The server counts those that are held, and no longer those that were given back."""
    with Sessions(dsn=server.dsn()) as sessions:
        with pool.transaction(), pool.transaction():
            assert sessions.sample(application="test_connections")["in_transaction"] == 2
        after = sessions.sample(application="test_connections")
        assert (after["in_transaction"], after["total"]) == (0, 2)


def test_who_insists_asks_again_and_holds_what_it_has(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is an error at once, or after so many seconds of asking; what was granted before stays open."""
    opened, made = database.connect, list[Any]()
    asked = iter([True, False, False, True, True, False])

    def grudging(**options: Any) -> Any:
        assert all(not one.closed for one in made)
        if not next(asked):
            raise database.TooManyConnectionsError
        made.append(opened(**options))
        return made[-1]

    assert server
    monkeypatch.setattr(database, "connect", grudging)
    ConnectionPool(2, timeout=0.05, application="insistent", insist=5).close()
    assert len(made) == 2
    made.clear()
    with pytest.raises(database.TooManyConnectionsError):
        ConnectionPool(2, timeout=0.05, application="insistent")


def test_one_more_than_there_are_is_refused_in_time(pool: ConnectionPool) -> None:
    """Nobody waits for ever: SQLAlchemy's own error, by whose name a load test tells it."""
    with pool.transaction(), pool.transaction(), pytest.raises(PoolTimeoutError), pool.transaction():
        pass
    assert PoolTimeoutError.__name__ == "TimeoutError"


def test_a_transaction_that_fails_leaves_the_pool_whole(pool: ConnectionPool, server: PostgresServer) -> None:
    """Its connection is closed and replaced, and what it wrote is not kept."""
    server.psql("CREATE TABLE written (number int)")

    def fail(number: int) -> None:
        with pool.transaction() as cursor:
            cursor.execute("INSERT INTO written VALUES (%s)", (number,))
            raise ZeroDivisionError

    for number in range(3):
        with pytest.raises(ZeroDivisionError):
            fail(number)
    with pool.transaction() as cursor:
        cursor.execute("INSERT INTO written VALUES (7)")
    assert server.psql("SELECT number FROM written") == "7"
    server.psql("DROP TABLE written")


def test_a_limit_is_read_as_it_was_written_last(server: PostgresServer) -> None:
    """The later measurement replaces the earlier one, and others stay as they are."""
    write_limit("upstream", 8)
    write_limit("other", 99)
    write_limit("upstream", 16.5)
    assert read_limit("upstream") == 16.5
    with pytest.raises(LookupError, match="nobody"):
        read_limit("nobody")
    server.psql("DROP TABLE load_limits")


def test_limits_are_written_by_many_at_once(server: PostgresServer) -> None:
    """Processes that make the table together do not get into each other's way."""
    for _ in range(5):
        with ThreadPoolExecutor(6) as workers:
            list(workers.map(write_limit, "abcdef", range(1, 7)))
        assert [read_limit(name) for name in "abcdef"] == [1, 2, 3, 4, 5, 6]
        server.psql("DROP TABLE load_limits")
