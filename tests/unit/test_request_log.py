"""Measures over an upstream's log: against definitions spelled out, and on edges."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from backpressure.request_log import Curve, Excess, RequestLog
from hypothesis import given
from hypothesis import strategies as st

TICK = 1 / 8
NOW = 1000.0


def log_of(rows: list[dict[str, Any]], *, now: float = NOW, complete: bool = True) -> RequestLog:
    """Build a log by way of the simulator's JSON; a row names what differs from a request served in half a second."""
    rows = sorted(rows, key=lambda row: row["arrival"])
    columns: dict[str, list[Any]] = {name: [] for name in
        ("id", "lane", "key", "path", "request_id", "arrival", "start", "finish", "status", "retry_after", "bytes")
    }  # fmt: skip
    for number, row in enumerate(rows):
        arrival = row["arrival"]
        default = {
            "id": number, "lane": "l", "key": "k", "path": "", "request_id": None, "start": arrival,
            "finish": arrival + 0.5, "status": 200, "retry_after": None, "bytes": 100,
        }  # fmt: skip
        for name, values in columns.items():
            values.append({**default, **row}[name])
    return RequestLog.from_pages([{"now": now, "complete": complete, "columns": columns}])


def at(*arrivals: float, **common: Any) -> RequestLog:
    """Build a log of requests that differ in their arrival only."""
    return log_of([{"arrival": arrival, **common} for arrival in arrivals])


arrival_times = st.lists(st.integers(0, 60), min_size=1, max_size=40).map(lambda ticks: sorted(t * TICK for t in ticks))


@given(arrival_times, st.integers(1, 40))
def test_arrivals_is_the_fullest_half_open_window(arrivals: list[float], ticks: int) -> None:
    """No window [t, t + w) holds more, and the one told holds as many."""
    window = ticks * TICK
    peak = at(*arrivals).arrivals(window)
    counts = [sum(t <= a < t + window for a in arrivals) for t in arrivals]
    assert peak.value == max(counts)
    assert peak.at == arrivals[counts.index(max(counts))]


@given(arrival_times, st.integers(1, 16), st.integers(1, 5))
def test_excess_is_the_worst_of_all_intervals(arrivals: list[float], rate: int, burst: int) -> None:
    """Checked against every pair of arrivals, and the interval told has this excess."""
    worst = at(*arrivals).excess(rate, burst)
    assert worst is not None
    every = [
        j - i + 1 - burst - rate * (arrivals[j] - arrivals[i])
        for i in range(len(arrivals))
        for j in range(i, len(arrivals))
    ]
    assert worst.value == pytest.approx(max(every))
    told = worst.arrivals - burst - rate * (worst.end - worst.start)
    assert told == pytest.approx(worst.value)


def test_a_kept_limit_has_no_excess_and_one_call_too_many_has() -> None:
    """A burst of 3 at once and then one each 0.5 s keeps 2/s with burst 3; a fourth at once does not."""
    kept = [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]
    assert at(*kept).excess(rate=2, burst=3) == Excess(0.0, 0.0, 0.0, 3)
    broken = at(*kept, 1.0).excess(rate=2, burst=3)
    assert broken is not None
    assert (broken.value, broken.start, broken.end, broken.arrivals) == (1.0, 0.0, 1.0, 6)


requests = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 16)), min_size=1, max_size=30)


@given(requests)
def test_inflight_counts_the_requests_between_arrival_and_finish(pairs: list[tuple[int, int]]) -> None:
    """At every instant the curve equals the number of requests with arrival <= t < finish."""
    spans = [(a * TICK, (a + length) * TICK) for a, length in pairs]
    curve = log_of([{"arrival": a, "finish": f} for a, f in spans]).inflight()
    for tick in range(-1, 60):
        t = tick * TICK
        assert curve.value(t) == sum(a <= t < f for a, f in spans)
    peak = curve.peak()
    assert peak.value == max(sum(a <= t < f for a, f in spans) for t, _ in spans)


