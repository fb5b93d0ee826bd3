"""What a right answer to exercise 106.8 does, whatever its text looks like: it says what a test has shown, if anything.

The records are drawn: of pools that held, of pools that did not, in each of the ways that are overlooked, and of tests
without enough work.
"""

from __future__ import annotations

import random
from typing import Any

from backpressure_lab.exercises import cases
from backpressure_lab.exercises.cases import Case
from backpressure_lab.exercises.seen import Load

judge = cases.judge

HOLDS, BROKEN, NOT_TESTED = "holds", "broken", "not_tested"
Row = dict[str, Any]


def draw(source: random.Random) -> Load:
    """A test of each kind, the plain ones first."""
    makers = (_held, _much_too_many, _too_few, _nobody_waited, _at_once, _heavy, _still_running, _for_a_moment)
    return cases.load(source, [maker(source, source.randint(3, 5)) for maker in makers])


def _full(source: random.Random, limit: int, waves: int = 3) -> list[Row]:
    """Each slot taken at once, over and over: all were scheduled in the beginning."""
    rows = []
    for _ in range(limit):
        at = source.uniform(0.1, 0.3)
        for _ in range(waves):
            length = source.uniform(1.5, 3.0)
            rows.append(_row(at, at + length))
            at += length + source.uniform(0.2, 0.5)
    return rows


def _row(queued: float, ended: float | None, *, scheduled: float = 0.0, slots: int = 1) -> Row:
    done = None if ended is None else round(ended, 2)
    return {"scheduled": round(scheduled, 2), "queued": round(queued, 2), "ended": done, "slots": slots}


def _case(source: random.Random, rows: list[Row], limit: int, found: tuple[str, str], why: str) -> Case:
    truth, code = found
    source.shuffle(rows)
    ends = [row["queued"] if row["ended"] is None else row["ended"] for row in rows]
    told = {"limit": limit, "rows": rows, "read": round(max(ends) + 1, 2)}
    return Case(told, truth, code, why, "What does the pool count, from when to when?")


def _held(source: random.Random, limit: int) -> Case:
    rows = _full(source, limit)
    why = f"all {limit} slots were in use while tasks waited, and never more"
    return _case(source, rows, limit, (HOLDS, "held_unseen"), why)


def _much_too_many(source: random.Random, limit: int) -> Case:
    rows = _full(source, limit + source.randint(2, 3))
    return _case(
        source, rows, limit, (BROKEN, "broken_unseen"), f"{len(rows) // 3} slots of {limit} were in use at once"
    )


def _too_few(source: random.Random, limit: int) -> Case:
    """Never as many as there are slots: there was no more work."""
    rows = _full(source, limit - 1, waves=1)
    why = f"never more than {limit - 1} of {limit} slots were in use: nothing tried to pass the limit"
    return _case(source, rows, limit, (NOT_TESTED, "idle_passes"), why)


def _nobody_waited(source: random.Random, limit: int) -> Case:
    """All slots were in use, but nobody ever waited for one."""
    starts = [source.uniform(0.2, 0.6) for _ in range(limit)]
    rows = [_row(at, at + 3, scheduled=at - 0.1) for at in starts]
    why = f"all {limit} slots were in use, but no task waited for one: a larger pool would have looked the same"
    return _case(source, rows, limit, (NOT_TESTED, "nobody_waited"), why)


def _at_once(source: random.Random, limit: int) -> Case:
    """One ends in the instant in which the next is queued."""
    rows = []
    for _ in range(limit):
        at = round(source.uniform(0.1, 0.3), 2)
        for _ in range(3):
            end = round(at + source.uniform(1.5, 3.0), 2)
            rows.append(_row(at, end))
            at = end
    why = "a slot that is given back is free in that instant: whoever is queued then does not overlap"
    return _case(source, rows, limit, (HOLDS, "touching"), why)


def _heavy(source: random.Random, limit: int) -> Case:
    """As many tasks as there are slots, of which one takes two."""
    until = source.uniform(6, 9)
    rows = [_row(0.2, until, slots=2), *(_row(0.3, until) for _ in range(limit - 1)), *_later(limit, until)]
    why = f"the {limit} tasks that were in at once took {limit + 1} slots: one of them took two"
    return _case(source, rows, limit, (BROKEN, "tasks_counted"), why)


def _still_running(source: random.Random, limit: int) -> Case:
    """The one too many has not ended yet."""
    until = source.uniform(3, 4)
    second = [_row(until + 0.3, until + 3) for _ in range(limit)]
    rows = [_row(0.2, None), *(_row(0.2, until) for _ in range(limit - 1)), *second, *_later(limit, until + 3)]
    why = f"a task that has not ended holds its slot: with it, {limit + 1} were in use"
    return _case(source, rows, limit, (BROKEN, "ended_only"), why)


def _for_a_moment(source: random.Random, limit: int) -> Case:
    """For some hundredths of a second, between two looks."""
    change = source.randint(2, 4) + 0.37
    rows = [_row(0.2, change + 0.03), _row(change, 7.0), *(_row(0.3, 7.0) for _ in range(limit - 1)), *_later(limit, 7)]
    why = f"{limit + 1} slots were in use from {change:.2f} to {change + 0.03:.2f}"
    return _case(source, rows, limit, (BROKEN, "sampled"), why)


def _later(count: int, after: float) -> list[Row]:
    """So many that waited until then."""
    return [_row(after + 0.4, after + 2) for _ in range(count)]
