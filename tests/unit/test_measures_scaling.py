"""What an autoscaler saw and did, told from made-up samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from backpressure.measures.scaling import Action, Scaling
from backpressure.timeline import Timeline


def sample(
    at: float, processes: int, *, busy: int = 0, queue_time: float = 0.0, resting: bool = False
) -> dict[str, Any]:
    """One look at the worker."""
    return {
        "at": at,
        "processes": processes,
        "alive": processes,
        "busy": busy,
        "queue_time": queue_time,
        "resting": resting,
    }


def work(*rows: tuple[float, float, float, str, int]) -> Timeline:
    """Task instances given as (queued, start, end, state, tries)."""
    columns: dict[str, Any] = {
        name: np.array([row[place] for row in rows]) for place, name in enumerate(("queued", "start", "end"))
    }
    columns |= {"state": [row[3] for row in rows], "try_number": [row[4] for row in rows]}
    columns |= {"scheduled": columns["queued"], "map_index": list(range(len(rows))), "task_id": ["work"] * len(rows)}
    return Timeline.from_arrays(**columns)


SAMPLES = [
    sample(0.0, 2),
    sample(1.0, 2, busy=2, queue_time=1.0),
    sample(2.0, 2, busy=2, queue_time=3.0),
    sample(3.0, 3, busy=3, queue_time=4.0, resting=True),
    sample(5.0, 3, busy=3, queue_time=6.0, resting=True),
    sample(11.0, 3, busy=3, queue_time=6.0),
    sample(12.0, 4, busy=4, queue_time=4.0, resting=True),
    sample(20.0, 4),
    sample(21.0, 2),
]
WORK = work((0.5, 1.0, 9.0, "success", 1), (0.5, 3.5, 9.0, "success", 1), (0.5, 12.0, 19.0, "success", 1))
SCALED = Scaling(SAMPLES, WORK, target=2.0)
FIXED = Scaling([sample(at, 2, busy=2, queue_time=at) for at in (0.0, 1.0, 9.0)], WORK, target=2.0)


def test_a_change_of_size_is_that_of_the_sample_before_it_shows() -> None:
    """Growing and shrinking are told apart, each with its instant."""
    assert SCALED.actions == [Action(2.0, 2, 3), Action(11.0, 3, 4), Action(20.0, 4, 2)]
    assert (SCALED.ups().value, SCALED.ups().at, SCALED.downs().value, SCALED.downs().at) == (2, 2.0, 1, 20.0)
    assert (FIXED.ups().value, FIXED.downs().value) == (0, 0)


def test_growth_follows_signs_and_waiting_tasks() -> None:
    """Full processes and work that waits too long are signs; the tasks' own timestamps say how many waited."""
    assert (SCALED.noticed().value, SCALED.waiting().value) == (2, 2)
    assert (FIXED.noticed().value, FIXED.waiting().value) == (None, None)
    early = Scaling([sample(0.0, 2), sample(1.0, 3)], WORK, target=2.0)
    assert early.noticed().value == 0


def test_rest_and_what_it_held_back() -> None:
    """The shortest time between changes, and the signs that came within a cool-down."""
    assert (SCALED.shortest_rest().value, SCALED.shortest_rest().at) == (9.0, 11.0)
    assert (SCALED.held_back().value, SCALED.held_back().at) == (3, 3.0)
    assert (FIXED.shortest_rest().value, FIXED.held_back().value) == (None, 0)


def test_cost_is_what_processes_stood_for() -> None:
    """Process-seconds are an area; at the cap work may wait, and below it does not count."""
    assert (SCALED.capped(4).value, FIXED.capped(4).value) == (1, 0)
    area = 2 * 2 + 2.5 + 3 * 8 + 3.5 + 4 * 8 + 3
    assert (SCALED.process_seconds().value, SCALED.seconds().value) == (area, 21.0)


def test_the_worker_is_as_small_as_before_and_lost_nothing() -> None:
    """The kernel's count in the end; a retried or failed task was cut off."""
    assert (SCALED.most_processes().value, SCALED.last_processes().value, SCALED.cut_off().value) == (4, 2, 0)
    cut = Scaling(SAMPLES, work((0.5, 1.0, 9.0, "success", 2), (0.5, 1.0, 9.0, "failed", 1)), target=2.0).cut_off()
    assert (cut.value, cut.detail) == (2, "work[0], work[1]")


def test_nothing_is_told_without_samples_or_work() -> None:
    """Neither a growth nor that there was none."""
    none = Scaling([], work(), target=2.0)
    measures = [none.ups(), none.downs(), none.noticed(), none.waiting(), none.held_back(), none.capped(4)]
    measures += [none.process_seconds(), none.seconds(), none.last_processes(), none.most_processes(), none.cut_off()]
    assert [one.value for one in measures] == [None] * 11
