"""PostgreSQL as others have set it up: poolers, strict isolation, and crowds that want overlapping limits at once."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import psycopg2
import pytest
from backpressure import Bulkhead, CircuitBreaker, CircuitOpenError, KeyRotation, Rate, RateLimiter, all_of
from backpressure.storage import PostgresStorage
from backpressure.storage._connection import drive
from support.pooler import transaction_pooler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import PostgresServer
    from support.processes import Crowd


def deadlocks(postgres: PostgresServer) -> int:
    """How often the server had to break one."""
    return (postgres.folder / "log").read_text(errors="replace").count("deadlock detected")


@contextlib.contextmanager
def row_locked(postgres: PostgresServer, table: str, key: str) -> Iterator[None]:
    """Let another session have one row to itself."""
    connection = psycopg2.connect(postgres.dsn())
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT FROM {table} WHERE key = %s FOR UPDATE", (key.encode(),))
            yield
    finally:
        connection.close()


def test_everything_holds_behind_a_transaction_pooler(
    postgres: PostgresServer, postgres_storage: PostgresStorage, crew: Crowd
) -> None:
    """Eight processes whose every statement may go to another session add up exactly, and leave nothing in any."""
    with transaction_pooler(postgres) as (dsn, pooler):
        place = {"dsn": dsn, "schema": postgres_storage.schema}
        limit = ["rate", {"limit": 1, "period": 3600.0, "burst": 40}]
        reports = crew.run("take_times", limit=limit, times=20, **place)
        assert sum(reports) == 40
        assert pooler.transactions >= 160
        storage = PostgresStorage(dsn, schema=postgres_storage.schema)
        breaker = CircuitBreaker("x", storage, failure_threshold=1)
        with pytest.raises(OSError, match="down"), breaker:
            raise OSError("down")
        bulkhead = Bulkhead("x", 1, storage)
        for _ in range(4):
            with pytest.raises(CircuitOpenError), breaker:
                pass
            with bulkhead.acquire(timeout=10):
                assert bulkhead.try_acquire() is None
        (session, *_) = storage._pool._idle
        found = {
            drive(session.execute("SELECT count(*) FROM pg_prepared_statements", time.monotonic() + 10))[0][0]
            for _ in range(12)
        }
        assert found == {0}
        storage.close()


def test_a_role_of_strict_isolation_works(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """Where every transaction is serializable by default, callers that meet are still counted, and none is refused."""
    postgres.psql(
        "CREATE ROLE strict LOGIN; ALTER ROLE strict SET default_transaction_isolation = 'serializable';"
        f"GRANT CREATE ON DATABASE postgres TO strict; CREATE SCHEMA {postgres_storage.schema} AUTHORIZATION strict"
    )
    storage = PostgresStorage(
        postgres.dsn(user="strict"), schema=postgres_storage.schema, timeout=20, max_connections=6
    )
    limiter = RateLimiter("x", Rate(1, 3600.0, burst=70), storage)
    answers: list[bool] = []

    def ask() -> None:
        answers.extend(bool(limiter.try_acquire()) for _ in range(15))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(answers), sum(answers)) == (90, 70)
    storage.close()
    postgres.psql(f"DROP SCHEMA {postgres_storage.schema} CASCADE; DROP OWNED BY strict; DROP ROLE strict")


def test_overlapping_limits_never_deadlock(
    postgres: PostgresServer, postgres_storage: PostgresStorage, crew: Crowd
) -> None:
    """Eight processes that take, rotate and reset limits in any order never wait for each other in a ring."""
    before = deadlocks(postgres)
    each = [{"seed": number} for number in range(len(crew.workers))]
    place = {"dsn": postgres.dsn(), "schema": postgres_storage.schema}
    assert crew.run("take_overlapping", each=each, rounds=90, **place) == [90] * len(crew.workers)
    assert deadlocks(postgres) == before


def test_a_sweep_waits_for_nobody(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """It leaves the rows that somebody has locked, so that it can't be part of a deadlock, and deletes the others."""
    limiters = [RateLimiter(name, Rate(1000, 1.0), postgres_storage) for name in ("kept", "swept")]
    all_of(*limiters).try_acquire()
    table = f"{postgres_storage.schema}.limiter"
    postgres.psql(f"UPDATE {table} SET expires = 1")  # noqa: S608 - made up here
    with row_locked(postgres, table, "g:kept"):
        postgres.psql(f"SET lock_timeout = '1ms'; SELECT {postgres_storage.schema}.sweep_1('{table}')")
        assert [line.split("|")[0] for line in postgres.psql(f"TABLE {table}").splitlines()] == [
            r"\x" + b"g:kept".hex()
        ]
    postgres.psql(f"SELECT {postgres_storage.schema}.sweep_1('{table}')")
    assert not postgres.psql(f"TABLE {table}")


def test_thousands_of_keys_are_one_statement(postgres_storage: PostgresStorage) -> None:
    """A rotation over two thousand keys and two thousand limits as one work, each in one statement."""
    limiters = [RateLimiter(f"key {number}", Rate(1, 60.0, burst=2), postgres_storage) for number in range(2000)]
    rotation = KeyRotation(limiters)
    assert len({rotation.try_acquire().name for _ in range(3)}) == 3
    together = all_of(*limiters)
    assert together.try_acquire()
    assert not together.try_acquire(), "the three keys of the rotation have none left"
    assert limiters[10].try_acquire(), "and no other one lost a permit"


def test_views_show_any_name(postgres: PostgresServer, postgres_storage: PostgresStorage) -> None:
    """A name that the database can't hold as text is shown escaped, and hides no other."""
    names = ("plain", "zero \0", "限流 🚦")
    for name in names:
        RateLimiter(name, Rate(1, 60.0), postgres_storage).try_acquire()
        assert Bulkhead(name, 1, postgres_storage).try_acquire(tenant=name) is not None
        with CircuitBreaker(name, postgres_storage, consecutive_failures=3) as call:
            call.fail()
    for view in ("limiters", "bulkheads", "breakers"):
        rows = postgres.psql(f"TABLE {postgres_storage.schema}.{view}").splitlines()
        assert {row.split("|")[0] for row in rows} == {"plain", r"zero \000", "限流 🚦"}


def test_a_month_is_no_longer_than_a_storage_can_wait(postgres_storage: PostgresStorage) -> None:
    """A timeout of thirty days, as a monthly quota asks for, is no error of poll(2)."""
    limiter = RateLimiter("x", Rate(10, 1.0, burst=2), postgres_storage)
    for _ in range(2):
        assert limiter.acquire(timeout=30 * 86400.0)
