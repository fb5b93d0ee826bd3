"""What callers of a breaker saw, told from made-up journals and logs, and from a real breaker in memory."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.breaker import CircuitBreaker, LastGood
from backpressure.clock import ManualClock
from backpressure.measures.breaker import Journal, Story
from backpressure.request_log import RequestLog
from backpressure.storage import MemoryStorage

Rows = dict[str, tuple[float, float, str]]


def log(rows: Rows, *, complete: bool = True) -> RequestLog:
    """A log of requests given as name → (arrival, finish, status)."""
    ordered = sorted(rows.items(), key=lambda row: row[1][0])
    columns: dict[str, Any] = {
        "id": list(range(len(rows))),
        "bytes": [0] * len(rows),
        "arrival": [arrival for _, (arrival, _, _) in ordered],
        "start": [arrival for _, (arrival, _, _) in ordered],
        "finish": [finish for _, (_, finish, _) in ordered],
        "retry_after": [float("nan")] * len(rows),
        "request_id": [name for name, _ in ordered],
        "status": [status for _, (_, _, status) in ordered],
        **{name: [""] * len(rows) for name in ("lane", "key", "path")},
    }
    return RequestLog(columns, now=100.0, complete=complete)


def call(name: str, asked: float, value: str | None, *, stale: bool = False, probe: bool = False) -> dict[str, Any]:
    """A caller's note of a call."""
    answer = None if value is None else {"value": value, "stale": stale, "age": 3.0 if stale else 0.0}
    return {"name": name, "asked": asked, "took": 1.0 if value is None else 0.1, "probe": probe, "answer": answer}


def change(at: float, state: str) -> dict[str, Any]:
    """A caller's note of a change of state."""
    return {"at": at, "state": state, "reason": ""}


# Two callers of a breaker that opens at 12, is half-open from 14 to 15 and again from 17 to 17.1, and closes.
FIRST = {
    "calls": [
        call("a1", 9.0, "good"),
        call("a2", 11.0, "good", stale=True),
        call("a3", 12.5, "good", stale=True),
        call("a4", 14.0, "good", stale=True, probe=True),
        call("a5", 16.0, "good", stale=True),
        call("a6", 18.0, "good"),
    ],
    "changes": [change(12.0, "open"), change(14.0, "half_open"), change(15.0, "open")],
}
SECOND = {
    "calls": [
        call("b1", 9.5, "good"),
        call("b2", 11.5, None),
        call("b3", 14.5, "good", stale=True),
        call("b4", 17.0, "good", probe=True),
        call("b5", 17.5, "good"),
    ],
    "changes": [change(17.0, "half_open"), change(17.1, "closed")],
}
SEEN: Rows = {
    "a1": (9.0, 9.1, "200"),
    "b1": (9.5, 9.6, "200"),
    "a2": (11.0, 12.0, "disconnected"),
    "b2": (11.5, 12.5, "disconnected"),
    "a4": (14.01, 15.0, "disconnected"),
    "b4": (17.01, 17.1, "200"),
    "b5": (17.5, 17.6, "200"),
    "a6": (18.0, 18.1, "200"),
}


def story(**more: tuple[float, float, str]) -> Story:
    """The story, with further requests in the log."""
    return Story.of([SECOND, FIRST], log({**SEEN, **more}))


def test_the_story_puts_the_callers_together_in_time() -> None:
    """Calls and changes of all callers stand in one order, and phases follow from it."""
    told = story()
    assert [one["name"] for one in told.calls[:4]] == ["a1", "b1", "a2", "b2"]
    assert [(p.since, p.until, p.ended_in) for p in told.phases("open")] == [
        (12.0, 14.0, "half_open"),
        (15.0, 17.0, "half_open"),
    ]
    assert [p.since for p in told.phases("half_open", "open")] == [14.0]
    assert told.phases("closed")[0].until is None
    assert (told.at("open"), told.at("forced_open")) == (12.0, None)
    assert (told.until("open", 10.5).value, told.until("closed", 20.0).value) == (1.5, pytest.approx(-2.9))


def test_failures_before_the_opening_are_the_upstreams_own() -> None:
    """The last requests before the opening are looked at, whatever the callers say; never opened, there are none."""
    assert story().failed_before("open", 2).value == 2
    assert story().failed_before("open", 3).value == 2
    assert story().failed_before("forced_open", 2).value == 0


def test_a_breaker_that_never_opened_is_told() -> None:
    """Beside what is missing stands what there was: how many requests failed without it."""
    never = Story(story().calls, (), log(SEEN))
    told = "the breaker was never open"
    assert never.failed_before("open", 4).detail == f"{told}, though 3 of 8 requests failed"
    assert never.until("open", since=11.0).detail == never.kept_out("open").detail == told
    assert story().until("open", since=11.0).detail == ""


