"""A role's connections used up, and three stalls, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import pytest
from backpressure.airflow.exhaustion import stalls, use_up, watch_role
from support.postgres import PostgresServer

ROLE = "exhausted"


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The session's server with a role of four connections."""
    postgres.psql(f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 4")
    yield postgres
    postgres.psql(f"DROP ROLE {ROLE}")


def test_connections_are_taken_until_the_server_refuses(server: PostgresServer) -> None:
    """The server counts as many as the role's limit, and its words name the role."""
    found = use_up(ROLE, dsn=server.dsn(user=ROLE), watching=server.dsn())
    assert (found["sessions"], found["limit"], found["sqlstate"]) == (4, 4, "53300")
    assert ROLE in found["refused"]


def test_who_has_a_timeout_gives_up(server: PostgresServer) -> None:
    """Each stall ends in an error of its own, before what stalls it is over."""
    found = stalls("-c lock_timeout=50 -c statement_timeout=100", 0.05, 20.0, dsn=server.dsn())
    assert [one["stall"] for one in found] == ["connection", "lock", "statement"]
    assert [one["ended"] for one in found] == ["TimeoutError", "LockNotAvailable", "QueryCanceled"]
    assert max(one["seconds"] for one in found) < 20


def test_who_has_none_waits(server: PostgresServer) -> None:
    """Without timeouts a stall takes as long as what stalls it, and then all is well."""
    found = stalls("", 60.0, 0.2, dsn=server.dsn())
    assert [one["ended"] for one in found] == ["", "", ""]
    assert all(one["seconds"] >= 0.15 for one in found)


class FakeSessions:
    """Some readings of a role of ten connections, one after the other."""

    def __init__(self, totals: list[int]) -> None:
        self.totals = totals

    def limit(self, role: str) -> int:
        """Of the role."""
        assert role == "lab"
        return 10

    def sample(self, *, role: str) -> dict[str, float]:
        """The next reading."""
        assert role == "lab"
        return {"at": float(len(self.totals)), "total": self.totals.pop(0)}

    def close(self) -> None:
        """Nothing is open."""


class FakeRun:
    """Reads until there is nothing left to read."""

    run_id = "r1"

    def sample(self, read: Any, until: Any, seconds: float, every: float) -> list[Any]:
        """As the real one does, without time."""
        assert (seconds, every) == (120.0, 0.25)
        found = [read()]
        while not until():
            found.append(read())
        return found


def test_an_alarm_is_sent_whenever_the_mark_is_reached_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it stays above the mark nothing more is sent; after a fall, once more."""
    told: list[dict[str, int]] = []

    class FakeUpstream:
        def __init__(self, lane: str) -> None:
            assert lane == "r1"

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def notify(self, message: dict[str, int]) -> None:
            told.append(message)

    totals = [2, 8, 9, 10, 3, 8]
    monkeypatch.setattr("backpressure.airflow.database.Sessions", lambda: FakeSessions(totals))
    monkeypatch.setattr("backpressure.airflow.upstream.Upstream", FakeUpstream)
    run: Any = FakeRun()
    samples = watch_role(run, "lab", 0.8, until=lambda: not totals)
    assert [one["total"] for one in samples] == [2, 8, 9, 10, 3, 8]
    assert told == [{"alarm": 8}, {"alarm": 8}]
