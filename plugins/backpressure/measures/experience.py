"""What users saw of a service before, during and after an outage, by the class of what they asked for.

It is told by the users' own clocks and notes (:class:`~backpressure.measures.breaker.Journal`), not by the service:
what a service knows of itself leaves out whoever never got to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

from backpressure.measures.measure import Measure, figure

__all__ = ["Experience"]

USERS = "users"
Record = Mapping[str, Any]
Window = tuple[float, float]


@dataclass(frozen=True)
class Experience:
    """All users' requests, and the phases in which they were made.

    Attributes:
        calls: each with its ``name`` (the class, a hyphen, and more), when it was ``asked``, how long it ``took``, the
            ``answer`` (``stale`` or not; None: there was none) and the ``error``.
        phases: for each its first instant and its end (epoch s).
    """

    calls: Sequence[Record]
    phases: Mapping[str, Window]

    @classmethod
    def of(cls, calls: Iterable[Record], **phases: Window) -> Self:
        """Put requests and phases together."""
        return cls(tuple(calls), phases)

    def answered(self, kind: str | None, phase: str) -> Measure:
        """Which part of a class's requests (None: of all) got an answer, fresh or stale."""
        return self._share(kind, phase, "answered", lambda call: call["answer"] is not None)

    def fresh(self, kind: str | None, phase: str) -> Measure:
        """Which part got a fresh answer."""
        return self._share(
            kind, phase, "fresh", lambda call: call["answer"] is not None and not call["answer"]["stale"]
        )

    def stale(self, kind: str | None, phase: str) -> Measure:
        """Which part got a stale answer."""
        return self._share(kind, phase, "stale", lambda call: call["answer"] is not None and call["answer"]["stale"])

    def error(self, kind: str | None, phase: str, error: str) -> Measure:
        """Which part ended in an exception of this class."""
        return self._share(kind, phase, error, lambda call: call["error"] == error)

    def latency(self, kind: str | None, phase: str) -> Measure:
        """The median of the seconds that requests took, answered or not."""
        asked = self._asked(kind, phase)
        value = median(call["took"] for call in asked) if asked else None
        name = f"median time of {self._whose(kind)} {phase}"
        return Measure(value, name, "s", self.phases[phase][0], USERS, len(asked))

    def first_stale(self, kind: str, phase: str = "during") -> Measure:
        """Seconds from the beginning of a phase to the first stale answer; no value when there was none."""
        began = self.phases[phase][0]
        stale = (call for call in self._asked(kind, phase) if call["answer"] is not None and call["answer"]["stale"])
        at = min((call["asked"] + call["took"] for call in stale), default=None)
        value = None if at is None else at - began
        return Measure(value, f"until the first stale {kind}", "s", at, USERS, len(self._asked(kind, phase)))

    def table(self) -> str:
        """Latency, errors and staleness of each class in each phase, as a Markdown table."""
        lines = ["| Class | Phase | Requests | Answered | Stale | Errors | Median | p95 |", "|" + "---|" * 8]
        for kind in sorted({_kind(call) for call in self.calls}):
            for phase in self.phases:
                asked = self._asked(kind, phase)
                took = sorted(call["took"] for call in asked)
                p95 = took[min(int(0.95 * len(took)), len(took) - 1)] if took else None
                shares = (self.answered(kind, phase), self.stale(kind, phase))
                errors = sorted({call["error"] for call in asked} - {""})
                cells = [kind, phase, len(asked), *(figure(one.value) for one in shares), ", ".join(errors) or "none"]
                seconds = (self.latency(kind, phase).value, p95)
                lines.append("| " + " | ".join(map(str, [*cells, *(figure(one, "s", 2) for one in seconds)])) + " |")
        return "\n".join(lines) + "\n"

    def picture(self, title: str, kind: str, marks: Iterable[tuple[float, str]]) -> str:
        """How long a class's requests took, and how old what they got was, as an SVG; nothing got is drawn as -1.

        Args:
            title: of the picture.
            kind: the class.
            marks: instants to show, with a word for each.
        """
        from backpressure.dashboard import Panel, draw  # noqa: PLC0415 - not while a DAG file is parsed

        asked = sorted((call for call in self.calls if _kind(call) == kind), key=lambda call: float(call["asked"]))
        took = [(call["asked"], call["took"]) for call in asked]
        ages = [(call["asked"], call["answer"]["age"] if call["answer"] else -1.0) for call in asked]
        panels = [Panel(f"Time of an {kind}", took, "s"), Panel("Age of its answer (-1: no answer)", ages, "s")]
        return draw(panels, title=title, marks=marks) if asked else ""

    def _asked(self, kind: str | None, phase: str) -> list[Record]:
        since, until = self.phases[phase]
        return [call for call in self.calls if since <= call["asked"] < until and kind in (None, _kind(call))]

    def _share(self, kind: str | None, phase: str, word: str, true: Any) -> Measure:
        asked = self._asked(kind, phase)
        value = sum(bool(true(call)) for call in asked) / len(asked) if asked else None
        at = next((call["asked"] for call in asked if true(call)), None)
        return Measure(value, f"{self._whose(kind)} {word}, {phase}", "", at, USERS, len(asked))

    def _whose(self, kind: str | None) -> str:
        return f"{kind} requests" if kind else "requests"


def _kind(call: Record) -> str:
    return str(call["name"]).partition("-")[0]
