"""What a right answer to exercise 106.5 does, whatever its text looks like.

Each of two runs is given another day's records, and so needs another number of places: none can be known beforehand.
How many were taken says the partner's log. Which mistake it was is told by what each comes to with these very records.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean, median

from backpressure.capacity import busiest

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock

RUNS = 2
SHARE, WINDOW = 0.8, 10_000
MINUTE = 60_000
SMALLEST, LARGEST = 4, 6
ROUNDS, SERVICE = 6, 2.0  # requests of each caller, and seconds that one takes

Day = Mapping[str, Sequence[int]]


def _places(calls: float, milliseconds: float, of: float = WINDOW, share: float = SHARE) -> int:
    """Little's law: calls that came in a time, by how long one takes, is how many are in progress on average."""
    return math.ceil(calls / of * milliseconds / share - 1e-9)


def _rush(instants: Sequence[int]) -> int:
    return busiest(instants, WINDOW)[1]


def _took(day: Day) -> list[int]:
    return [end - begin for begin, end in zip(day["began"], day["ended"], strict=True)]


def _asked_for(day: Day) -> list[int]:
    return [end - came for came, end in zip(day["came"], day["ended"], strict=True)]


def needed(day: Day) -> int:
    """The fewest places of which the day's busiest ten seconds keep no more than the share in use."""
    return _places(_rush(day["came"]), mean(_took(day)))


# Mistake → how many places it comes to.
MISTAKES: Mapping[str, Callable[[Day], int]] = {
    "whole_day": lambda day: _places(len(day["came"]), mean(_took(day)), MINUTE),
    "served_not_wanted": lambda day: _places(_rush(day["ended"]), mean(_took(day))),
    "waiting_counted": lambda day: _places(_rush(day["came"]), mean(_asked_for(day))),
    "median_call": lambda day: _places(_rush(day["came"]), median(_took(day))),
    "no_reserve": lambda day: _places(_rush(day["came"]), mean(_took(day)), share=1.0),
}
WHY = {
    "whole_day": "That is what the whole minute's rate gives: most of the minute nobody calls",
    "served_not_wanted": "That is what the busiest ten seconds of what was served give: more was not served, as there "
    "were no more places",
    "waiting_counted": "That is what the time from coming to end gives: it has the wait in it, which is there because "
    "places were missing",
    "median_call": "That is what the median gives: the few long calls take most of the places",
    "no_reserve": "That many would be in use nearly all the time, and whoever comes a little early waits",
}


def draw(source: random.Random) -> Load:
    """Two days that need different numbers of places, and on which each mistake shows."""
    while not _apart(days := [_telling_day(source) for _ in range(RUNS)]):
        pass
    wanted = [ROUNDS * needed(day) for day in days]
    numbers = source.sample(range(100, 1000), sum(wanted))
    requests = [numbers[: wanted[0]], numbers[wanted[0] :]]
    records = {name: [list(day[name]) for day in days] for name in ("came", "began", "ended")}
    return Load(
        lanes={"partner": {"service_time": SERVICE, "capacity": None}},
        items={"requests": requests, **records},
        asked={"requests": ("partner", "request")},
        runs=RUNS,
    )


def _day(source: random.Random) -> Day:
    """A minute: a rush of ten seconds, quiet before and after, few places, and a queue before them."""
    rush, quiet = source.randint(11, 22), source.randint(15, 35)
    begin = WINDOW * source.randint(1, 4)
    came = [begin + int((number + source.random()) * WINDOW / rush) for number in range(rush)]
    for number in range(quiet):
        at = int((number + source.random()) * (MINUTE - WINDOW) / quiet)
        came.append(at if at < begin else at + WINDOW)
    came.sort()
    heavy = round(0.3 * len(came))
    took = [source.randint(4000, 6000) for _ in range(heavy)]
    took += [source.randint(800, 1200) for _ in range(len(came) - heavy)]
    source.shuffle(took)
    free = [0] * source.randint(2, 3)
    began = []
    for at, length in zip(came, took, strict=True):
        began.append(max(at, heapq.heappop(free)))
        heapq.heappush(free, began[-1] + length)
    return {"came": came, "began": began, "ended": [at + length for at, length in zip(began, took, strict=True)]}


