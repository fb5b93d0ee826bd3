"""Incidents: faults that a check's surroundings have and a learner's file does not show, and what a right answer does.

Two systems are each asked by a task of their own, in a pool of their own. The number that a file says picks an
incident's faults, so that they stay the same from check to check; what there is to do is drawn for each check.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backpressure_lab.exercises import answers
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

SYSTEMS = {"partner": "order", "archive": "receipt"}
"""System, as its lane's param and its pool are called → the task that calls it; the plural is its numbers' param."""
BEARS, BEARS_LESS = 3, 2
SECONDS, LONGER, AGREED = 2.0, 3.2, 4.0
HEALING = ("drops", "silence", "errors")
KINDS = ("slots", "capacity", *HEALING, "slow")
CAUSES = tuple(f"{system} {kind}" for system in SYSTEMS for kind in KINDS)
Faults = Mapping[str, tuple[str, ...]]

_STATUS = {"capacity": ("503",), "drops": ("dropped",), "silence": ("hung", "disconnected"), "errors": ("500",)}
_ENDED = {
    "capacity": "refused with 503",
    "drops": "dropped",
    "silence": "left unanswered",
    "errors": "answered with 500",
}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "slots": {},
    "capacity": {"capacity": BEARS_LESS, "queue_limit": 0},
    "drops": {"drop_first": 3},
    "silence": {"hang_first": 2, "hang_seconds": 60.0},
    "errors": {"error": 0.3},
    "slow": {"service_time": LONGER},
}
_EVENT = re.compile(r"\d\d:\d\d:\d\d\b.*[A-Za-z]")
_EVENTS, _WORDS, _NAMED = 3, 4, 3


@dataclass(frozen=True)
class Incident:
    """A kind of incident.

    Attributes:
        name: goes into what is picked.
        pick: picks the faults: system → kinds. That a system is slow, within what is agreed, is none.
    """

    name: str
    pick: Callable[[random.Random], Faults]

    def faults(self, facts: Facts) -> Faults:
        """What is wrong in the incident whose number the file says."""
        number = answers.number(facts.answers, "incident", 1)
        return self.pick(random.Random(f"{self.name} {number}"))  # noqa: S311 - no secret

    def draw(self, source: random.Random, facts: Facts) -> Load:
        """Orders and receipts, and systems with these faults; a pool that was set back is as the file says."""
        faults, back = self.faults(facts), answers.texts(facts.answers, "set_back")
        lanes: dict[str, dict[str, Any]] = {}
        for system in SYSTEMS:
            lanes[system] = {"service_time": SECONDS, "capacity": None}
            for kind in faults.get(system, ()):
                lanes[system] |= _SETTINGS[kind]
        return Load(
            lanes=lanes,
            items={"orders": [drawn(source, source.randint(6, 7))], "receipts": [drawn(source, source.randint(5, 6))]},
            asked={},  # what failed is asked for again: the judge counts what was answered
            slots={system: 1 for system, kinds in faults.items() if "slots" in kinds and system not in back},
        )

    def judge(self, seen: Seen) -> Iterator[Message]:
        """All causes are named, and with the file's settings the work gets through the same faults."""
        faults = self.faults(seen.facts)
        said = set(answers.texts(seen.facts.answers, "causes"))
        right = {f"{system} {kind}" for system, kinds in faults.items() for kind in kinds if kind != "slow"}
        if not said:
            yield _undiagnosed(seen)
            return
        yield from _causes(seen, said, right)
        for system in SYSTEMS:
            yield from _through(seen, system, BEARS_LESS if "capacity" in faults.get(system, ()) else BEARS)


def read(facts: Facts) -> Iterator[Message]:
    """The answers have their form: known causes, pools that the file has, and a review once causes are named."""
    said = answers.texts(facts.answers, "causes")
    unknown = [cause for cause in said if cause not in CAUSES]
    if unknown:
        yield Message("cause_unknown", f"{unknown[0]!r} is no cause; there are {', '.join(CAUSES)}")
    for name in answers.texts(facts.answers, "set_back"):
        if facts.pool(name) is None:
            there = ", ".join(pool.name for pool in facts.pools)
            yield Message("set_back_unknown", f"set_back names {name!r}; the pools of the file are {there}")
    lacks = next(_lacking(facts.answers, said), None) if said else None
    if lacks:
        yield Message("review_incomplete", f"the review is not complete: {lacks}", "Whoever reads it was not there.")


