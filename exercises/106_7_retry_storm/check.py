"""What a right answer to exercise 106.7 does, whatever its text looks like.

The partner's outage begins with the first request, however late that is, so that whoever begins within it is refused
and told one and the same instant. All that counts is in the partner's log: when each page came again, and how often.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from backpressure.request_log import Gap, RequestLog

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

CALLERS, PAGES = 6, 18
MOST, ATTEMPTS, STORM = 30, 4, 8
TOGETHER, ENOUGH = 0.5, 5  # seconds, and how many must have been told to wait for a crowd to be one
CLOCKS = 0.05  # by how much two readings of a clock may differ


def draw(source: random.Random) -> Load:
    """Three pages for each caller, the last of one of them broken."""
    pages = drawn(source, PAGES)
    broken = pages[-source.randint(1, CALLERS)]
    return Load(
        lanes={
            "partner": {
                "capacity": None,
                "service_time": 0.3,
                "outage_first": source.uniform(8.0, 9.0),
                "retry_after_format": "date",
                "fault_keys": [f"page {broken}"],
                "error": 1.0,
                "error_status": 500,
            }
        },
        items={"pages": [pages]},
        asked={},
    )


def judge(seen: Seen) -> Iterator[Message]:
    """Nobody comes too early, or with all the others, or too often, and every page is served that can be."""
    log = seen.logs["partner"].select(path="page")
    if not len(log):
        yield Message("work_missing", "the partner was asked for nothing", "Every page is to be asked for.")
        return
    refused = log.gaps_after(503, by="request_id")
    early = [one for one in refused if one.gap is not None and one.gap < (one.retry_after or 0.0) - CLOCKS]
    if early:
        yield _early(log, early)
        return
    yield from _often(seen, log)
    yield from _together(refused)
    if len(log) > MOST:
        yield _asked_for_more(log)
    yield from _missing(seen, log)


def _early(log: RequestLog, early: list[Gap]) -> Message:
    one = early[0]
    told = one.refused_at + (one.retry_after or 0.0)
    said = (
        f"{one.group} was refused at {clock(one.refused_at)}, told to come back at {clock(told)}, and came back after "
        f"{one.gap:.1f} s; so did others, {len(early)} times"
    )
    most = max(log.select(status=503).by("request_id").items(), key=lambda entry: len(entry[1]))
    if len(most[1]) >= STORM:
        second = log.arrivals(1.0)
        text = (
            f"{said}. {most[0]} was refused {len(most[1])} times, and the partner, which was down, got {len(log)} "
            f"requests for {PAGES} pages, {second.value:g} of them within one second"
        )
        return Message("storm", text, "What does the partner say besides no?")
    return Message("too_early", said, "A guess, however patient, is no match for what the partner knows.")


def _often(seen: Seen, log: RequestLog) -> Iterator[Message]:
    """Pages that were asked for again although that could not help, or was not needed."""
    broken = log.select(key=_broken(seen))
    if len(broken) > ATTEMPTS:
        begin, end = clock(float(broken.arrival[0])), clock(float(broken.arrival[-1]))
        text = f"{_broken(seen)} was asked for {len(broken)} times from {begin} to {end}, and never served"
        yield Message("never_gives_up", text, f"After {ATTEMPTS} times it is time to go on to the next.")
    served = log.select(status=200).by("request_id")
    again = {page: own for page, own in served.items() if len(own) > 1}
    if again:
        page, own = next(iter(again.items()))
        when = " and ".join(clock(float(at)) for at in own.arrival[:2])
        text = f"{page}, the first of {len(again)}, was served at {when}: it was asked for although it was there"
        yield Message("served_again", text, "What is repeated: the call that failed, or all that its task does?")


def _together(refused: list[Gap]) -> Iterator[Message]:
    """Whether all that were told to wait came back in one crowd."""
    back: dict[str, float] = {}
    for one in refused:
        if one.gap is not None:
            back.setdefault(one.group, one.refused_at + one.gap)
    instants = np.sort(list(back.values()))
    if len(instants) >= ENOUGH and instants[-1] - instants[0] <= TOGETHER:
        text = (
            f"all {len(instants)} pages that had been refused came back within {instants[-1] - instants[0]:.2f} s, the "
            f"first at {clock(float(instants[0]))}"
        )
        yield Message("in_step", text, "All of them were told the same instant. What tells them apart?")


def _asked_for_more(log: RequestLog) -> Message:
    refused = sorted(log.select(status=503).by("request_id"))
    text = (
        f"the partner got {len(log)} requests for {PAGES} pages, limit {MOST}: {len(refused)} pages were refused, "
        f"the last at {clock(float(log.select(status=503).arrival[-1]))}"
    )
    return Message("asked_for_more", text, "When it is down for one page, it is down for the next one, too.")


def _missing(seen: Seen, log: RequestLog) -> Iterator[Message]:
    """Pages that the partner would have served."""
    served = set(log.select(status=200).request_id.tolist())
    wanted = [page for number in seen.load.items["pages"][0] if (page := f"page {number}") != _broken(seen)]
    missing = [page for page in wanted if page not in served]
    if missing and not seen.errors and seen.over:
        own, refused = log.select(request_id=missing[0]), log.select(status=503)
        last = f"refused at {clock(float(own.arrival[-1]))} and not asked for again" if len(own) else "never asked for"
        text = (
            f"{len(missing)} of the {len(wanted)} pages that can be had are missing; {missing[0]}, for one, was {last}"
        )
        if len(refused):
            up = float(refused.arrival[-1] + refused.retry_after[-1])
            text = f"{text}. The partner was up again at {clock(up)}"
        yield Message("given_up", text, "What is refused is not lost yet.")


def _broken(seen: Seen) -> str:
    (page,) = seen.load.lanes["partner"]["fault_keys"]
    return str(page)
