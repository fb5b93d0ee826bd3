"""Both tiers of a check, and what came of them."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backpressure_lab.errors import NOT_AS_EXPECTED
from backpressure_lab.exercises import live, seen, static
from backpressure_lab.exercises.catalog import Files
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Seen
from backpressure_lab.exercises.staging import Lab, Play

Tier = Literal["static", "live"]


@dataclass(frozen=True)
class Verdict:
    """What a check says of a file.

    Attributes:
        tier: how far it came; a file that fails the static tier is not run.
        messages: what is wrong; none when the exercise is passed.
        seen: of the live tier.
    """

    exercise: str
    file: Path
    tier: Tier
    messages: tuple[Message, ...]
    seconds: float
    seen: Seen | None = field(repr=False, default=None)

    @property
    def passed(self) -> bool:
        """Whether the file does what the exercise asks for."""
        return self.tier == "live" and not self.messages

    @property
    def code(self) -> int:
        """The command's exit code."""
        return 0 if self.passed else NOT_AS_EXPECTED

    def as_json(self) -> dict[str, Any]:
        """The verdict as ``./lab check --json`` shows it."""
        return {
            "exercise": self.exercise,
            "file": str(self.file),
            "status": "pass" if self.passed else "fail",
            "tier": self.tier,
            "messages": [message.as_json() for message in self.messages],
            "seconds": round(self.seconds, 1),
        }


def first_tier(files: Files, path: Path) -> tuple[Facts | None, Verdict]:
    """The static tier: the file's facts, and a verdict that is final where it has messages."""
    started = time.monotonic()
    facts, messages = static.check(path, files.dag_id)
    if facts is not None and not messages:
        messages = files.read(facts)
    return facts, Verdict(files.exercise.id, path, "static", tuple(messages), time.monotonic() - started)


def second_tier(files: Files, path: Path, facts: Facts, lab: Lab, source: random.Random | None = None) -> Verdict:
    """The live tier, on a running lab.

    Args:
        files: the exercise.
        path: the submission.
        facts: what the static tier found.
        lab: where to run it.
        source: of the load; not to be foreseen when left out.

    Raises:
        NotRunningError: the lab went away.
    """
    started = time.monotonic()
    play = Play(path.read_text(encoding="utf-8"))
    found = live.watch(lab, play, facts, files.draw(source or random.SystemRandom(), facts))
    messages = (*files.judge(found), *seen.general(found))
    return Verdict(files.exercise.id, path, "live", messages, time.monotonic() - started, found)