def _telling_day(source: random.Random) -> Day:
    """A day on which all ways to do it right agree, and no mistake comes to what is right."""
    while True:
        day = _day(source)
        right = needed(day)
        if SMALLEST <= right <= LARGEST and _other_ways(day) == {right}:
            found = {name: count(day) for name, count in MISTAKES.items()}
            if right not in found.values() and min(found.values()) > 1 and max(found.values()) <= right + 6:
                return day


def _apart(days: Sequence[Day]) -> bool:
    """Whether days need different numbers of places, and no two mistakes come to the same on all of them.

    Nor does one come on all of them to what may be right on one: so a number looks that was not worked out.
    """
    found = {tuple(count(day) for day in days) for count in MISTAKES.values()}
    constant = {numbers[0] for numbers in found if len(set(numbers)) == 1}
    told_apart = len(found) == len(MISTAKES) and not constant & set(range(SMALLEST, LARGEST + 1))
    return told_apart and len({needed(day) for day in days}) == len(days)


def _other_ways(day: Day) -> set[int]:
    """By the calls of the rush alone, by tens of seconds of the clock, and with a little more or less of everything."""
    took = _took(day)
    begin, calls = busiest(day["came"], WINDOW)
    own = [length for came, length in zip(day["came"], took, strict=True) if begin <= came < begin + WINDOW]
    tens = max(sum(ten <= came < ten + WINDOW for came in day["came"]) for ten in range(0, MINUTE, WINDOW))
    return {
        *(_places(calls, mean(own)), _places(tens, mean(took))),
        *(_places(calls, 0.98 * mean(took)), _places(calls, 1.02 * mean(took))),
    }


def judge(seen: Seen) -> Iterator[Message]:
    """Each run takes as many places as its day needs."""
    items = seen.load.items
    days = [{name: items[name][run] for name in ("came", "began", "ended")} for run in range(RUNS)]
    right = [needed(day) for day in days]
    callers = [_callers(seen, run) for run in range(RUNS)]
    mistake = next(
        (name for name, count in MISTAKES.items() if callers == [count(day) for day in days]),
        None,
    )
    for run, day in enumerate(days):
        own = seen.logs["partner"].select(request_id=[f"request {number}" for number in items["requests"][run]])
        peak = own.inflight().peak()
        # Callers that start so late that they meet no more were planned all the same.
        planned = max(int(peak.value), callers[run])
        if peak.at is None or planned == right[run]:
            continue
        said = f"run check-{run} had {callers[run]} callers, at most {peak.value:g} at once, as at {clock(peak.at)}"
        said += f"; {_account(day)}"
        if mistake:
            yield Message(mistake, f"{said}. {WHY[mistake]}", "Which of the three instants of a call is it about?")
        elif len(set(callers)) == 1:
            text = f"{said}. Both runs had {callers[0]} callers, and two days' records"
            yield Message("records_not_read", text, "The number is to come from the records of the run.")
        elif planned < right[run]:
            yield Message("too_few", said, "By Little's law: calls that come in a second, by seconds that one takes.")
        else:
            yield Message("too_many", said, "Whatever is not needed is paid for all the same.")
        return


def _callers(seen: Seen, run: int) -> int:
    return sum(one["task_id"] == "ask" and one["dag_run_id"] == f"check-{run}" for one in seen.records)


def _account(day: Day) -> str:
    calls, seconds = _rush(day["came"]), mean(_took(day)) / 1000
    return (
        f"its day needs {needed(day)}: {calls} calls came in the busiest {WINDOW / 1000:g} s and one took "
        f"{seconds:.1f} s, so that {calls * seconds * 1000 / WINDOW:.1f} were in progress on average, which may be "
        f"{SHARE:.0%} of them"
    )
