"""Generators of load: an open loop keeps its rate when nobody answers, a closed one does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count

import pytest
from backpressure.load import Call, Step, closed_loop, latency, open_loop, ramp, refused, sessions


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.at = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        """The instant."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.at += seconds


def test_an_open_loop_sends_without_an_answer() -> None:
    """Six calls are in progress at once, each waiting for all six: a loop that waited for answers would stand still."""
    together = threading.Barrier(6, timeout=10)
    calls = open_loop(together.wait, rate=3, seconds=2, now=(clock := Clock()).now, sleep=clock.sleep)
    assert [call.error for call in calls] == [""] * 6


def test_an_open_loop_spaces_what_is_due() -> None:
    """Four a second are due every quarter of a second, from the beginning on."""
    clock = Clock()
    calls = open_loop(lambda: None, rate=4, seconds=1.5, now=clock.now, sleep=clock.sleep)
    assert [call.due - 100 for call in calls] == [0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_what_is_late_is_sent_at_once_and_counted_from_when_it_was_due() -> None:
    """A stall of two seconds leaves no call out, and the calls behind it have waited for it."""
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 2:
            clock.at += 2.0

    calls = open_loop(lambda: None, rate=4, seconds=1.5, now=clock.now, sleep=sleep)
    assert len(calls) == 6
    assert calls[1].ended - calls[1].due >= 2
    assert clock.slept[2:] == [0, 0, 0, 0]


def test_a_closed_loop_never_has_more_calls_than_callers() -> None:
    """Two callers have at most two calls in progress, so a slow system gets fewer calls than planned."""
    clock, lock, running, most = Clock(), threading.Lock(), [0], [0]

    def slow() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            clock.at += 1.0
        with lock:
            running[0] -= 1

    calls = closed_loop(slow, rate=8, seconds=4, callers=2, now=clock.now, sleep=clock.sleep)
    assert most[0] <= 2
    assert len(calls) < 8 * 4 / 2


def test_a_closed_loop_that_keeps_up_keeps_the_rate() -> None:
    """With quick answers both loops send the same number."""
    clock = Clock()
    calls = closed_loop(lambda: None, rate=4, seconds=2, callers=1, now=clock.now, sleep=clock.sleep)
    assert len(calls) == 8


def test_a_refusal_is_told_by_its_class() -> None:
    """The test goes on: that calls are refused is what it looks for."""
    numbers, clock = count(), Clock()

    def call() -> None:
        if next(numbers) % 2:
            raise TimeoutError("no connection")

    calls = open_loop(call, rate=4, seconds=1, now=clock.now, sleep=clock.sleep)
    assert sorted(one.error for one in calls) == ["", "", "TimeoutError", "TimeoutError"]
    assert refused(calls) == 0.5
    assert refused([]) == 0


def test_latency_is_that_of_answers_from_when_calls_were_due() -> None:
    """Refusals are quick and say nothing of how long an answer takes."""
    calls = [Call(10.0, 10.0, 10.0 + ms / 1000) for ms in range(1, 101)] + [Call(10.0, 10.0, 99.0, "TimeoutError")]
    assert latency(calls) == pytest.approx(0.096)
    assert latency(calls, 0.5) == pytest.approx(0.051)
    assert latency([]) is None


def test_a_step_tells_what_came_of_its_calls() -> None:
    """The most frequent refusal gives its name; without an answer there is no latency."""
    calls = [Call(1.0, 1.5, 2.0), Call(2.0, 2.0, 2.0, "A"), Call(3.0, 3.0, 3.0, "B"), Call(4.0, 4.0, 4.0, "B")]
    step = {"rate": 4, "began": 1.5, "ended": 4.0, "refused": 0.75, "error": "B", "p95": 1.0}
    assert Step.of(4, calls).to_dict() == step
    assert Step.of(4, calls[1:]).p95 is None
    assert Step.of(4, calls[:1]).error == ""


def test_a_ramp_ends_at_the_rate_that_fails_twice() -> None:
    """A failure that does not come again was this machine's; what lies above the breaking point is not offered."""
    offered = []

    def offer(rate: float) -> Step:
        offered.append(rate)
        stalled = rate == 4 and offered.count(4) == 1
        return Step(rate, 0.0, 1.0, 0.5 if rate >= 16 or stalled else 0.0, "", None)

    steps = ramp(offer, [4, 8, 16, 32], 0.1)
    assert offered == [4, 4, 8, 16, 16]
    assert [(step.rate, step.refused) for step in steps] == [(4, 0.0), (8, 0.0), (16, 0.5)]
    assert [step.rate for step in ramp(offer, [1, 2], 0.1)] == [1, 2]


@pytest.mark.parametrize(("rate", "seconds", "callers"), [(0, 1, 1), (1, 0, 1), (-1, 1, 1), (1, 1, 0)])
def test_a_bad_argument_is_refused(rate: float, seconds: float, callers: int) -> None:
    """No rate, no time, or nobody to call."""
    with pytest.raises(ValueError, match="must be"):
        closed_loop(lambda: None, rate, seconds, callers=callers)
    if callers:
        with pytest.raises(ValueError, match="positive"):
            open_loop(lambda: None, rate, seconds)


def test_sessions_call_one_after_another_and_a_refused_one_gives_up() -> None:
    """Of three callers one gets no session, which is one refusal; the others call until the time is over."""
    clock, lock, opened = Clock(), threading.Lock(), []

    def call() -> None:
        with lock:
            clock.at += 1.0

    @contextmanager
    def session() -> Iterator[Callable[[], object]]:
        with lock:
            opened.append(1)
            number = len(opened)
        if number == 3:
            raise ConnectionRefusedError
        yield call

    calls = sessions(session, 3, 6.0, now=clock.now)
    assert [one.error for one in calls if one.error] == ["ConnectionRefusedError"]
    assert 6 <= sum(not one.error for one in calls) <= 7


@pytest.mark.parametrize(("number", "seconds"), [(0, 1.0), (2, 0.0), (10_000, 1.0)])
def test_sessions_need_callers_and_a_time(number: int, seconds: float) -> None:
    """Nobody, no time, or more threads than a process should have, is an error."""
    with pytest.raises(ValueError, match="number must be"):
        sessions(lambda: nullcontext(lambda: None), number, seconds)
