"""Deliveries, dead letters and the history of a queue, on a real PostgreSQL."""

from __future__ import annotations

import psycopg2
import pytest
from backpressure.airflow.history import DepthHistory
from backpressure.airflow.ledger import Ledger
from support.postgres import PostgresServer


@pytest.fixture
def ledger(postgres: PostgresServer) -> Ledger:
    """A queue without messages; the tables may be there already."""
    found = Ledger("q", dsn=postgres.dsn())
    found.create()
    postgres.psql("DELETE FROM deliveries; DELETE FROM dead_letters")
    return found


def test_only_whole_numbers_are_delivered_and_once(ledger: Ledger) -> None:
    """The database itself refuses what is none; a message that comes twice is one delivery."""
    ledger.deliver("a", "12")
    ledger.deliver("a", "12")
    for body in ("12,50", "twelve", ""):
        with pytest.raises(psycopg2.DataError):
            ledger.deliver("b", body)
    assert ledger.delivered() == ["a"]


def test_a_letter_is_one_however_often_it_is_told(ledger: Ledger) -> None:
    """Its first reason stays, and so does a decision about it."""
    ledger.set_aside("a", "x", "first")
    ledger.decide(["a"], "ada")
    ledger.set_aside("a", "x", "second")
    assert ledger.letters() == [{"id": "a", "body": "x", "reason": "first", "state": "approved", "reviewer": "ada"}]


def test_a_decision_is_about_waiting_letters_of_its_queue(ledger: Ledger, postgres: PostgresServer) -> None:
    """What is not approved is rejected; a second decision and another queue change nothing."""
    other = Ledger("other", dsn=postgres.dsn())
    for one, name in ((ledger, "a"), (ledger, "b"), (other, "a")):
        one.set_aside(name, "x", "failed")
    assert ledger.decide(["a", "unknown"], "ada") == ["a"]
    assert ledger.decide(["b"], "bob") == []
    assert [letter["state"] for letter in ledger.letters()] == ["approved", "rejected"]
    assert [letter["state"] for letter in other.letters()] == ["waiting"]


def test_cleaning_removes_what_was_delivered_after_all(ledger: Ledger) -> None:
    """An approved letter that is not delivered yet stays, and so do rejected and waiting ones."""
    for name in ("a", "b", "c"):
        ledger.set_aside(name, "1", "failed")
    ledger.decide(["a", "b"], "ada")
    ledger.set_aside("d", "1", "failed")
    ledger.deliver("a", "1")
    ledger.deliver("c", "1")
    assert ledger.clean() == ["a"]
    assert [letter["id"] for letter in ledger.letters()] == ["b", "c", "d"]
    assert ledger.clean() == []


def test_letters_and_decisions_survive_a_crash() -> None:
    """The server is killed between decision and delivery: whoever comes back finds what was decided."""
    server = PostgresServer(durable=True).start()
    try:
        ledger = Ledger("q", dsn=server.dsn())
        ledger.create()
        for name in ("a", "b"):
            ledger.set_aside(name, "1", "failed")
        ledger.decide(["a"], "ada")
        server.crash()
        server.start()
        again = Ledger("q", dsn=server.dsn())
        again.create()
        assert [(letter["id"], letter["state"]) for letter in again.letters()] == [("a", "approved"), ("b", "rejected")]
        again.deliver("a", "1")
        assert again.clean() == ["a"]
    finally:
        server.remove()


def test_the_history_tells_a_percentile_of_a_time(postgres: PostgresServer) -> None:
    """Of one run's samples between two instants; without samples there is none."""
    history = DepthHistory("r1", dsn=postgres.dsn())
    for at in range(100):
        history.write({"at": 1000.0 + at, "depth": at})
    DepthHistory("r2", dsn=postgres.dsn()).write({"at": 1050.0, "depth": 10_000})
    assert history.percentile(0.95, 1000, 1099) == 94
    assert history.percentile(0.95, 1010, 1019) == 19
    assert history.percentile(0.95, 2000, 3000) is None


def test_the_history_forgets_after_a_day(postgres: PostgresServer) -> None:
    """A sample a day later takes the old ones with it."""
    history = DepthHistory("old", dsn=postgres.dsn())
    history.write({"at": 5000.0, "depth": 7})
    history.write({"at": 5000.0 + 86_401, "depth": 1})
    assert history.percentile(1.0, 0, 1e9) == 1
