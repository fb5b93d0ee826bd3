"""A submission's grade: what came of both tiers, by value, so that it can be kept and read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from backpressure_lab.exercises.messages import Message
from backpressure_lab.grading.cohort import Submission

Verdict = Literal["pass", "fail", "not gradable", "missing", "not measured"]
Tier = Literal["none", "static", "live"]
# A submission of which nobody can say whether it is right: it is not wrong, either.
_UNDECIDED = ("symbolic_link", "duplicate", "duplicate_student", "unreadable", "needs_trust")


@dataclass(frozen=True)
class Grade:
    """What a submission gets.

    Attributes:
        tier: how far it came.
        messages: what is wrong, the first one first.
        figures: what was measured while it ran.
        kept: whether it is from an earlier call of the command.
    """

    submission: Submission
    verdict: Verdict
    tier: Tier = "none"
    messages: tuple[Message, ...] = ()
    figures: Mapping[str, float] | None = None
    seconds: float = 0.0
    kept: bool = False

    @property
    def code(self) -> str:
        """What is wrong first; empty where nothing is."""
        return self.messages[0].code if self.messages else ""

    def as_kept(self) -> dict[str, Any]:
        """The grade as it is kept, without whose it is."""
        return {
            "verdict": self.verdict,
            "tier": self.tier,
            "messages": [message.as_json() for message in self.messages],
            "figures": dict(self.figures or {}),
            "seconds": round(self.seconds, 1),
        }

    @classmethod
    def from_kept(cls, submission: Submission, found: Mapping[str, Any]) -> Grade:
        """A kept grade, of this submission."""
        messages = tuple(Message(**message) for message in found["messages"])
        rest = {name: found[name] for name in ("verdict", "tier", "figures", "seconds")}
        return cls(submission, messages=messages, kept=True, **rest)

    def of(self, submission: Submission) -> Grade:
        """The same for another student, who handed in the same."""
        return replace(self, submission=submission)


def without_running(submission: Submission) -> Grade | None:
    """The grade of what cannot even be read; None for the others."""
    if submission.trouble is None:
        return None
    code = submission.trouble.code
    verdict: Verdict = "missing" if code == "missing" else "not gradable" if code in _UNDECIDED else "fail"
    return Grade(submission, verdict, messages=(submission.trouble,))


def wrong(submission: Submission, tier: Tier, messages: Iterable[Message], seconds: float) -> Grade:
    """The grade for these messages; none of them is a pass."""
    found = tuple(messages)
    if any(message.code in _UNDECIDED for message in found):
        return Grade(submission, "not gradable", tier, found, seconds=seconds)
    return Grade(submission, "fail" if found else "pass", tier, found, seconds=seconds)
