"""A dashboard's panels: made of StatsD's series, and measured against what the scheduler's timestamps say."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.airflow.metrics import Metrics, Series
from backpressure.airflow.panels import changes, points
from backpressure.dashboard import Panel, read
from backpressure.load_picture import load_picture
from backpressure.measures.measure import Measure
from backpressure.measures.panels import agrees, followed, panel_mean, panel_quantile, real_mean, spacing
from backpressure.request_log import RequestLog
from backpressure.timeline import Timeline

# Four tasks come at 10; one gets a slot at 11, two at 14, the last at 22.
WORK = Timeline.from_arrays(
    scheduled=[10.0] * 4,
    queued=[11.0, 14.0, 14.0, 22.0],
    start=[11.5, 14.5, 14.5, 22.5],
    end=[13.0, 20.0, 21.0, 25.0],
)
QUEUE, TAKEN = WORK.concurrency("scheduled", "queued"), WORK.concurrency("queued", "end")


class Receiver(Metrics):
    """A receiver with made-up series."""

    def __init__(self, **series: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
        self.there = series

    def series(self, name: str, since: float | None = None, until: float | None = None, **_: Any) -> Series | None:
        """The series of that name from an instant on."""
        if name not in self.there:
            return None
        kept = [(at, value) for at, value in zip(*self.there[name], strict=True) if since is None or at >= since]
        assert until is None
        at, values = zip(*kept, strict=True) if kept else ((), ())
        return Series(name, {}, "gauge", at, values, None, complete=True)


def test_gauges_are_added_up_where_the_first_was_received() -> None:
    """Each point is the first metric's instant, with what the others said by then."""
    receiver = Receiver(scheduled=((5.0, 10.0, 15.0), (0.0, 4.0, 2.0)), queued=((4.9, 9.9, 14.9), (0.0, 1.0, 0.0)))
    assert points(["scheduled", "queued"], 6.0, receiver) == [(10.0, 5.0), (15.0, 2.0)]


def test_a_metric_that_nobody_sends_adds_nothing() -> None:
    """Missing beside another it is 0; missing itself it has no points."""
    receiver = Receiver(scheduled=((5.0,), (3.0,)))
    assert points(["scheduled", "queued"], 0.0, receiver) == [(5.0, 3.0)]
    assert points(["queued", "scheduled"], 0.0, receiver) == []


def test_changes_are_told_per_second() -> None:
    """From 0 to 8 within four seconds is two a second; points of one instant say nothing."""
    assert changes([(0.0, 0.0), (4.0, 8.0), (4.0, 9.0), (6.0, 5.0)]) == [(4.0, 2.0), (6.0, -2.0)]
    assert changes([(0.0, 1.0)]) == []


def test_a_load_test_is_drawn_as_the_upstream_saw_it() -> None:
    """Two calls in the first second and one in the next, in service one after the other, of a step that lost half."""
    times = {"arrival": [100.0, 100.5, 101.2], "start": [100.0, 101.0, 102.0], "finish": [101.0, 102.0, 103.0]}
    texts = dict.fromkeys(("lane", "key", "path", "request_id", "status"), ["x"] * 3)
    log = RequestLog(times | texts | {"retry_after": [0.0] * 3, "id": [1, 2, 3], "bytes": [0] * 3}, now=104.0)
    shown = read(
        load_picture("A test", [{"began": 100.0, "ended": 102.0, "rate": 2.0, "refused": 0.5}], log, capacity=3)
    )
    assert [round(value) for _, value in shown["Arrivals"].points] == [2, 1]
    assert [round(value) for _, value in shown["In service"].points] == [1, 1]
    assert shown["In service"].limit == 3
    assert [round(value, 2) for _, value in shown["Refused"].points] == [0.5, 0.5]


def test_only_points_with_something_to_see_are_compared() -> None:
    """Idle points at both ends agree without merit and are left out."""
    assert agrees([(5.0, 0.0), (12.0, 3.0), (15.0, 9.0), (30.0, 0.0)], QUEUE, "Depth").value == 0.5
    assert agrees([(5.0, 0.0)], QUEUE, "Depth").value is None
    assert agrees([], QUEUE, "Depth").value is None
    assert agrees([(5.0, 9.0)], Timeline.from_arrays().depth_curve(), "Depth").value is None


def test_a_flat_line_over_a_queue_agrees_with_nothing() -> None:
    """A panel that shows 0 while tasks wait is found out."""
    assert agrees([(10.5, 0.0), (12.0, 0.0)], QUEUE, "Depth").value == 0


def test_a_trend_shows_what_it_moves_with_the_queue() -> None:
    """Up by three, down by two; a time in which about as many came as started has no direction."""

    def part(*slopes: float) -> Measure:
        return followed(Panel("Trend", list(zip((5.0, 12.0, 13.0, 20.0, 24.0), slopes, strict=True))), WORK)

    assert part(0, 0.5, 0.0, -0.3, -0.2).value == 1, "a little too much is no less right"
    assert part(0, 0.5, 0.0, 0.3, 0.2).value == pytest.approx(3 / 5), "the other sign shows nothing"
    assert part(0, 1 / 7, 0.0, -1 / 7, 0.0).value == pytest.approx(2 / 5), "the right signs of noise are little"
    assert part(0, 0.0, 0.0, 0.0, 0.0).detail == "0 shown where the queue changed by 3"
    assert followed(Panel("Trend", []), WORK).value is None


def test_a_blink_is_no_direction() -> None:
    """A figure that jumps up and back within a moment has not followed a queue that stays long."""
    blink = [(5.0, 0.0), (10.0, 0.0), (10.5, 6.0), (11.0, -6.0), (12.0, 0.0), (20.0, 0.0)]
    assert followed(Panel("Trend", blink), WORK).value == 0


def test_figures_of_a_panel_are_those_of_its_points() -> None:
    """Quantile, and the longest time without a point."""
    panel = Panel("Lag", [(1.0, 2.0), (2.0, 4.0), (5.0, 6.0)], "s")
    assert panel_quantile(panel, 0.5).value == 4
    assert spacing(panel).value == 3


def test_means_are_of_the_same_instants() -> None:
    """One slot is taken at 12 and three at 15; what lies before and after the work counts on neither side."""
    panel = Panel("Use", [(5.0, 0.0), (12.0, 0.5), (15.0, 1.0), (30.0, 0.0)])
    assert panel_mean(panel, TAKEN).value == 0.75
    assert real_mean(panel, TAKEN, 2).value == (1 + 2) / 2 / 2


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)]])
def test_an_empty_panel_measures_nothing(points: list[tuple[float, float]]) -> None:
    """No points have no mean or quantile, and one has no distance to the next."""
    panel = Panel("Lag", points)
    assert panel_mean(panel, TAKEN).value is None
    assert real_mean(panel, TAKEN, 2).value is None
    assert spacing(panel).value is None
    assert (panel_quantile(panel, 0.5).value is None) == (not points)
