"""Measures for plans: slot-seconds held, growth, when a queue gets too deep."""

from __future__ import annotations

import math

import pytest
from backpressure.measures.planning import arrival_rate, crossing, held, hold, relative_wait, slope, slot_load
from backpressure.timeline import Timeline

WORK = Timeline.from_arrays(
    scheduled=[10.0, 10.0, 12.0, 12.0],
    queued=[10.5, 11.0, 13.0, 14.0],
    start=[11.0, 11.5, 13.5, 14.5],
    end=[13.0, 14.0, 16.0, 17.0],
    pool_slots=[1, 1, 1, 2],
    task_id="job",
)
NOTHING = Timeline.from_arrays()


def test_a_slot_is_held_from_queued_to_the_end() -> None:
    """The wait in the executor takes slots, too; a task of two slots counts twice."""
    found = held(WORK, "jobs")
    assert (found.value, found.at, found.samples) == (2.5 + 3 + 3 + 2 * 3, 17.0, 4)


def test_the_time_in_a_slot_is_of_those_that_ended() -> None:
    """One that still runs has no length yet, and does not make the others' shorter."""
    going = Timeline.from_arrays(queued=[1.0, 2.0], start=[1.5, 2.5], end=[4.0, math.nan])
    assert (hold(going, "jobs").value, hold(going, "jobs").unit) == (3, "s")
    assert hold(NOTHING, "jobs").value is None


def test_arrivals_are_counted_after_the_first() -> None:
    """Four that came in pairs two seconds apart came at one a second; those that came at once have no rate."""
    assert arrival_rate(WORK, "jobs").value == 1
    assert arrival_rate(Timeline.from_arrays(scheduled=[3.0, 3.0]), "jobs").value is None
    assert arrival_rate(NOTHING, "jobs").value is None


def test_the_load_of_a_slot_counts_the_time_in_which_work_came() -> None:
    """Above 1, the slots cannot do in that time what came in it."""
    assert slot_load(WORK, 2, 4.0, "jobs").value == pytest.approx(14.5 / 8)


def test_a_wait_for_a_slot_leaves_out_the_schedulers_own_time() -> None:
    """All three slots are held from 13 to 14 only, when one task waits; what waits before that has room."""
    work = Timeline.from_arrays(
        scheduled=[10.0, 10.0, 12.0, 12.0],
        queued=[10.5, 11.0, 13.0, 14.0],
        start=[11.0, 11.5, 13.5, 14.5],
        end=[14.0, 14.0, 16.0, 17.0],
    )
    found = relative_wait(work, 3, "jobs")
    assert found.value == pytest.approx((1.0 / 4) / ((3.5 + 3 + 3 + 3) / 4))
    assert (found.name, found.unit) == ("wait for a slot in a job's own time, jobs", "")
    assert relative_wait(work, 4, "jobs").value == 0
    assert relative_wait(NOTHING, 1, "jobs").value is None


def test_growth_is_what_even_the_slowest_step_shows() -> None:
    """Four figures that all grow have the smallest pairwise slope; one that falls takes the certainty."""
    assert slope([1.0, 3.0, 4.0, 7.0], "growth").value == 1
    fallen = slope([1.0, 3.0, 2.0, 7.0], "growth").value
    assert isinstance(fallen, float)
    assert fallen < 0


def test_a_crossing_is_that_of_one_pool() -> None:
    """What waits in two pools does not add up; the pool that gets there first counts."""
    both = Timeline.from_arrays(
        scheduled=[1.0, 1.0, 2.0, 3.0],
        start=[9.0] * 4,
        pool=["a", "b", "b", "a"],
        task_id="job",
        map_index=[1, 2, 3, 4],
    )
    assert crossing(both, 2, 0.0, "jobs").value == 2
    assert crossing(both, 3, 0.0, "jobs").value is None


def test_two_figures_have_no_trend() -> None:
    """A line through two points would fit anything."""
    assert slope([1.0, 2.0], "growth").value is None


def test_a_crossing_is_the_first_instant_at_which_so_many_wait() -> None:
    """Two wait at 10, one at 11, and three never."""
    assert crossing(WORK, 2, 8.0, "jobs").value == 2
    assert crossing(WORK, 1, 12.5, "jobs").value == -2.5
    assert crossing(WORK, 3, 8.0, "jobs").value is None
    running = crossing(WORK, 2, 8.0, "jobs", begin="start", finish="end")
    assert (running.value, running.name) == (3.5, "time until 2 of jobs run")
    assert crossing(WORK, 2, 8.0, "jobs", finish="queued").name == "time until 2 of jobs wait"
    assert crossing(WORK, 2, 8.0, "jobs", begin="queued", finish="end").name == "time until 2 of jobs hold slots"


def test_without_work_nothing_is_measured() -> None:
    """An empty timeline holds no slots and crosses no mark."""
    assert held(NOTHING, "jobs").value is None
    assert crossing(NOTHING, 1, 0.0, "jobs").value is None
