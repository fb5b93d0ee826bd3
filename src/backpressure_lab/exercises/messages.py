"""What a check tells the learner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One thing that is wrong.

    Attributes:
        code: its name, the same for everybody who gets it wrong this way; a wrong answer of the author's is named so.
        text: what was seen, where and when, against what is asked for.
        try_next: what to look at, in a sentence.
    """

    code: str
    text: str
    try_next: str = ""

    def as_json(self) -> dict[str, Any]:
        """The message as ``./lab check --json`` shows it."""
        return {"code": self.code, "text": self.text, "try_next": self.try_next}
