"""Work that takes memory and connections, and what tells of it."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.airflow import consuming, database
from backpressure.airflow.consuming import Sample, consume
from backpressure.bulkhead import Bulkhead
from backpressure.storage import MemoryStorage


class Server:
    """A server that counts the connections of a name, and remembers which were closed."""

    def __init__(self) -> None:
        self.open: list[str] = []

    def connect(self, *, application: str) -> Any:
        """Open one."""
        self.open.append(application)
        server = self

        class Connection:
            def close(self) -> None:
                server.open.remove(application)

        return Connection()


def test_what_is_taken_is_measured_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connections are open during the work and closed after it; the memory is the process's own."""
    server, seen = Server(), []
    monkeypatch.setattr(database, "connect", server.connect)
    monkeypatch.setattr(consuming.time, "sleep", lambda seconds: seen.append((seconds, list(server.open))))
    told = consume(1.5, memory=32, connections=2, name="job")
    assert seen == [(1.5, ["job", "job"])]
    assert server.open == []
    assert told["used"]["connections"] == 2
    assert told["used"]["memory"] > 32
    assert told["since"] < told["until"]


def test_work_that_takes_nothing_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of job may need one resource only."""
    monkeypatch.setattr(database, "connect", lambda **_: pytest.fail("a connection was opened"))
    monkeypatch.setattr(consuming.time, "sleep", lambda _: None)
    assert consume(0.0)["used"]["connections"] == 0


@pytest.mark.parametrize("begins", [True, False])
def test_a_job_that_begins_or_ends_during_a_sample_counts_as_booked(
    monkeypatch: pytest.MonkeyPatch, *, begins: bool
) -> None:
    """The larger of two readings of the books is taken, before and after PostgreSQL was asked."""
    books = Bulkhead("connections", 6, MemoryStorage())
    leases = [] if begins else [books.acquire(2)]

    class Sessions:
        def sample(self, *, application: str) -> dict[str, float]:
            assert application == "job"
            if begins:
                leases.append(books.acquire(2))
            else:
                leases.pop().release()
            return {"at": 1.0, "total": 2.0}

    monkeypatch.setattr(database, "Sessions", Sessions)
    assert Sample(books, "job")() == {"at": 1.0, "used": 2.0, "booked": 2}