def test_a_request_that_ends_when_another_begins_does_not_overlap_it() -> None:
    """Back-to-back requests are one in flight."""
    log = log_of([{"arrival": 0.0, "finish": 1.0}, {"arrival": 1.0, "finish": 2.0}])
    assert log.inflight().peak().value == 1


def test_an_unfinished_request_is_in_flight_until_the_log_was_read() -> None:
    """A waiting or hanging request counts; before the start of its service it does not count as served."""
    log = log_of([{"arrival": 1.0, "start": None, "finish": None, "status": "waiting"}], now=9.0)
    assert log.inflight().value(8.9) == 1
    assert log.inflight().value(9.0) == 0
    assert log.inflight("start").peak().at is None


def test_a_curves_mean_and_variation_are_over_time() -> None:
    """One in flight for 3 s and three for 1 s average 1.5, not 2."""
    curve = Curve(np.array([0.0, 3.0, 4.0]), np.array([1.0, 3.0, 0.0]))
    assert curve.mean(0.0, 4.0) == pytest.approx(1.5)
    assert curve.mean(-4.0, 4.0) == pytest.approx(0.75)
    assert curve.variation(0.0, 4.0) == pytest.approx(np.sqrt(0.75) / 1.5)
    assert curve.variation(0.0, 3.0) == 0
    assert np.isnan(curve.variation(5.0, 6.0))
    with pytest.raises(ValueError, match=r"since=4\.0 must be before until=4\.0"):
        curve.mean(4.0, 4.0)


def test_selection_by_key_status_and_window() -> None:
    """Conditions combine; a status may be a code or a word; the window is half open."""
    log = log_of(
        [{"arrival": float(n), "key": "ab"[n % 2], "status": 429 if n % 3 == 0 else 200} for n in range(12)]
        + [{"arrival": 12.0, "status": "dropped", "key": "c"}]
    )
    assert log.count(key="a", status=429) == 2
    assert log.count(status="dropped") == log.count(key="c") == 1
    assert log.count(status=[429, "dropped"]) == 5
    assert log.count(since=3.0, until=6.0) == 3
    assert log.select(key=["a", "b"]).statuses() == {"200": 8, "429": 4}
    assert {key: len(part) for key, part in log.by("key").items()} == {"a": 6, "b": 6, "c": 1}
    assert log.last(3).arrival.tolist() == [10.0, 11.0, 12.0]
    assert len(log.last(0)) == 0


def test_gaps_after_refusals_are_per_key_and_from_the_refusal() -> None:
    """The gap runs from the refusal's end to the same key's next arrival."""
    refused = {"status": 429, "retry_after": 2.0, "start": None}
    log = log_of(
        [
            {"arrival": 1.0, "finish": 1.25, "key": "a", **refused},
            {"arrival": 1.5, "key": "b"},
            {"arrival": 3.25, "finish": 3.5, "key": "a", **refused},
            {"arrival": 5.0, "key": "a"},
            {"arrival": 6.0, "finish": 6.25, "key": "a", **refused},
        ]
    )
    gaps = log.gaps_after(429)
    assert [(gap.group, gap.gap, gap.honoured) for gap in gaps] == [
        ("a", 2.0, True),
        ("a", 1.5, False),
        ("a", None, True),
    ]


def test_gaps_can_follow_one_caller_by_its_request_id() -> None:
    """Another caller's arrival with the same key does not count."""
    log = log_of(
        [
            {"arrival": 0.0, "finish": 0.0, "status": 503, "retry_after": 1.0, "request_id": "r1"},
            {"arrival": 0.5, "request_id": "r2"},
            {"arrival": 3.0, "request_id": "r1"},
        ]
    )
    assert [gap.gap for gap in log.gaps_after(503)] == [0.5]
    assert [gap.gap for gap in log.gaps_after(503, by="request_id")] == [3.0]


