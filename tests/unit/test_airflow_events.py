"""The package's events in Airflow's own metrics and logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.observability import stats
from backpressure import Bulkhead, CircuitBreaker, Rate, RateLimiter
from backpressure.airflow import events as subject
from backpressure.airflow.events import LISTENERS, TaskDeferred, to_log, to_metrics
from backpressure.clock import ManualClock
from backpressure.events import Event, FailedOpen
from backpressure.storage import MemoryStorage
from structlog.testing import capture_logs


class Backend:
    """What Airflow's metrics would send."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        self.tags: dict[str, dict[str, str]] = {}

    def incr(self, stat: str, count: int = 1, tags: dict[str, str] | None = None) -> None:
        self.sent[stat] = self.sent.get(stat, 0) + count
        self.tags[stat] = tags or {}

    def timing(self, stat: str, dt: timedelta, tags: dict[str, str] | None = None) -> None:
        self.sent[stat] = dt.total_seconds()
        self.tags[stat] = tags or {}

    def gauge(self, stat: str, value: float, tags: dict[str, str] | None = None) -> None:
        self.sent[stat] = value
        self.tags[stat] = tags or {}


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Airflow's own Stats, with a backend that remembers."""
    made = Backend()
    monkeypatch.setitem(stats.incr.__globals__, "_get_backend", lambda: made)
    return made


def test_a_limiters_decisions_are_counted_by_cost(backend: Backend) -> None:
    """Granted and refused permits are counters, waits are timers; the name is a tag, or for plain StatsD at the end."""
    limiter = RateLimiter("partner.x y", Rate(1, 10.0, burst=3), MemoryStorage(ManualClock()), listeners=LISTENERS)
    limiter.try_acquire(cost=2)
    limiter.try_acquire(cost=2)
    assert backend.sent["backpressure.permit_granted"] == 2
    assert backend.sent["backpressure.permit_refused"] == 2
    assert backend.sent["backpressure.permit_refused.retry_after"] == pytest.approx(10)
    assert backend.sent["backpressure.permit_refused.partner__x_y"] == 2
    assert backend.tags["backpressure.permit_refused"] == {"name": "partner.x y"}
    assert backend.tags["backpressure.permit_refused.partner__x_y"] == {}


def test_modern_names_alone_when_airflow_is_set_so(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without legacy names each event is sent once, the name in its tags."""
    monkeypatch.setattr(subject, "_legacy_names", lambda: False)
    to_metrics(TaskDeferred("partner", 4.0, "limiter"))
    assert backend.sent == {"backpressure.task_deferred": 1, "backpressure.task_deferred.delay": 4.0}
    assert backend.tags["backpressure.task_deferred"] == {"name": "partner", "wait_for": "limiter"}


def test_a_breakers_changes_are_told_by_state(backend: Backend) -> None:
    """What opened, how calls ended and how long they took; free text is never a tag."""
    clock = ManualClock()
    breaker = CircuitBreaker("partner", MemoryStorage(clock), failure_threshold=1, listeners=LISTENERS)
    with pytest.raises(ZeroDivisionError):
        breaker.call(lambda: (clock.advance(2), 1 // 0))
    assert backend.tags["backpressure.circuit_changed"] == {"name": "partner", "before": "closed", "after": "open"}
    assert backend.tags["backpressure.call_ended"]["result"] == "failure"
    assert backend.sent["backpressure.call_ended.duration"] == pytest.approx(2)


def test_a_bulkheads_permits_are_timed(backend: Backend) -> None:
    """How long a permit was held is a timer."""
    clock = ManualClock()
    with Bulkhead("partner", 1, MemoryStorage(clock), listeners=LISTENERS).acquire():
        clock.advance(3)
    assert backend.sent["backpressure.permit_released.held"] == pytest.approx(3)


def test_an_event_of_ones_own_needs_nothing_here(backend: Backend) -> None:
    """Numbers of an unknown event become gauges."""

    @dataclass(frozen=True, slots=True)
    class TankLevel(Event):
        litres: int
        before: int

    to_metrics(TankLevel("east", 40, 50))
    assert backend.sent["backpressure.tank_level"] == 1
    assert backend.sent["backpressure.tank_level.litres.east"] == 40
    assert backend.sent["backpressure.tank_level.before"] == 50


def test_the_log_has_a_line_with_keys() -> None:
    """Refusals are information, what an operator should look at a warning; what went well is below Airflow's level."""
    limiter = RateLimiter("partner", Rate(1, 10.0), MemoryStorage(ManualClock()), listeners=[to_log])
    with capture_logs() as lines:
        limiter.try_acquire()
        limiter.try_acquire()
        to_log(FailedOpen("partner", OSError("no route")))
    assert lines == [
        {"event": "permit_refused", "of": "partner", "cost": 1, "retry_after": 10.0, "log_level": "info"},
        {"event": "failed_open", "of": "partner", "error": "no route", "log_level": "warning"},
    ]


def test_a_listener_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics that can't be sent are logged, and the permit is given."""
    monkeypatch.setattr(stats, "incr", None)
    limiter = RateLimiter("partner", Rate(1, 10.0), MemoryStorage(ManualClock()), listeners=LISTENERS)
    assert limiter.try_acquire().allowed
