"""Measures of a meter, against made-up task instances."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.queues import (
    batch,
    flow,
    given_at_once,
    in_index_order,
    in_line,
    last_end,
    metered_depth,
    metered_rise,
    queued_after,
    spent,
    tracks,
    waited_in_line,
)
from backpressure.timeline import Timeline

# One task instance arrives each second and waits five seconds, four of them for a slot.
WORK = Timeline.from_arrays(
    scheduled=[10, 11, 12, 13, 14, 15], queued=[14, 15, 16, 17, 18, 19], start=[15, 16, 17, 18, 19, 20]
)
NOTHING = Timeline.from_arrays(scheduled=[], queued=[], start=[])


def readings(*counts: tuple[float, int], took: float = 0.0) -> list[dict[str, Any]]:
    """Counts at instants, each reading of which took so long."""
    return [{"since": at - took, "at": at, "waiting": count} for at, count in counts]


def right(*counts: tuple[float, int], took: float = 0.0, least: int = 0, slack: float = 0.0) -> float | None:
    """The share of readings that agree exactly."""
    found = tracks(readings(*counts, took=took), "waiting", WORK.depth_curve(), least=least, tolerance=0, slack=slack)
    return found.value  # type: ignore[return-value]  # a share


def test_a_reading_agrees_with_the_curve_or_not() -> None:
    """Three wait at 12.5, and a reading of two is wrong unless one more or less is allowed."""
    assert right((12.5, 3), (13.5, 4)) == 1
    assert right((12.5, 3), (13.5, 2)) == 0.5
    assert tracks(readings((12.5, 2)), "waiting", WORK.depth_curve(), least=0, slack=0).value == 1


def test_the_reading_furthest_off_is_told() -> None:
    """What was read, what there was, and when."""
    found = tracks(readings((12.5, 3), (13.5, 0)), "waiting", WORK.depth_curve(), least=0, slack=0)
    assert (found.at, found.detail) == (13.5, "furthest apart: 0 read, 4 by timestamps")


def test_a_reading_that_took_time_may_be_of_any_instant_of_it() -> None:
    """Between 12.5 and 14.5 the depth was three, four and five; and what is committed late is allowed for."""
    assert [right((14.5, count), took=2.0) for count in (2, 3, 4, 5, 6)] == [0, 1, 1, 1, 0]
    assert [right((13.2, 3), slack=slack) for slack in (0.0, 0.5)] == [0, 1]


def test_readings_of_an_empty_queue_prove_nothing() -> None:
    """Only readings from when something waited count: a meter that always says nought is not half right."""
    assert right((5.0, 0), (12.5, 0), least=2) == 0
    assert right((5.0, 0), (30.0, 0), least=1) is None
    assert tracks([], "waiting", WORK.depth_curve(), least=1).value is None


def test_a_metered_mean_weighs_with_time() -> None:
    """Two for one second and four for three, by trapezoids between the readings."""
    counts = readings((0.0, 2), (1.0, 2), (1.0, 4), (4.0, 4))
    assert metered_depth(counts, "waiting", "the queue").value == pytest.approx((2 + 12) / 4)
    assert metered_depth(counts[:1], "waiting", "the queue").value is None


def test_a_metered_rise_is_from_the_first_to_the_last_reading() -> None:
    """So many more in so many seconds; one reading, or none, has no rise."""
    assert metered_rise(readings((2.0, 1), (4.0, 7)), "waiting", "the queue").value == 3
    assert metered_rise(readings((2.0, 1)), "waiting", "the queue").value is None
    assert metered_rise([], "waiting", "the queue").value is None


def test_flow_is_what_comes_less_what_goes() -> None:
    """Five come and none goes, then one comes while two go; a window without length has no flow."""
    assert flow(WORK, (10.0, 14.0), "work").value == 1
    assert flow(WORK, (14.5, 16.5), "work").value == -0.5
    assert flow(WORK, (5.0, 5.0), "work").value is None
    assert flow(NOTHING, (0.0, 9.0), "work").value is None


def test_waiting_is_spent_before_or_after_the_slot() -> None:
    """Four of five seconds in scheduled, one in queued; what never waited has no share."""
    assert (spent(WORK, "scheduled", "work").value, spent(WORK, "queued", "work").value) == (0.8, 0.2)
    assert spent(NOTHING, "queued", "work").value is None
    with pytest.raises(ValueError, match="state is 'running'"):
        spent(WORK, "running", "work")


def test_who_is_queued_after_others_waited_for_them() -> None:
    """Only those that got their slot when the last of the others was over; without others nothing is measured."""
    others = Timeline.from_arrays(start=[14, 14], end=[15, 17])
    assert queued_after(WORK, others, "work").value == 3 / 6
    assert queued_after(WORK, NOTHING, "work").value is None
    assert queued_after(NOTHING, others, "work").value is None


def test_waiting_in_line_is_for_ones_own_kind() -> None:
    """Two slots and four tasks: the first two start at once, the others when the first has ended."""
    line = Timeline.from_arrays(queued=[0, 0, 2, 3], start=[1, 1, 2.5, 3.5], end=[2, 3, 5, 6])
    assert waited_in_line(line, "tasks").value == 0.5
    assert waited_in_line(line.select(map_index=5), "tasks").value is None


def test_a_batch_has_one_stamp() -> None:
    """Three that were queued at one instant are one pass, whatever was queued beside it."""
    work = Timeline.from_arrays(queued=[1, 1, 1, 2, 2, float("nan")])
    assert (batch(work, "tasks").value, batch(work, "tasks").at, batch(work, "tasks").samples) == (3, 1.0, 5)
    assert batch(NOTHING, "tasks").value is None


# Two slots: three get theirs as others end, the last while both are taken.
QUEUE = Timeline.from_arrays(
    scheduled=[0.0] * 5,
    queued=[1.0, 1.0, 3.0, 3.5, 3.6],
    start=[1.1, 1.1, 3.1, 3.6, 3.7],
    end=[3.0, 3.2, 5.0, 5.5, 5.6],
    map_index=[0, 1, 2, 4, 3],
)


def test_who_comes_after_the_first_waits_for_an_end() -> None:
    """Of three that came after the first two, one got a slot though only two had ended for three."""
    assert in_line(QUEUE, 2, "work").value == pytest.approx(2 / 3)
    assert in_line(QUEUE, 3, "work").value == 1
    assert in_line(QUEUE, 5, "work").value is None
    assert in_line(NOTHING, 2, "work").value is None


def test_ties_go_by_their_index() -> None:
    """Index 3 was queued after index 4: one of four neighbours is out of order."""
    assert in_index_order(QUEUE, "work").value == 0.75
    assert in_index_order(NOTHING, "work").value is None


def test_the_last_end_of_those_that_hold_a_slot() -> None:
    """At 2 two run, of which one ends at 3.2; at 3.55 one runs and one, which ends later, begins soon; at 9 none."""
    assert [last_end(QUEUE, at) for at in (2.0, 3.55, 9.0)] == [3.2, 5.5, None]


def test_what_a_window_lets_through_is_told_from_what_an_earlier_one_left() -> None:
    """Four go on when the pool becomes two slots; the next is given one when one of them is left."""
    work = Timeline.from_arrays(
        queued=[0, 0, 0, 0, 5, 6, 9], start=[1, 1, 1, 1, 6, 7, 10], end=[4, 4, 4, 6, 8, 8, 12], scheduled=0
    )
    assert given_at_once(work, (2.0, 8.5), "calls").value == 2
    assert given_at_once(work, (-1.0, 3.0), "calls").value == 4
    assert given_at_once(work, (8.5, 20.0), "calls").value == 1


def test_where_nothing_was_given_a_slot_there_is_nothing_to_tell() -> None:
    """No window, an empty one, and no work: none has a value, so that a run without work proves nothing."""
    assert given_at_once(WORK, None, "calls").value is None
    assert given_at_once(WORK, (0.0, 1.0), "calls").value is None
    assert given_at_once(NOTHING, (0.0, 100.0), "calls").value is None
