"""Generators of test load: one that keeps its rate whatever happens, and one that waits for answers.

A caller that waits for each answer sends less when the system is slow, so it never sees the overload that others would
cause (Gil Tene has called it coordinated omission). An open loop sends when a call is due, and counts the wait from
then on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Call", "Step", "closed_loop", "latency", "open_loop", "ramp", "refused", "sessions"]

_MOST_THREADS = 256


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        due: when it should have begun (seconds since the epoch).
        began: when it did.
        ended: when it had its answer, or its refusal.
        error: the class of the exception that refused it; empty when it succeeded.
    """

    due: float
    began: float
    ended: float
    error: str = ""


@dataclass(frozen=True)
class Step:
    """What came of one rate.

    Attributes:
        rate: calls per second that were to be sent.
        began: when the first was (seconds since the epoch).
        ended: when the last had its answer or refusal.
        refused: which part of the calls was refused.
        error: the class of the most frequent refusal; empty when there was none.
        p95: seconds within which 95 % of the others had their answer; None when all were refused.
    """

    rate: float
    began: float
    ended: float
    refused: float
    error: str
    p95: float | None

    @classmethod
    def of(cls, rate: float, calls: Sequence[Call]) -> Step:
        """From the calls that were made at a rate."""
        errors = sorted(one.error for one in calls if one.error)
        most = max(errors, key=errors.count, default="")
        began, ended = min(one.began for one in calls), max(one.ended for one in calls)
        return cls(rate, began, ended, refused(calls), most, latency(calls))

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it."""
        return asdict(self)


def ramp(offer: Callable[[float], Step], rates: Sequence[float], most_refused: float) -> list[Step]:
    """Offer one rate after another, up to the first at which too many calls are refused; the last step may be that one.

    A rate that fails is offered once more, and only the second time counts: the first may have been this machine's.
    """
    steps: list[Step] = []
    for rate in rates:
        step = offer(rate)
        if step.refused > most_refused:
            step = offer(rate)
        steps.append(step)
        if step.refused > most_refused:
            break
    return steps


def open_loop(
    call: Callable[[], object],
    rate: float,
    seconds: float,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Call]:
    """Call so many times a second, each call on a thread of its own, without waiting for answers before the end.

    What is late, because this machine stalled, is sent at once and counted from when it was due.

    Args:
        call: what to call; an exception is a refusal.
        rate: calls per second.
        seconds: for how long calls are due.
        now: the clock.
        sleep: waits for so many seconds.

    Raises:
        ValueError: a rate or a time that is not positive.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not while a DAG file is parsed

    began = now()
    dues = [began + number / rate for number in range(_number(rate, seconds))]
    with ThreadPoolExecutor(max_workers=min(len(dues), _MOST_THREADS), thread_name_prefix="open-loop") as threads:
        pending = []
        for due in dues:
            sleep(max(0.0, due - now()))
            pending.append(threads.submit(_called, call, due, now))
        return [one.result() for one in pending]


def closed_loop(
    call: Callable[[], object],
    rate: float,
    seconds: float,
    *,
    callers: int,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Call]:
    """Let callers share a rate, each of which sends its next call only when it has the answer to the last.

    Arguments are as in :func:`open_loop`; a call that is late because of the one before counts from when it begins.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not while a DAG file is parsed

    _number(rate, seconds)
    if callers < 1:
        raise ValueError(f"callers must be at least 1, not {callers}")
    begin, made, lock = now(), [], threading.Lock()

    def caller(number: int) -> None:
        due = begin + number / rate
        while (at := max(due, now())) < begin + seconds:
            sleep(max(0.0, at - now()))
            one = _called(call, at, now)
            with lock:
                made.append(one)
            due = at + callers / rate

    with ThreadPoolExecutor(max_workers=callers, thread_name_prefix="closed-loop") as threads:
        for running in [threads.submit(caller, number) for number in range(callers)]:
            running.result()
    return sorted(made, key=lambda one: one.began)


def sessions(
    opened: Callable[[], AbstractContextManager[Callable[[], object]]],
    number: int,
    seconds: float,
    *,
    now: Callable[[], float] = time.time,
) -> list[Call]:
    """Let so many callers each open a session of its own and call through it, one call after another.

    Where what is scarce is taken by callers and not by calls (connections, licences, memory), the load is their number.
    A session that is refused is one refused call, and its caller gives up.

    Args:
        opened: opens a session: a context whose value is what to call; an exception is a refusal.
        number: of callers.
        seconds: for how long calls are begun.
        now: the clock.

    Raises:
        ValueError: a number or a time that is not positive.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - not while a DAG file is parsed

    if not (0 < number <= _MOST_THREADS and seconds > 0):
        raise ValueError(f"number must be 1 to {_MOST_THREADS} and seconds positive, not {number} and {seconds}")
    until = now() + seconds

    def caller() -> list[Call]:
        made, asked = [], now()
        try:
            with opened() as call:
                while (at := now()) < until:
                    made.append(_called(call, at, now))
        except Exception as error:  # noqa: BLE001 - whatever refuses a session is what a stress test looks for
            made.append(Call(asked, asked, now(), type(error).__name__))
        return made

    with ThreadPoolExecutor(max_workers=number, thread_name_prefix="session") as threads:
        running = [threads.submit(caller) for _ in range(number)]
        return sorted((one for each in running for one in each.result()), key=lambda one: one.began)


def refused(calls: Sequence[Call]) -> float:
    """Which part of the calls was refused; 0 of none."""
    return sum(bool(one.error) for one in calls) / len(calls) if calls else 0.0


def latency(calls: Sequence[Call], share: float = 0.95) -> float | None:
    """Seconds within which such a share of the successful calls had their answer, from when they were due."""
    took = sorted(one.ended - one.due for one in calls if not one.error)
    return took[min(int(share * len(took)), len(took) - 1)] if took else None


def _number(rate: float, seconds: float) -> int:
    if not (rate > 0 and seconds > 0):
        raise ValueError(f"rate and seconds must be positive, not {rate} and {seconds}")
    return max(1, round(rate * seconds))


def _called(call: Callable[[], object], due: float, now: Callable[[], float]) -> Call:
    began = now()
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever refuses a call is what a load test looks for
        return Call(due, began, now(), type(error).__name__)
    return Call(due, began, now())
