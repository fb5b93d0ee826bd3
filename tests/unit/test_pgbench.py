"""pgbench on a real PostgreSQL: its report, its password, and the orders that it makes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from backpressure.airflow import database
from backpressure.airflow.orders import ORDER, Orders
from backpressure.airflow.pgbench import Round, pgbench, read_report
from psycopg2.extensions import parse_dsn
from support.postgres import PostgresServer

REPORT = """transaction type: load.sql
number of transactions actually processed: 83
number of failed transactions: 1 (1.205%)
number of transactions skipped: 17 (17.000%)
number of transactions above the 50.0 ms latency limit: 4/83 (4.819%)
latency average = 1.201 ms
"""


@pytest.fixture
def shop(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Orders:
    """An environment without orders, on the server that pgbench is told of."""

    def known(_conn_id: str = "") -> Mapping[str, Any]:
        return parse_dsn(postgres.dsn())

    monkeypatch.setattr(database, "parameters", known)
    found = Orders("load_test", dsn=postgres.dsn())
    found.create()
    found.create()
    postgres.psql("DELETE FROM load_test.orders")
    return found


def test_a_report_is_read() -> None:
    """What was due is what was done and what was skipped; late and failed ones were not in time."""
    found = read_report(REPORT)
    assert found == Round(done=83, skipped=17, late=4, failed=1)
    assert (found.offered, found.in_time) == (100, 0.78)
    assert read_report("number of transactions actually processed: 0").in_time == 0


def test_something_else_is_no_report() -> None:
    """A text without a count is refused, with its beginning."""
    with pytest.raises(ValueError, match="segmentation fault"):
        read_report("segmentation fault")


def test_orders_are_counted_by_run(shop: Orders) -> None:
    """A run's orders are those whose run id begins with its own."""
    shop.sell("run-1__a", "print")
    shop.sell("run-1__b", "book")
    shop.sell("run-2__a", "print")
    assert (shop.count("run-1"), shop.count("run-1__a"), shop.count("run-9")) == (2, 1, 0)


def test_pgbench_makes_as_many_orders_as_it_says(shop: Orders) -> None:
    """Its transactions are the rows of its run, though nobody else is in the way; a name is passed as a parameter."""
    found = pgbench(ORDER, rate=50, seconds=1, limit=5.0, schema=shop.schema, run="run-'3'")
    assert found.done > 0
    assert shop.count("run-'3'") == found.done


@pytest.mark.slow
def test_what_waits_for_a_row_is_not_in_time(shop: Orders) -> None:
    """While an order of the same item is confirmed, pgbench's orders wait for its row."""
    held, rounds = threading.Event(), []

    def bench() -> None:
        rounds.append(pgbench(ORDER, rate=50, seconds=1, limit=0.05, schema=shop.schema, run="run-4"))
        held.set()

    thread = threading.Thread(target=bench)

    def confirm() -> None:
        thread.start()
        held.wait(1.5)

    shop.sell("run-5", "book", confirm)
    thread.join()
    assert rounds[0].in_time < 0.5


def test_a_script_that_the_server_refuses_is_an_error(shop: Orders) -> None:
    """The words of pgbench are the message."""
    with pytest.raises(RuntimeError, match="nowhere"):
        pgbench("SELECT * FROM nowhere;\n", rate=10, seconds=1, limit=1.0, schema=shop.schema)
