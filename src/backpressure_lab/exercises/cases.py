"""Exercises in judging records: a file is given cases, drawn for each check, and reports what it makes of each.

A task calls the upstream lane of the param ``desk`` with its verdict as path, and names the case in the request id. So
the desk's own log has what was said of which case.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, drawn

DESK = "desk"


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        told: its records, and whatever else the file gets to know of it.
        truth: the right verdict.
        code: of the message to whoever gets it wrong.
        why: what in the records makes it so.
        try_next: what to look at.
    """

    told: Mapping[str, Any]
    truth: str
    code: str
    why: str
    try_next: str = ""


def load(source: random.Random, cases: Sequence[Case]) -> Load:
    """A check's work: the cases in any order, under numbers of their own.

    Args:
        source: of order and numbers.
        cases: by what is said first of those that are got wrong.
    """
    numbered = dict(zip(drawn(source, len(cases)), cases, strict=True))
    told = [{"case": number, **case.told} for number, case in numbered.items()]
    source.shuffle(told)
    return Load(lanes={DESK: {"service_time": 0.01}}, items={}, asked={}, conf={"cases": told}, sealed=numbered)


def judge(seen: Seen) -> Iterator[Message]:
    """Each case is reported once, and right."""
    numbered: Mapping[int, Case] = seen.load.sealed
    log = seen.logs[DESK]
    said = {number: log.select(request_id=f"case {number}").path.tolist() for number in numbered}
    for number, case in numbered.items():
        if said[number] and case.truth not in said[number]:
            text = f"case {number} was reported as {said[number][0]!r}; it is {case.truth!r}: {case.why}"
            yield Message(case.code, text, case.try_next)
    twice = [number for number, reports in said.items() if len(reports) > 1]
    if twice:
        text = f"case {twice[0]} was reported {len(said[twice[0]])} times: {', '.join(said[twice[0]])}"
        yield Message("reported_twice", text, "Whoever reads two verdicts has none.")
    missing = [number for number, reports in said.items() if not reports]
    if missing and not seen.errors:
        text = f"{len(missing)} of {len(numbered)} cases were not reported, such as case {missing[0]}"
        yield Message("not_reported", text, "Each case is reported, whatever is made of it.")
