"""What limits hold across processes: eight of them on one PostgreSQL, by counts and ratios of one run."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from backpressure import Rate, RateLimiter
from backpressure.limiter.operations import FEATURE
from backpressure.storage import PostgresStorage
from support.processes import Crowd, workers

if TYPE_CHECKING:
    from support.postgres import PostgresServer

PROCESSES = 8
SECONDS = 1.2


@pytest.fixture
def place(postgres: PostgresServer, postgres_storage: PostgresStorage) -> dict[str, Any]:
    """Where the workers find their storage, its tables made."""
    postgres_storage.install(FEATURE)
    return {"dsn": postgres.dsn(), "schema": postgres_storage.schema}


def _server_now(postgres: PostgresServer, storage: PostgresStorage) -> int:
    return int(postgres.psql(f"SELECT {storage.schema}.now_ns()"))


def test_one_call_processes_add_up_exactly(place: dict[str, Any]) -> None:
    """Ten processes that ask once each for one of six permits: six get one."""
    with workers(10, "take_once", limit=["rate", {"limit": 1, "period": 3600.0, "burst": 6}], **place) as crowd:
        assert sum(crowd.run()) == 6


@pytest.mark.slow
def test_the_rate_is_kept_and_used(
    crew: Crowd, place: dict[str, Any], postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Eight processes that ask without a pause get at most `rate * time + burst`, and at least 97 % of it."""
    limit, burst = 200, 40
    settings = {"limit": limit, "period": 1.0, "burst": burst}
    before = _server_now(postgres, postgres_storage)
    granted = sum(
        report["granted"] for report in crew.run("take_for", limit=["rate", settings], seconds=SECONDS, **place)
    )
    after = _server_now(postgres, postgres_storage)
    assert granted <= limit * (after - before) / 1e9 + burst
    # The bucket's own account says for how long permits were asked: from the first one to the last.
    row = postgres.psql(f"TABLE {postgres_storage.schema}.limiter").split("|")
    assert int(row[1]) - before <= after - before + burst * 1e9 / limit
    assert granted >= 0.97 * limit * SECONDS


@pytest.mark.slow
def test_skewed_clocks_change_nothing(
    crew: Crowd, place: dict[str, Any], postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Clients whose clocks are five seconds ahead or behind get together what the server's time allows."""
    limit, burst = 100, 20
    skews = [{"skew": 5.0 if number % 2 else -5.0} for number in range(PROCESSES)]
    settings = {"limit": limit, "period": 1.0, "burst": burst}
    before = _server_now(postgres, postgres_storage)
    reports = crew.run("take_for", limit=["rate", settings], seconds=SECONDS, each=skews, **place)
    granted = [report["granted"] for report in reports]
    after = _server_now(postgres, postgres_storage)
    assert 0.97 * limit * SECONDS <= sum(granted) <= limit * (after - before) / 1e9 + burst


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        (["rate", {"limit": 40, "period": 0.5, "burst": 5}], 45),
        (["window", {"limit": 20, "period": 0.5}], 20),
    ],
    ids=["rate", "window"],
)
@pytest.mark.slow
def test_no_window_holds_too_many(crew: Crowd, place: dict[str, Any], limit: list[Any], most: int) -> None:
    """By the server's clock no half-open window of one period holds more than its limit (and burst)."""
    reports = crew.run("starts_for", limit=limit, seconds=SECONDS, **place)
    starts = sorted(round(start * 1e6) for report in reports for start in report)
    assert len(starts) >= most
    for first in range(len(starts)):
        assert sum(starts[first] <= start < starts[first] + 500_000 for start in starts[first:]) <= most


def test_waiting_processes_share_the_rate_evenly_spaced(
    crew: Crowd, place: dict[str, Any], postgres_storage: PostgresStorage
) -> None:
    """Reserved starts of eight processes lie one interval apart: none is given twice, and none is lost."""
    limit = ["rate", {"limit": 1000, "period": 1.0}]
    starts = sorted(
        start for report in crew.run("starts_reserved", limit=limit, permits=20, **place) for start in report
    )
    assert len(starts) == PROCESSES * 20
    assert all(second - first >= 0.000999 for first, second in pairwise(starts))
    assert RateLimiter("x", Rate(1000, 1.0), postgres_storage).try_acquire() is not None


def test_waiting_processes_all_get_their_permits(crew: Crowd, place: dict[str, Any]) -> None:
    """Who waits gets its permit, however many wait."""
    limit = ["rate", {"limit": 100, "period": 1.0, "burst": 1}]
    assert sum(crew.run("wait_for_permits", limit=limit, permits=10, **place)) == PROCESSES * 10


def test_a_serial_caller_that_waits_as_told_is_never_refused(crew: Crowd, place: dict[str, Any]) -> None:
    """On a real server and a real clock, coming back at `retry_after` always succeeds."""
    alone = Crowd(crew.workers[:1])
    assert alone.run("come_back", limit=["rate", {"limit": 50, "period": 1.0}], rounds=25, skew=5.0, **place) == [0]


def test_a_killed_process_leaves_no_lock_and_takes_nothing_along(
    place: dict[str, Any], postgres: PostgresServer, postgres_storage: PostgresStorage
) -> None:
    """Processes killed in the middle of asking cost at most the permit each was being given."""
    settings = {"limit": 200, "period": 1.0, "burst": 1}
    with workers(4, "take_for", limit=["rate", settings], seconds=60.0, **place) as crowd:
        crowd.start()
        limiter = RateLimiter("x", Rate(**settings), postgres_storage)
        while limiter.try_acquire():
            pass
        for worker in crowd.workers:
            worker.kill()
    decision = limiter.try_acquire()
    assert decision.retry_after <= 1 / 200
    locks = postgres.psql("SELECT count(*) FROM pg_locks WHERE NOT granted")
    assert int(locks) == 0