def test_rates_spacing_and_bins() -> None:
    """Rates are per second of the window asked for; bins cover it, empty ones included."""
    log = at(0.0, 0.5, 1.0, 4.0)
    assert log.spacing().tolist() == [0.5, 0.5, 3.0]
    assert log.rate() == pytest.approx(3 / 4)
    assert log.rate(0.0, 2.0) == pytest.approx(3 / 2)
    assert log.bins(1.0).tolist() == [2, 1, 0, 0, 1]
    assert log.bins(1.0, since=-1.0, until=3.0).tolist() == [0, 2, 1, 0]
    assert np.isnan(at(1.0).rate())


def test_durations_leave_out_what_did_not_happen() -> None:
    """Requests without start or finish have no wait, service or latency, and none is made up."""
    log = log_of(
        [
            {"arrival": 0.0, "start": 0.25, "finish": 1.25, "bytes": 500},
            {"arrival": 1.0, "start": None, "finish": 1.5, "status": 503},
            {"arrival": 2.0, "start": 2.5, "finish": None, "status": "serving"},
        ]
    )
    assert log.waits().tolist() == [0.25, 0.5]
    assert log.service().tolist() == [1.0]
    assert log.latency().tolist() == [1.25, 0.5]
    assert log.download_rates().tolist() == [500.0]


def test_an_empty_log_measures_nothing() -> None:
    """No measure fails or invents a value."""
    log = log_of([])
    assert len(log) == 0
    assert (log.arrivals(1.0).value, log.arrivals(1.0).at) == (0, None)
    assert log.excess(1, 1) is None
    assert log.inflight().peak().at is None
    assert log.inflight().mean(0.0, 1.0) == 0
    assert log.gaps_after(429) == []
    assert np.isnan(log.rate())
    assert log.by("key") == {}
    assert log.bins(1.0).tolist() == []


def test_pages_are_joined_and_one_incomplete_page_makes_the_log_incomplete() -> None:
    """Nothing is measured on a log with holes without the caller being able to tell."""
    pages = [
        {"now": NOW, "complete": complete, "columns": {name: [value] for name, value in row.items()}}
        for complete, row in (
            (True, _row(1, 1.0)),
            (False, _row(2, 2.0)),
        )
    ]
    log = RequestLog.from_pages(pages)
    assert log.id.tolist() == [1, 2]
    assert not log.complete
    assert not log.select(key="k").complete
    assert RequestLog.from_pages(pages[:1]).complete


def _row(number: int, arrival: float) -> dict[str, Any]:
    return {
        "id": number, "lane": "l", "key": "k", "path": "", "request_id": "r", "arrival": arrival, "start": arrival,
        "finish": arrival, "status": 200, "retry_after": None, "bytes": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda log: log.arrivals(0), "window=0"),
        (lambda log: log.excess(-1, 1), "rate=-1"),
        (lambda log: log.excess(1, float("nan")), "burst=nan"),
        (lambda log: log.bins(float("inf")), "width=inf"),
    ],
)
def test_bad_arguments_are_refused_by_name(measure: Any, message: str) -> None:
    """The error names argument and value."""
    with pytest.raises(ValueError, match=message):
        measure(at(1.0))


def test_a_large_log_is_measured_quickly() -> None:
    """Ten times as many requests take far less than a hundred times as long: no measure is quadratic."""

    def seconds(count: int) -> float:
        arrivals = np.sort(np.random.default_rng(0).uniform(0, 1000, count))
        columns = {
            "id": np.arange(count), "bytes": np.zeros(count), "lane": np.full(count, "l"), "path": np.full(count, ""),
            "key": np.resize(["a", "b", "c"], count), "request_id": np.char.mod("r%d", np.arange(count)),
            "status": np.resize(["200", "429"], count), "arrival": arrivals, "start": arrivals,
            "finish": arrivals + 0.1, "retry_after": np.full(count, 1.0),
        }  # fmt: skip
        log = RequestLog(columns, now=2000.0)
        began = time.process_time()
        log.arrivals(1.0)
        log.excess(10, 5)
        log.inflight().peak()
        log.bins(1.0)
        log.gaps_after(429)
        log.count(key="a", status=200)
        return time.process_time() - began

    seconds(1000)
    assert seconds(100_000) < 40 * max(seconds(10_000), 0.01)
