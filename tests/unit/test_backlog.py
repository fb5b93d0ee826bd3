"""What waits for a pool and what holds its slots, told from made-up records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.airflow.backlog import Backlog
from backpressure.measures.shedding import item_key
from backpressure.shedding import WaitingItem


def record(state: str, index: int, **stamps: float) -> dict[str, Any]:
    """A task instance of a helper run, with the given stamps in seconds since the epoch."""
    times = {name: datetime.fromtimestamp(at, UTC).isoformat() for name, at in stamps.items()}
    none = dict.fromkeys(("scheduled_when", "queued_when", "end_date"))
    named = {"dag_run_id": "manual__wave-1", "task_id": "gold", "map_index": index, "priority_weight": 3}
    return {**named, "state": state, **none, **times}


BACKLOG = Backlog.of(
    [
        record("scheduled", 0, scheduled_when=100.0),
        record("running", 1, scheduled_when=90.0, queued_when=98.0),
        record("queued", 2, scheduled_when=91.0, queued_when=99.0),
        record("success", 3, scheduled_when=80.0, queued_when=81.0, end_date=83.0),
        record("success", 4, scheduled_when=80.0, queued_when=81.0, end_date=84.0),
        record("success", 5, scheduled_when=80.0, queued_when=81.0, end_date=91.0),
        record("skipped", 6, scheduled_when=80.0, end_date=85.0),
        record("success", 7, end_date=85.0),
    ]
)


def test_what_waits_is_due_after_it_came() -> None:
    """Only what is scheduled can be shed; it has priority, arrival and due time."""
    assert BACKLOG.items(patience=5.0) == [WaitingItem("manual__wave-1.gold.0", 3, 100.0, 105.0)]
    assert list(BACKLOG.waiting) == [item_key("manual__wave-1", "gold", 0)]
    assert (BACKLOG.depth, BACKLOG.arrived) == (1, 7)


def test_slots_are_free_when_their_holders_are_done() -> None:
    """The median time for which slots were held counts from when each holder was queued; the rest are free now."""
    assert BACKLOG.service_time == 3.0
    assert BACKLOG.free_at(4, 100.0) == [101.0, 102.0, 100.0, 100.0]


def test_a_time_that_nobody_has_measured_is_an_error() -> None:
    """Without anything done there is no service time, and none is made up."""
    with pytest.raises(ValueError, match="no task instance is done"):
        _ = Backlog.of([record("scheduled", 0, scheduled_when=1.0)]).service_time
