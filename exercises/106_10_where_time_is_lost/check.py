"""What a right answer to exercise 106.10 does, whatever its text looks like: it names where each case loses its time.

The records are drawn: how long each place takes as a rule, how much longer it takes now, and how much all that varies.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from backpressure_lab.exercises import cases
from backpressure_lab.exercises.cases import Case
from backpressure_lab.exercises.seen import Load

judge = cases.judge

STAMPS = ("scheduled", "queued", "started", "asked", "answered", "ended")
PLACES = ("slot", "worker", "code", "partner", "end")  # between each stamp and the next; the last is the code's, too
BETWEEN = {name: STAMPS[number : number + 2] for number, name in enumerate(PLACES)}
USUAL = {"slot": 0.4, "worker": 0.3, "code": 0.8, "partner": 1.2, "end": 0.2}
ORDERS = 9
Record = dict[str, float | None]


def draw(source: random.Random) -> Load:
    """A case of each kind, the plain ones first."""
    found = [_grown(source, place, "wrong_place") for place in ("slot", "worker", "partner", "code")]
    found += [_always_slow(source), _unfinished(source), _one_of_many(source), _nothing(source)]
    return cases.load(source, found)


def _grown(source: random.Random, place: str, code: str) -> Case:
    more = source.uniform(4, 7)
    begin, end = BETWEEN[place]
    said = f"from {begin} to {end} its orders took {more:.1f} s more in the median than they used to"
    return _case(source, place, code, said, now={**USUAL, place: USUAL[place] + more})


def _always_slow(source: random.Random) -> Case:
    """The partner takes longest, as ever; what has grown is another place."""
    usual, more = {**USUAL, "partner": source.uniform(12, 15)}, source.uniform(4, 6)
    place = source.choice(["slot", "worker"])
    said = f"the partner takes {usual['partner']:.1f} s, as it always did; the {place} takes {more:.1f} s more"
    return _case(source, place, "not_compared", said, usual=usual, now={**usual, place: usual[place] + more})


def _unfinished(source: random.Random) -> Case:
    """Most orders still wait for a slot, and have no further stamp; the few that came first were quick."""
    case = _case(source, "slot", "only_finished", "", now=USUAL)
    read, waiting = source.uniform(9, 12), source.randint(6, 7)
    through = case.told["now"][: ORDERS - waiting]
    begun = [round(source.uniform(0, 1), 2) for _ in range(waiting)]
    now = [*through, *({**dict.fromkeys(STAMPS), "scheduled": at} for at in begun)]
    told = {**case.told, "now": now, "read": round(read, 2)}
    why = f"{waiting} of {ORDERS} orders had waited for {read - 1:.1f} s or more when this was read, and still did"
    return Case(told, "slot", "only_finished", why, "What says nothing yet says most.")


def _one_of_many(source: random.Random) -> Case:
    more = source.uniform(40, 60)

    def change(record: dict[str, float], number: int) -> None:
        record["code"] += more if number == ORDERS // 2 else 0

    said = f"one of {ORDERS} orders lost {more:.0f} s in its code, the others nothing; that is chance"
    return _case(source, "none", "one_of_many", said, now=USUAL, change=change)


def _nothing(source: random.Random) -> Case:
    return _case(source, "none", "false_alarm", "no place takes 2 s more than it used to in the median", now=USUAL)


def _case(
    source: random.Random,
    truth: str,
    code: str,
    why: str,
    *,
    now: Mapping[str, float],
    usual: Mapping[str, float] = USUAL,
    change: Callable[[dict[str, float], int], None] = lambda _record, _number: None,
) -> Case:
    before = [_record(source, usual, number, lambda _record, _number: None) for number in range(ORDERS)]
    after = [_record(source, now, number, change) for number in range(ORDERS)]
    read = max(float(record["ended"] or 0) for record in after) + 1
    told: dict[str, Any] = {"usual": before, "now": after, "read": round(read, 2)}
    return Case(told, truth, code, why, "Compare each place with what is usual for it, order by order.")


def _record(
    source: random.Random, seconds: Mapping[str, float], number: int, change: Callable[[dict[str, float], int], None]
) -> Record:
    spent = {place: seconds[place] + source.uniform(0, 0.3) for place in PLACES}
    change(spent, number)
    at = 0.2 * number
    record: Record = {STAMPS[0]: round(at, 2)}
    for place, stamp in zip(PLACES, STAMPS[1:], strict=True):
        at += spent[place]
        record[stamp] = round(at, 2)
    return record
