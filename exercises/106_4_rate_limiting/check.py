"""What a right answer to exercise 106.4 does, whatever its text looks like.

The partner's log tells: what it refused, when, how much came in any of its windows, and how long all of it took.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from backpressure.request_log import RequestLog

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

GRANTED, WINDOW = 8, 2.0
SLOWEST = 5.0  # so many times what the partner needs to grant everything


def draw(source: random.Random) -> Load:
    """Three to four windows full of pages."""
    quota = {"*": {"limit": GRANTED, "period": WINDOW}}
    return Load(
        lanes={"partner": {"service_time": 0.02, "quotas": quota}},
        items={"pages": [drawn(source, source.randint(26, 30))]},
        asked={"pages": ("partner", "page")},
    )


def judge(seen: Seen) -> Iterator[Message]:
    """The partner refuses nothing, and is not left idle."""
    log = seen.logs["partner"].select(path="page")
    refused, done = log.select(status=429), log.select(status=200)
    every = {f"page {number}" for number in seen.load.items["pages"][0]} <= set(done.request_id.tolist())
    if len(refused):
        yield _refused(log, refused, every=every)
    elif every:
        yield from _slow(done)


def _refused(log: RequestLog, refused: RequestLog, *, every: bool) -> Message:
    first = float(refused.arrival[0])
    most = log.arrivals(WINDOW)
    said = (
        f"the partner refused {len(refused)} of {len(log)} requests with 429, the first at {clock(first)}: "
        f"{most.value:g} came within {WINDOW:g} s, it grants {GRANTED}"
    )
    begin, last = float(log.arrival[0]), float(refused.arrival[-1])
    if log.inflight().peak().value <= 1:
        return Message("one_at_a_time", f"{said}. Never more than one was in progress", "At once is not how often.")
    if every:
        return Message(
            "refused_and_repeated", f"{said}. Each was asked again until it was granted", "Ask before, not after."
        )
    if last - begin <= 1.5 * WINDOW < float(log.arrival[-1]) - begin:
        text = f"{said}. None was refused after {clock(last)}: the beginning was too fast"
        return Message(
            "burst_too_large", text, "What a burst lets through comes on top of the rate, in the same window."
        )
    return Message("too_often", said, "Do the callers, four processes, know of each other's calls?")


def _slow(done: RequestLog) -> Iterator[Message]:
    took = float(done.arrival[-1] - done.arrival[0])
    needed = (len(done) - GRANTED) * WINDOW / GRANTED
    if took > SLOWEST * needed:
        rate = (len(done) - 1) / took
        text = f"{len(done)} pages took {took:.1f} s, {rate:.1f} a second; the partner grants {GRANTED / WINDOW:g}"
        yield Message("too_slow", text, f"More than {SLOWEST:g} times the {needed:.1f} s that it needs.")
