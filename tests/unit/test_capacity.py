"""The arithmetic of capacity: trends, Little's law, and the wait in an M/M/c queue."""

from __future__ import annotations

import heapq
import math
import random

import pytest
from backpressure.capacity import busiest, erlang_c, mean_wait, offered_load, random_demand, servers_for, trend


def test_a_trend_finds_the_line_that_points_lie_on() -> None:
    """Slope and level are exact, also at instants that are large numbers."""
    now = 1_800_000_000.0
    line = trend([(now + x, 3 + 0.25 * x) for x in range(8)])
    assert line.slope == pytest.approx(0.25)
    assert line.at(now + 20) == pytest.approx(8)
    assert line.reaches(8) == pytest.approx(now + 20)


def test_a_trend_goes_through_the_middle_of_scattered_points() -> None:
    """Least squares: errors that cancel out leave the slope as it is."""
    line = trend([(0, 1), (1, 1), (2, 3), (3, 3)])
    assert (line.slope, line.at(1.5)) == (pytest.approx(0.8), pytest.approx(2))


def test_one_instant_has_no_slope() -> None:
    """A single point, or several at one x, say how much there is and nothing of where it goes."""
    assert (trend([(5, 2)]).slope, trend([(5, 2)]).at(100)) == (0, 2)
    assert trend([(5, 2), (5, 4)]).at(7) == 3
    assert trend([(5, 2)]).reaches(3) is None


def test_what_lies_behind_is_not_reached() -> None:
    """A line that falls, or has passed the value already, does not reach it any more."""
    assert trend([(0, 9), (1, 8)]).reaches(10) is None
    assert trend([(0, 9), (1, 8)]).reaches(6) == pytest.approx(3)


def test_no_points_make_no_trend() -> None:
    """An empty history is an error and not a level line."""
    with pytest.raises(ValueError, match="points is empty"):
        trend([])


def test_littles_law_multiplies() -> None:
    """Two arrivals a second that take three seconds each keep six servers busy."""
    assert offered_load(2, 3) == 6


def test_one_server_waits_as_a_textbook_says() -> None:
    """M/M/1: the share that waits is the utilisation, and the mean wait is service * rho / (1 - rho)."""
    assert erlang_c(0.8, 1) == pytest.approx(0.8)
    assert mean_wait(0.8, 1.5, 1) == pytest.approx(1.5 * 0.8 / 0.2)


@pytest.mark.parametrize(("load", "servers", "share"), [(1, 2, 1 / 3), (2, 3, 4 / 9), (0, 4, 0.0)])
def test_several_servers_wait_as_the_formula_says(load: float, servers: int, share: float) -> None:
    """Erlang's C for loads that can be worked out by hand."""
    assert erlang_c(load, servers) == pytest.approx(share)


def test_hundreds_of_servers_do_not_overflow() -> None:
    """The recursion stays within range where factorials do not."""
    assert 0 < erlang_c(480, 500) < 1


def test_too_much_load_waits_for_ever() -> None:
    """With no server to spare everyone waits, and the queue has no mean."""
    assert erlang_c(3, 3) == 1
    assert mean_wait(3, 1, 3) == math.inf


def test_the_formula_agrees_with_a_queue_that_is_played() -> None:
    """A simulated M/M/3 queue of many arrivals waits as long as computed."""
    draw = random.Random(5)  # noqa: S311 - no secret
    rate, service, servers, now, waited = 2.0, 1.2, 3, 0.0, 0.0
    free_at = [0.0] * servers
    number = 200_000
    for _ in range(number):
        now += draw.expovariate(rate)
        start = max(now, heapq.heappop(free_at))
        waited += start - now
        heapq.heappush(free_at, start + draw.expovariate(1 / service))
    assert waited / number == pytest.approx(mean_wait(rate * service, service, servers), rel=0.05)


def test_servers_are_as_few_as_both_limits_allow() -> None:
    """One server less breaks the limit on the wait, or that on the utilisation."""
    found = servers_for(2.4, 1.6, wait=0.8, utilisation=0.7)
    assert found == 4
    assert mean_wait(2.4, 1.6, found) <= 0.8 < mean_wait(2.4, 1.6, found - 1)
    assert servers_for(7, 1, wait=100, utilisation=0.7) == 10
    assert servers_for(0, 1, wait=1, utilisation=0.7) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"load": -1}, "load"),
        ({"load": math.inf}, "load"),
        ({"service": math.nan}, "service"),
        ({"wait": 0}, "wait"),
        ({"utilisation": 1}, "utilisation"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, float], named: str) -> None:
    """The error says which argument, and its value."""
    with pytest.raises(ValueError, match=named):
        servers_for(**({"load": 2.0, "service": 1.0, "wait": 1.0, "utilisation": 0.7} | arguments))


def test_a_queue_without_servers_is_refused() -> None:
    """Nobody serves there, so nothing can be said."""
    with pytest.raises(ValueError, match="servers"):
        erlang_c(1, 0)


def test_a_demand_is_exponential_and_its_order_the_seeds() -> None:
    """Jobs come one after another within the period, last 1 on average, and come again from the same seed."""
    jobs = random_demand(400, 60.0, "a run")
    arrivals, lengths = zip(*jobs, strict=True)
    assert sorted(arrivals) == list(arrivals)
    assert 0 < arrivals[0] < arrivals[-1] <= 60
    assert sum(lengths) / 400 == pytest.approx(1, abs=0.01)
    assert sum(length > 1 for length in lengths) / 400 == pytest.approx(math.exp(-1), abs=0.01)
    assert jobs == random_demand(400, 60.0, "a run")
    assert jobs != random_demand(400, 60.0, "another run")


def test_no_jobs_are_no_demand() -> None:
    """An idle day is a day, too; fewer than no jobs is a mistake."""
    assert random_demand(0, 60.0, "a run") == []
    with pytest.raises(ValueError, match="jobs"):
        random_demand(-1, 60.0, "a run")


def test_the_busiest_stretch_is_the_first_with_most() -> None:
    """It holds its beginning and not its end."""
    assert busiest([5.0, 1.0, 2.0, 3.0, 5.5], 2.0) == (1.0, 2)
    assert busiest([5.0, 1.0, 5.5, 6.9, 7.0], 2.0) == (5.0, 3)


@pytest.mark.parametrize(("instants", "width"), [([], 1.0), ([1.0], 0.0), ([1.0], -1.0), ([1.0], math.nan)])
def test_no_stretch_is_busiest_of_none(instants: list[float], width: float) -> None:
    """Nothing that came, or no time, is an error."""
    with pytest.raises(ValueError, match="busiest stretch"):
        busiest(instants, width)
