"""Measures of an upstream's log: arrivals, refusals, who came back too soon."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.upstream import (
    arrivals,
    arrivals_above,
    booked,
    growing,
    honoured,
    in_progress,
    noticed,
    past_quota,
    proportion,
    requests,
    served,
    span,
    throughput,
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


def told(*rows: tuple[float, str, str, float]) -> RequestLog:
    """A log of requests given as (arrival, request id, status, seconds told), each finished at once."""
    columns: dict[str, Any] = {
        "id": list(range(len(rows))),
        "bytes": [0] * len(rows),
        "arrival": [arrival for arrival, *_ in rows],
        "start": [arrival for arrival, *_ in rows],
        "finish": [arrival for arrival, *_ in rows],
        "retry_after": [seconds for *_, seconds in rows],
        "lane": ["partner"] * len(rows),
        "key": ["one" if name < "m" else "two" for _, name, _, _ in rows],
        "path": [""] * len(rows),
        "request_id": [name for _, name, _, _ in rows],
        "status": [status for _, _, status, _ in rows],
    }
    return RequestLog(columns, now=100.0, complete=True)


REFUSED = told((1.0, "a", "503", 1.0), (2.2, "a", "503", 1.0), (4.5, "a", "200", NAN), (5.0, "b", "429", 2.0))


def test_a_refusal_is_noticed_with_what_it_told() -> None:
    """Each is noted as often as it came; a note with other seconds is of no use."""
    noted = [["a", 1.0], ["a", 1.0], ["b", 2.0]]
    assert noticed(REFUSED, noted, "noticed").value == 1
    assert noticed(REFUSED, noted[:1], "noticed").value == pytest.approx(1 / 3)
    found = noticed(REFUSED, [["a", 1.0], ["a", 1.0], ["b", 3.0]], "noticed")
    assert (found.value, found.detail) == (pytest.approx(2 / 3), "nobody noted that b was told 2 s")
    assert noticed(EVEN, [], "noticed").value is None


def test_refusals_of_any_status_may_have_to_be_honoured() -> None:
    """Both waits of an outage were as long as told; the one refused for its rate did not come again."""
    assert honoured(REFUSED, "waits", status=(429, 503)).value == 1
    assert honoured(REFUSED, "waits").value is None


def test_a_second_wait_is_longer() -> None:
    """Who was refused twice waited 1.2 and then 2.3 seconds; who was refused once says nothing."""
    assert growing(REFUSED, "grew").value == 1
    steady = told((1.0, "a", "429", 1.0), (2.0, "a", "429", 1.0), (3.0, "a", "200", NAN))
    assert growing(steady, "grew").value == 0
    assert growing(EVEN, "grew").value is None


def test_calls_past_the_quota_are_counted_by_key() -> None:
    """Two calls of key one were served; what comes after the second is past a quota of two, of that key only."""
    calls = told((1.0, "a", "200", NAN), (2.0, "b", "200", NAN), (3.0, "c", "429", 1.0), (4.0, "x", "200", NAN))
    assert past_quota(calls, 2, "past").value == 1
    assert past_quota(calls, 3, "past").value == 0
    assert past_quota(told(), 3, "past").value is None


def test_books_are_compared_key_by_key() -> None:
    """One too few for one key and one too many for the other are two differences."""
    calls = told((1.0, "a", "200", NAN), (2.0, "b", "200", NAN), (3.0, "c", "429", 1.0))
    assert booked(calls, ["one", "one"], "apart").value == 0
    assert booked(calls, ["one", "two"], "apart").value == 2
    assert booked(told(), [], "apart").value is None


def test_throughput_is_of_what_was_served() -> None:
    """Six calls in five seconds; refusals do not count."""
    assert throughput(EVEN, "rate").value == 1
    assert throughput(REFUSED, "rate").value is None
