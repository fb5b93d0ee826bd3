"""A queue as it is seen at one instant, and what its inspection is worth, on made-up records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.inspection import breakdown, name, table, waiting
from backpressure.measures.inspection import ages_right, drained, in_order, slots_seen
from backpressure.timeline import Timeline


def record(task: str, index: int, weight: int, ready: float, *, slots: int = 1, pool: str = "narrow") -> dict[str, Any]:
    """A task instance that waits, as Airflow lists it."""
    at = datetime.fromtimestamp(ready, UTC).isoformat()
    return {"task_id": task, "map_index": index, "priority_weight": weight, "pool": pool, "pool_slots": slots,
            "scheduled_when": at}  # fmt: skip


LISTED = [
    record("heavy", 0, 10, 3),
    record("heavy", 1, 10, 3),
    record("light", 0, 1, 1, slots=4),
    record("light", 1, 1, 2, slots=4),
]


def queue(**stamps: list[float]) -> Timeline:
    """The same four once they have run."""
    return Timeline.from_arrays(
        task_id=["heavy", "heavy", "light", "light"], map_index=[0, 1, 0, 1], priority_weight=[10, 10, 1, 1],
        scheduled=[3.0, 3.0, 1.0, 2.0], **stamps,
    )  # fmt: skip


def test_a_task_instance_is_called_by_its_index_if_it_has_one() -> None:
    """As people write it."""
    assert (name(record("light", 2, 1, 0)), name(record("light", -1, 1, 0))) == ("light[2]", "light")


def test_a_queue_is_broken_down_by_pool_and_weight() -> None:
    """The heaviest of each pool first, with its slots and its oldest."""
    found = waiting([*LISTED, record("wide", -1, 1, 4, pool="wide")], at=5.0)
    groups = [(one.pool, one.weight, one.number, one.slots, one.oldest) for one in breakdown(found)]
    assert groups == [("narrow", 10, 2, 2, 2.0), ("narrow", 1, 2, 8, 4.0), ("wide", 1, 1, 1, 1.0)]


def test_a_table_has_a_line_for_a_pool_that_nothing_waits_for() -> None:
    """An empty queue is news, too."""
    shown = table(waiting(LISTED, at=5.0), {"narrow": {"slots": 4, "open": 0}, "wide": {"slots": 8, "open": 8}})
    assert "| narrow | 4 (0) | 1 | 2 | 8 | 4.0 s |" in shown
    assert "| wide | 8 (8) | - | 0 | 0 | - |" in shown


def test_what_was_seen_right_holds_and_what_was_missed_does_not() -> None:
    """Ages, order and slots are compared with what the stamps say in the end."""
    seen, work = waiting(LISTED, at=5.0), queue(queued=[6.0, 6.0, 7.0, 9.0])
    assert ages_right(seen, 5.0, work).value == 1
    assert "light[0] with 4 s: 4 s" in ages_right(seen, 5.0, work).detail
    assert in_order(seen, 5.0, work).value == 1
    assert slots_seen(seen, "narrow", work, "it").value == 10
    assert drained(work, 5.0, "it").value == 4
    assert (
        ages_right([], 5.0, work).value
        == in_order([], 5.0, work).value
        == slots_seen([], "narrow", work, "it").value
        == 0
    )


def test_an_order_that_came_otherwise_is_counted_by_pairs() -> None:
    """Of six pairs two are the wrong way round when the first light one gets its slots first."""
    found = in_order(waiting(LISTED, at=5.0), 5.0, queue(queued=[6.0, 6.0, 5.5, 9.0]))
    assert found.value == pytest.approx(4 / 6)
    assert found.detail == "light[0] got its slots before heavy[0]"


def test_who_had_slots_at_the_instant_did_not_wait() -> None:
    """Only those that were ready and had none are asked for; without any there is no value."""
    work = queue(queued=[4.0, 4.0, 4.5, 9.0])
    assert ages_right(waiting(LISTED[3:], at=5.0), 5.0, work).value == 1
    assert ages_right([], 0.0, work).value is in_order([], 0.0, work).value is None
    assert slots_seen([], "narrow", work.select(task_id="none"), "it").value is None
    assert drained(queue(), 0.0, "it").value is None