def test_a_call_that_passed_an_open_breaker_is_named() -> None:
    """It counts when it was asked for and arrived in one open phase; a probe, and what was under way, do not."""
    assert story().passed("open").value == 0
    through = story(a3=(12.6, 12.7, "200")).passed("open")
    assert (through.value, through.detail, through.at) == (1, "a3", 12.5)
    # Asked for while open, admitted when it was closed again.
    assert story(a5=(17.6, 17.7, "200")).passed("open").value == 0


def test_calls_kept_out_are_those_that_never_arrived() -> None:
    """They count by the phase in which they were asked for."""
    assert story().kept_out("open").value == 2
    assert story().kept_out("half_open").value == 1
    assert story().kept_out("half_open", ended_in="closed").value == 0


def test_arrivals_of_a_half_open_phase_are_counted_one_by_one() -> None:
    """The most of any such phase counts, as the permits are for each."""
    assert story().most_arrivals("half_open", "open").value == 1
    assert story(x=(14.5, 14.6, "200")).most_arrivals("half_open", "open").value == 2
    assert story().most_arrivals("half_open", "half_open").value is None


def test_requests_in_the_upstreams_hands_are_counted_at_once() -> None:
    """Two callers hang at once before the opening, one probe alone after it."""
    found = story().held((10.0, 2), (13.0, 1), until=17.0)
    assert [(part.observed, part.limit, part.holds) for part in found.parts] == [(2, 2, True), (1, 1, True)]
    assert story(x=(14.5, 14.6, "200")).held((10.0, 2), (13.0, 1), until=17.0).holds is False


def test_calls_after_closing_must_be_served_by_the_upstream() -> None:
    """Never closed means none; a call that the breaker kept out is not served."""
    assert story().served_since("closed").value == 1
    assert Story(story().calls, story().changes, log({"a1": SEEN["a1"]})).served_since("closed").value == 0
    assert story().served_since("forced_open").value == 0


def test_answers_of_a_window_are_told_with_their_age() -> None:
    """A call without an answer counts; stale values are listed, each once; fresh ones are not among them."""
    told = story()
    assert told.answered(10.0, 13.0).value == pytest.approx(2 / 3)
    stale = told.stale_values(10.0, 17.0)
    assert (stale.value, stale.samples, stale.detail) == (("good",), 5, "up to 3.0 s old")
    assert told.stale_values(17.0, 20.0).value is None
    assert told.took(10.0, 13.0).value == 0.1


def test_nothing_is_measured_without_calls_or_on_an_incomplete_log() -> None:
    """Such a story proves nothing, neither that calls passed nor that none did."""
    for empty in (
        Story.of([], log({})),
        Story.of([FIRST, SECOND], log(SEEN, complete=False)),
        Story.of([FIRST, SECOND], log({})),
    ):
        assert empty.failed_before("open", 2).value is None
        assert empty.passed("open").value is None
        assert empty.kept_out("open").value is None
        assert empty.most_arrivals("half_open", "open").value is None
        assert empty.served_since("closed").value is None
    assert Story.of([], log({})).answered(0.0, 99.0).value is None
    assert Story.of([], log({})).took(0.0, 99.0).value is None


def test_a_journal_notes_what_a_breaker_did() -> None:
    """Answers with their staleness, failures without one, probes, and each change of state once."""
    clock, journal = ManualClock(), Journal()
    breaker = CircuitBreaker(
        "partner", MemoryStorage(clock=clock), failure_threshold=1, open_for=2.0, listeners=[journal]
    )
    answers = LastGood(breaker)
    up = True

    def fetch(name: str) -> str:
        if not up:
            raise ConnectionError(name)
        return name

    journal.call("first", lambda name: answers.call("rates", fetch, name))
    up = False
    journal.call("second", lambda name: answers.call("rates", fetch, name))
    journal.call("bare", fetch)
    up = True
    clock.advance(2.0)
    journal.call("third", lambda name: answers.call("rates", fetch, name))
    journal.call("plain", fetch)
    told = journal.to_dict()
    seen = [
        (c["name"], c["probe"], c["answer"] and (c["answer"]["value"], c["answer"]["stale"])) for c in told["calls"]
    ]
    assert seen == [
        ("first", False, ("first", False)),
        ("second", False, ("first", True)),
        ("bare", False, None),
        ("third", True, ("third", False)),
        ("plain", False, ("plain", False)),
    ]
    assert [call["error"] for call in told["calls"]] == ["", "", "ConnectionError", "", ""]
    assert [one["state"] for one in told["changes"]] == ["open", "half_open", "closed"]


def test_what_reached_the_upstream_meanwhile_is_counted() -> None:
    """Between 11 and 15 three requests arrived, probes included; a log without requests tells nothing."""
    assert story().arrived(11.0, 15.0).value == 3
    assert Story.of([FIRST], log({})).arrived(11.0, 15.0).value is None
