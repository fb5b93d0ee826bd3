"""Runbooks that people read and programs carry out: a Markdown file with phases, steps, and a command in each step.

A heading of the second level begins a phase; each line of a numbered list in it is a step, and its first code span is
the step's command: a verb and its arguments. What else stands there is for people. ::

    ## Detection
    1. `watch 6 15` Six tasks wait: look for 15 seconds at most.

A verb that the program does not know is an error before anything is done: half of a procedure is none.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Runbook", "Step", "Taken", "Then", "carry_out", "done_at", "listed", "parse"]

_PHASE = re.compile(r"##\s+(?P<name>.+?)\s*$")
_STEP = re.compile(r"\s*\d+[.)]\s+(?P<text>.*)$")
_COMMAND = re.compile(r"`([^`]+)`")


class Then(StrEnum):
    """What follows a step."""

    NEXT = "next step"
    NEXT_PHASE = "next phase"
    STOP = "stop"


Action = Callable[..., Then]


@dataclass(frozen=True)
class Step:
    """One step: its phase, the line of the file, the verb, and the arguments as they stand there."""

    phase: str
    line: int
    verb: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.verb, *self.arguments))


Runbook = tuple[Step, ...]


@dataclass(frozen=True)
class Taken:
    """A step that was carried out, when (seconds since the epoch), and what followed."""

    phase: str
    step: str
    began: float
    ended: float
    then: str

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it."""
        return asdict(self)


def parse(text: str, verbs: Mapping[str, Any] | None = None) -> Runbook:
    """The steps of a runbook, in their order.

    Raises:
        ValueError: there is no step, or one has no phase, no command, or a verb that is not one of ``verbs``, if these
            are given; the message names the line.
    """
    steps: list[Step] = []
    phase = ""
    for line, words in enumerate(text.splitlines(), start=1):
        if heading := _PHASE.match(words):
            phase = heading["name"]
        elif step := _STEP.match(words):
            command = _COMMAND.search(step["text"])
            if not command:
                raise ValueError(f"line {line}: the step has no command; write one between backticks")
            verb, *arguments = shlex.split(command[1])
            if verbs is not None and verb not in verbs:
                raise ValueError(f"line {line}: no action {verb!r}; there are {', '.join(sorted(verbs))}")
            if not phase:
                raise ValueError(f"line {line}: the step stands in no phase; put a heading with ## before it")
            steps.append(Step(phase, line, verb, tuple(arguments)))
    if not steps:
        raise ValueError("the runbook has no step: write numbered lines below headings with ##")
    return tuple(steps)


def carry_out(steps: Runbook, actions: Mapping[str, Action], clock: Callable[[], float] = time.time) -> list[Taken]:
    """Carry out the steps in their order, as far as their actions say, and write down what was done when."""
    taken: list[Taken] = []
    over = ""
    for step in steps:
        if step.phase == over:
            continue
        began = clock()
        then = actions[step.verb](*step.arguments)
        taken.append(Taken(step.phase, str(step), began, clock(), then.value))
        if then is Then.STOP:
            break
        over = step.phase if then is Then.NEXT_PHASE else ""
    return taken


def done_at(taken: Iterable[Mapping[str, Any]], words: str) -> float | None:
    """When the first step that begins with these words was done; None if it was not reached, or ended the procedure."""
    steps = (one for one in taken if one["step"].startswith(words) and one["then"] != Then.STOP)
    return next((float(one["ended"]) for one in steps), None)


def listed(text: str, verb: str) -> tuple[str, ...]:
    """The first argument of each step with this verb, in the runbook's order."""
    return tuple(step.arguments[0] for step in parse(text) if step.verb == verb)
