"""A stock whose rows are locked while they change, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from backpressure.airflow import stock
from support.postgres import PostgresServer


@pytest.fixture(scope="module")
def dsn(postgres: PostgresServer) -> Iterator[str]:
    """A database for this test alone."""
    postgres.psql("CREATE DATABASE stock")
    yield postgres.dsn(dbname="stock")
    postgres.psql("DROP DATABASE stock WITH (FORCE)")


def test_an_order_has_as_many_lines_as_the_stock_says(dsn: str) -> None:
    """What is said last counts."""
    stock.fill(["one-a", "one-b"], dsn=dsn)
    stock.fill(["one-b"], lines=40, dsn=dsn)
    assert (stock.take("one-a", 1.0, dsn=dsn), stock.take("one-b", 1.0, dsn=dsn)) == (1, 40)


def test_a_locked_row_is_waited_for_in_vain(dsn: str) -> None:
    """Until whoever has the lock lets go; other rows are free meanwhile."""
    stock.fill(["two-a", "two-b"], dsn=dsn)
    with stock.locked("two-a", dsn=dsn):
        assert stock.take("two-a", 0.05, dsn=dsn) is None
        assert stock.take("two-b", 0.05, dsn=dsn) == 1
    assert stock.take("two-a", 1.0, dsn=dsn) == 1


def test_a_schema_that_is_called_as_the_role_changes_nothing(dsn: str, postgres: PostgresServer) -> None:
    """The package makes such a schema when it is first used, perhaps in the middle of a lesson."""
    stock.fill(["five"], dsn=dsn)
    postgres.psql("CREATE SCHEMA postgres", dbname="stock")
    stock.fill(["six"], dsn=dsn)
    assert (stock.take("five", 1.0, dsn=dsn), stock.take("six", 1.0, dsn=dsn)) == (1, 1)


def test_those_who_wait_together_wait_no_longer(dsn: str) -> None:
    """The second in line for a row gives up as soon as the first."""
    stock.fill(["four"], dsn=dsn)
    with stock.locked("four", dsn=dsn), ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        assert list(pool.map(lambda _: stock.take("four", 1.0, dsn=dsn), range(2))) == [None, None]
        assert time.monotonic() - begun < 1.9


def test_what_is_removed_is_gone(dsn: str) -> None:
    """By the beginning of its name, whatever signs that has."""
    stock.fill(["three%-a", "threeX-b"], dsn=dsn)
    stock.remove("three%", dsn=dsn)
    assert stock.take("threeX-b", 1.0, dsn=dsn) == 1
    with pytest.raises(ValueError, match="unpack"):
        stock.take("three%-a", 1.0, dsn=dsn)