def _lacking(given: answers.Answers, said: list[str]) -> Iterator[str]:
    timeline = answers.texts(given, "timeline")
    wrong = [entry for entry in timeline if not _EVENT.match(entry)]
    if wrong:
        yield f"timeline has {wrong[0]!r}, which is no time HH:MM:SS and what happened then"
    if len(timeline) < _EVENTS:
        yield f"timeline has {len(timeline)} entries; when it began, was noticed and was over are {_EVENTS}"
    if timeline != sorted(timeline):
        yield f"timeline is not in the order of time: {timeline[0]!r} comes first"
    for name in ("impact", "why", "actions"):
        if len(answers.text(given, name).split()) < _WORDS:
            yield f"{name} says {answers.text(given, name)!r}, which is less than a sentence"
    if not re.search(r"\d", answers.text(given, "impact")):
        yield "impact has no figure: how many orders or receipts were late or lost?"
    for system in SYSTEMS:
        if any(cause.startswith(system) for cause in said) and system not in answers.text(given, "why"):
            yield f"why does not mention the {system}, which causes names"


def _undiagnosed(seen: Seen) -> Message:
    """What somebody sees who only waits for what was ordered."""
    told = []
    for system, task in SYSTEMS.items():
        wanted, missing = _missing(seen, system)
        waits = seen.work.select(task_id=task).gate
        longest = f", and one waited {np.nanmax(waits):.1f} s for a slot" if np.isfinite(waits).any() else ""
        told.append(f"{wanted - len(missing)} of {wanted} {task}s were delivered{longest}")
    text = f"{'; '.join(told)}. ANSWERS names no cause"
    return Message("undiagnosed", text, "The page beside your file has the records of this run. Where do they differ?")


def _causes(seen: Seen, said: set[str], right: set[str]) -> Iterator[Message]:
    for cause in sorted(said - right):
        system, kind = cause.split()
        text = f"{cause} is no cause: {_against(seen, system, kind)}"
        code = "red_herring" if kind == "slow" else "wrong_cause"
        yield Message(code, text, "What do the records of the other system say?")
    if said < right:
        found = ", ".join(sorted(said))
        yield Message("half_found", f"{found} is right, and not all: look at the run with that mended", "Run it again.")


def _against(seen: Seen, system: str, kind: str) -> str:
    """What the records say to a cause that is none."""
    log = seen.logs[system]
    if kind == "slots":
        return _slots(seen, system)
    if kind == "slow":
        took = sorted((log.finish - log.arrival)[log.status == "200"].tolist())
        median = f"{took[len(took) // 2]:.1f} s" if took else "no time"
        return f"the {system} answered within {median} in the median; up to {AGREED:g} s are agreed"
    return f"of {len(log)} calls of the {system} {_count(seen, system, kind)} were {_ENDED[kind]}"


def _through(seen: Seen, system: str, bears: int) -> Iterator[Message]:
    """What is wrong with what a system got and had to bear."""
    task, (wanted, missing) = SYSTEMS[system], _missing(seen, system)
    log = seen.logs[system]
    ended = [f"{number} were {_ENDED[kind]}" for kind in _STATUS if (number := _count(seen, system, kind))]
    said = f"of {len(log)} calls of the {system} {', '.join(ended) or 'none failed'}"
    if missing:
        text = f"{len(missing)} of {wanted} {task}s were not delivered{_few(missing)}; {said}"
        yield Message("not_fixed", text, "What, in your file, would have let them through?")
        return
    # A slot that is given away is a call that may be made, whenever the task gets to it.
    held = seen.work.select(task_id=task).concurrency("queued", "end", now=seen.now)
    called, at = log.select(path=task).inflight().peak(), clock(held.peak_at or seen.now)
    if refused := _count(seen, system, "capacity"):
        first = clock(float(log.arrival[log.status == "503"][0]))
        text = (
            f"the {system} refused {refused} of {len(log)} calls, first at {first}; they were made again until they fit"
        )
        yield Message("knocking", text, "Ask for no more at once than there is room for.")
    elif held.peak > bears:
        text = f"{held.peak} {task}s were let in at once at {at}; the {system} bears {bears}: {_slots(seen, system)}"
        yield Message("too_many_at_once", text, "What makes up for a fault must not become one.")
    elif (most := max(held.peak, called.value)) < bears:
        waited = seen.waiting(held.peak_at or seen.now, task)
        text = f"never more than {most:g} {task}s at once; the {system} bears {bears}, and at {at} {waited} waited"
        yield Message("choked", f"{text}: {_slots(seen, system)}", "A remedy that holds back is a fault of its own.")


def _missing(seen: Seen, system: str) -> tuple[int, list[str]]:
    """How many were to be delivered, and which were not."""
    task = SYSTEMS[system]
    wanted = [f"{task} {number}" for numbers in seen.load.items[f"{task}s"] for number in numbers]
    done = set(seen.logs[system].select(path=task, status=200).request_id.tolist())
    return len(wanted), [name for name in wanted if name not in done]


def _count(seen: Seen, system: str, kind: str) -> int:
    log = seen.logs[system]
    return sum(int((log.status == status).sum()) for status in _STATUS[kind])


def _slots(seen: Seen, system: str) -> str:
    task = seen.facts.dag.task(SYSTEMS[system])
    name = task.pool if task else system
    return f"its pool {name!r} had slots: {seen.pools.get(name, 'unknown')}"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" ({', '.join(names[:_NAMED])}{more})" if names else ""
