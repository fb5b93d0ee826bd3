"""Measures of an upstream's log: arrivals, refusals, who came back too soon."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.upstream import (
    arrivals,
    arrivals_above,
    honoured,
    in_progress,
    proportion,
    requests,
    served,
    span,
)
from backpressure.request_log import RequestLog

NAN = float("nan")


def log(*rows: tuple[float, str, str], retry_after: float = NAN, complete: bool = True) -> RequestLog:
    """A log of requests given as (arrival, request id, status), each finished 0.5 s later."""
    columns: dict[str, Any] = {
        "id": list(range(len(rows))),
        "bytes": [0] * len(rows),
        "arrival": [arrival for arrival, _, _ in rows],
        "start": [arrival for arrival, _, _ in rows],
        "finish": [arrival + 0.5 for arrival, _, _ in rows],
        "retry_after": [retry_after if status == "429" else NAN for _, _, status in rows],
        "lane": ["partner"] * len(rows),
        "key": ["one"] * len(rows),
        "path": [""] * len(rows),
        "request_id": [name for _, name, _ in rows],
        "status": [status for _, _, status in rows],
    }
    return RequestLog(columns, now=100.0, complete=complete)


EVEN = log(*((float(second), f"call-{second}", "200") for second in range(6)))


def test_requests_are_counted_by_status_from_the_first_on() -> None:
    """The instant is that of the first request of such a status; none of that status is 0 and no unknown."""
    mixed = log((1.0, "a", "200"), (2.0, "b", "429"), (3.0, "b", "200"))
    found = requests(mixed, "refused", status=429)
    assert (found.value, found.at, found.samples, found.source) == (1, 2.0, 3, "upstream log")
    assert requests(mixed, "broken", status=[500, 503]).value == 0
    assert requests(mixed, "all").value == 3


def test_a_request_that_is_served_twice_counts_once() -> None:
    """What is counted is work done, not calls."""
    assert served(log((1.0, "a", "200"), (2.0, "a", "200"), (3.0, "b", "429")), "served").value == 1


def test_the_most_arrivals_are_counted_in_any_window_and_drawn() -> None:
    """A window holds its beginning and not its end; the curve counts what came within the last window."""
    found = arrivals(EVEN, 2.0, "in 2 s")
    assert (found.value, found.at) == (2, 0.0)
    # At 2.0 the request of 0.0 leaves as another one comes.
    assert dict(found.curve)[2.0] == 2
    assert found.curve[-1] == (7.0, 0)


def test_arrivals_above_a_bucket_are_those_of_the_worst_interval() -> None:
    """At the bucket's own rate nothing is above it; a second burst is."""
    assert arrivals_above(EVEN, 1.0, 1, "above").value == pytest.approx(0)
    late = log(*((5.0 + 0.1 * number, f"late-{number}", "200") for number in range(4)))
    found = arrivals_above(late, 1.0, 1, "above")
    assert found.value == pytest.approx(4 - 1 - 0.3)
    assert (found.at, found.detail) == (5.0, "4 requests in 0.30 s")


def test_requests_in_progress_are_counted_within_the_window_alone() -> None:
    """The peak and the curve are those of the window, with what was under way at its beginning."""
    both = log((1.0, "a", "200"), (1.1, "b", "200"), (3.0, "c", "200"))
    assert in_progress(both, 0.0, 4.0, "held").value == 2
    found = in_progress(both, 1.55, 4.0, "held")
    assert (found.value, found.at) == (1, 1.55)
    assert found.curve == ((1.55, 1), (1.6, 0), (3.0, 1), (3.5, 0), (4.0, 0))


def test_a_span_needs_two_requests() -> None:
    """From the first arrival to the last."""
    assert (span(EVEN, "span").value, span(EVEN, "span").at) == (5.0, 5.0)
    assert span(log((1.0, "a", "200")), "span").value is None


def test_coming_back_too_soon_after_a_refusal_is_named() -> None:
    """The wait counts from the sending of the refusal; whoever did not come back counts for nothing."""
    rows = ((1.0, "a", "429"), (3.6, "a", "200"), (4.0, "b", "429"), (4.7, "b", "200"), (6.0, "c", "429"))
    found = honoured(log(*rows, retry_after=2.0), "patient")
    assert (found.value, found.samples, found.at) == (0.5, 2, 4.5)
    assert found.detail == "b was told 2 s and came after 0.20 s"
    assert honoured(EVEN, "patient").value is None
    assert honoured(log(*rows, retry_after=2.0), "patient", status=503).value is None


@pytest.mark.parametrize("empty", [log(), log((1.0, "a", "200"), (2.0, "b", "429"), complete=False)])
def test_nothing_is_measured_on_an_empty_or_incomplete_log(empty: RequestLog) -> None:
    """Neither a log without requests nor one that may have forgotten some tells anything."""
    measures = [
        requests(empty, "x"),
        served(empty, "x"),
        arrivals(empty, 1.0, "x"),
        arrivals_above(empty, 1.0, 1, "x"),
        in_progress(empty, 0.0, 9.0, "x"),
        span(empty, "x"),
        proportion(empty, 1.5, "x"),
        honoured(empty, "x"),
    ]
    assert [measure.value for measure in measures] == [None] * len(measures)


def test_a_proportion_compares_after_with_before() -> None:
    """Requests from the instant on, for each before it."""
    assert proportion(EVEN, 4.0, "after to before").value == 0.5
    assert proportion(EVEN, 0.0, "after to before").value is None
