"""A pool under its controller, over an imagined Airflow."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.adaptive import ControllerSettings, ControllerState, PoolController
from backpressure.airflow.steering import PoolSteering, sample
from backpressure.clock import ManualClock
from support.airflow_api import Airflow

SETTINGS = ControllerSettings(queue_time=10.0, cool_down=30.0, samples=2, maximum=10)


class Busy(Airflow):
    """The imagined Airflow with work in its pools."""

    def __init__(self, occupied: int, waiting_since: list[float], **slots: int) -> None:
        super().__init__(**slots)
        self.occupied = occupied
        self.waiting_since = waiting_since
        self.asked: list[dict[str, Any]] = []

    def get(self, path: str, **_: Any) -> Any:
        """A pool with its work."""
        work = {"occupied_slots": self.occupied, "scheduled_slots": len(self.waiting_since)}
        return super().get(path) | work

    def task_instances(self, *_: str, **params: Any) -> list[dict[str, Any]]:
        """Those that wait."""
        self.asked.append(params)
        return [{"scheduled_when": datetime.fromtimestamp(at, UTC).isoformat()} for at in self.waiting_since]


def test_measures_slots_in_use_and_the_oldest_that_waits() -> None:
    """Utilisation is of slots, time in queue that of whoever has waited longest for one."""
    api = Busy(3, [970.0, 990.0], api=4)
    found = sample(api, "api", 1000.0, error_rate=0.25)
    assert (found.slots, found.busy, found.queue_time, found.error_rate) == (4, 3.0, 30.0, 0.25)
    assert api.asked == [{"pool": "api", "state": "scheduled"}]


def test_nobody_waits() -> None:
    """An empty queue costs no second request and is a time in queue of nothing."""
    api = Busy(1, [], api=4)
    assert sample(api, "api", 1000.0).queue_time == 0
    assert api.asked == []


def test_resizes_the_pool_and_keeps_the_cool_down() -> None:
    """A queue that is too old makes the pool larger, once, and again only after the change could show its effect."""
    clock = ManualClock(1000.0)
    api = Busy(2, [900.0], api=2)
    steering = PoolSteering(api, "api", PoolController(SETTINGS), clock=clock)
    changes = []
    for _ in range(12):
        if steering.step().changed:
            changes.append((clock.now_ns() / 1e9, api.pools["api"]["slots"]))
        clock.advance(5)
    assert [slots for _, slots in changes] == [3, 4]
    assert changes[1][0] - changes[0][0] >= 30


def test_goes_on_where_a_former_one_left_off() -> None:
    """The state goes through JSON, as between two runs of a DAG: the cool-down is kept."""
    clock = ManualClock(1000.0)
    api = Busy(2, [900.0], api=2)
    first = PoolSteering(api, "api", PoolController(SETTINGS), clock=clock)
    first.step()
    assert first.step().changed
    kept = ControllerState(**json.loads(json.dumps(asdict(first.state))))
    second = PoolSteering(api, "api", PoolController(SETTINGS), clock=clock, state=kept)
    assert not any(second.step().changed for _ in range(5))


def test_a_clock_that_is_set_back_delays_it_by_one_cool_down() -> None:
    """A change that now lies a day ahead holds nothing up for a day."""
    api = Busy(2, [900.0], api=2)
    first = PoolSteering(api, "api", PoolController(SETTINGS), clock=ManualClock(100_000.0))
    first.step()
    assert first.step().changed
    clock = ManualClock(100_000.0 - 86_400.0)
    second = PoolSteering(api, "api", PoolController(SETTINGS), clock=clock, state=first.state)
    changes = []
    for _ in range(10):
        if second.step().changed:
            changes.append(clock.now_ns() / 1e9 - 13_600)
        clock.advance(5)
    assert len(changes) == 1
    assert 30 <= changes[0] <= 40


def test_a_missing_pool_is_named() -> None:
    """LookupError says which, and how to create it."""
    with pytest.raises(LookupError, match="there is no pool 'api': create it with"):
        sample(Busy(0, []), "api", 0.0)
