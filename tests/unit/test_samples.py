"""Measures of samples: the highest, and what a number came to over time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from backpressure.measures.samples import agreement, fall, integral, middle, most, share, stretch
from backpressure.timeline import Curve, Timeline

SAMPLES: list[dict[str, Any]] = [
    {"at": 10.0, "running": 0},
    {"at": 11.0, "running": 2},
    {"at": 13.0, "running": 2},
    {"at": 13.5, "running": 0},
]


def test_the_most_is_that_of_the_first_sample_that_has_it() -> None:
    """The instant is where the highest value was seen first."""
    found = most(SAMPLES, "running", "calls at once")
    assert (found.value, found.at, found.samples) == (2, 11.0, 4)
    assert (found.name, found.source) == ("calls at once", "pool samples")


def test_the_middle_is_that_of_the_sample_in_the_middle() -> None:
    """One sample that is far off does not move it; of an even number the lower of the two counts."""
    odd = [{"at": 1.0, "lag": 0.5}, {"at": 2.0, "lag": 9.0}, {"at": 3.0, "lag": 0.7}]
    found = middle(odd, "lag", "lag of one", "DAG processor", unit="s")
    assert (found.value, found.at, found.unit, found.samples) == (0.7, 3.0, "s", 3)
    assert middle(odd[:2], "lag", "lag of one").value == 0.5
    assert middle([], "lag", "lag of one").value is None


class Gauge(NamedTuple):
    """A gauge within a window."""

    name: str
    at: tuple[float, ...]
    values: tuple[float, ...]
    before: float | None


def test_a_fall_is_that_of_the_gauge_that_fell_furthest() -> None:
    """From what it was before the window to its lowest value in it, first seen there; a rise is a fall below 0."""
    fell, still = Gauge("a", (1.0, 2.0, 3.0), (9.0, 4.0, 4.0), 10.0), Gauge("b", (1.0,), (10.0,), 10.0)
    found = fall([still, fell], "fall of slots")
    assert (found.value, found.at, found.samples) == (6.0, 2.0, 3)
    assert found.detail == "a was 10 before and 4 at least"
    assert fall([still], "fall of slots").value == 0
    assert fall([still], "fall of slots").detail == "b was 10 before and 10 at least"
    assert fall([still._replace(values=(11.0,))], "fall of slots").value == -1
    assert fall([fell._replace(before=None), Gauge("c", (), (), 1.0)], "fall of slots").value is None


def test_an_integral_weighs_each_sample_with_its_time() -> None:
    """Slots times seconds, by trapezoids, however unevenly the samples lie."""
    found = integral(SAMPLES, "running", "slots held")
    assert (found.value, found.unit, found.samples) == (1 + 4 + 0.5, "slot-s", 4)


def test_too_few_samples_measure_nothing() -> None:
    """No sample has no highest, and a single one spans no time."""
    assert most([], "running", "calls at once").value is None
    assert integral([], "running", "slots held").value is None
    assert integral(SAMPLES[:1], "running", "slots held").value is None


def test_the_longest_stretch_lies_between_samples_that_are_low_enough() -> None:
    """A single low sample lasts no time; no sample tells nothing."""
    found = stretch([{"at": 9.0, "running": 0}, *SAMPLES], "running", 0, "time without work", "pool samples")
    assert (found.value, found.unit, found.at) == (1.0, "s", 9.0)
    assert stretch(SAMPLES, "running", 2, "time", "pool samples").value == 3.5
    assert stretch(SAMPLES[1:3], "running", 0, "time", "pool samples").value == 0
    assert stretch([], "running", 0, "time", "pool samples").value is None


def _work(*states: str) -> Timeline:
    """Task instances of one task, a second after another, each a second long."""
    stamp = "2026-01-01T00:00:{:02d}Z".format
    return Timeline.from_records(
        {
            "task_id": "work",
            "dag_id": "d",
            "dag_run_id": "r",
            "map_index": number,
            "pool": "p",
            "state": state,
            "scheduled_when": stamp(number),
            "queued_when": stamp(number),
            "start_date": stamp(number),
            "end_date": stamp(number + 1),
        }
        for number, state in enumerate(states)
    )


@pytest.mark.parametrize(
    ("seen", "detail", "second"),
    [
        ([True, False, False], "only work[0]", 0),
        ([True, False, True], "all but work[1]", 1),
        ([False, False, False], "none of work[0], work[1], work[2]", 0),
        ([True, True, True], "all of work[0], work[1], work[2]", 0),
    ],
)
def test_a_share_says_whose_it_is_and_when(seen: list[bool], detail: str, second: int) -> None:
    """The fewer ones are named, with the instant at which the first of them was queued."""
    work = _work("success", "success", "success")
    found = share(seen, "ready", of=work)
    assert (found.value, found.detail) == (sum(seen) / 3, detail)
    assert found.at == work.queued[second]
    assert share(seen, "ready").value == found.value


def test_a_share_of_nothing_has_no_value() -> None:
    """There is nobody to name."""
    assert share([], "ready", of=_work()).value is None


def test_disagreement_says_how_far_and_when() -> None:
    """The sample that is furthest from the curve is told with its instant."""
    curve = Curve(np.array([0.0]), np.array([5.0]))
    found = agreement([{"at": 1.0, "n": 5}, {"at": 2.0, "n": 1}, {"at": 3.0, "n": 3}], "n", curve)
    assert found.value == pytest.approx(1 / 3)
    assert (found.at, found.detail) == (2.0, "furthest apart: 1 sampled, 5 by timestamps")


def test_an_integral_over_work_needs_samples_from_its_start_to_its_end() -> None:
    """A watcher that came late or stopped early has not seen what the work took."""
    work = _work("success", "success", "success")
    begin, end = float(work.start.min()), float(work.end.max())
    whole = [{"at": begin - 1, "n": 1}, {"at": end, "n": 1}]
    assert integral(whole, "n", "taken", over=work).value == pytest.approx(end - begin + 1)
    assert integral([{"at": begin + 1, "n": 1}, whole[1]], "n", "taken", over=work).value is None
    assert integral([whole[0], {"at": end - 2, "n": 1}], "n", "taken", over=work).value is None
    assert integral(whole, "n", "taken", over=_work()).value is None
