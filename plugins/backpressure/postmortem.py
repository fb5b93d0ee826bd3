"""A review after an incident, out of records: when what happened, whom it hurt, what made it worse, what helps.

Records are the partner's log of requests, what was delivered to the one on call, what was set at the partner, and the
task instances. Pure functions of these; numpy comes with the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from backpressure.measures import Comparison
    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["PHASES", "Review", "document", "oldest"]

PHASES = ("onset", "detection", "mitigation", "recovery", "closed")
_RECORDS = {
    "onset": "first request that was not answered, partner's log",
    "detection": "page, as delivered",
    "mitigation": "settings of the partner",
    "recovery": "first answer after that, partner's log",
    "closed": "last answer, partner's log",
}
_OK = 200
_NOTABLE = 1.0  # seconds that must be lost to a factor for it to be one


def oldest(records: Iterable[Mapping[str, Any]], now: float) -> float:
    """Seconds since the longest open of some task instances became ready; 0 when none is open."""
    ready = [one["scheduled_when"] for one in records if one["scheduled_when"] and not one["end_date"]]
    return max((now - datetime.fromisoformat(at).timestamp() for at in ready), default=0.0)


@dataclass(frozen=True)
class Review:
    """What is known of an incident.

    Attributes:
        timeline: each phase, and when it was (epoch s; None: not known).
        impact: seconds, summed up, by which orders were served later than they were due.
        lost: seconds that were lost although the partner was well again, by what they were lost to: ``patience``, to
            callers that still waited for an answer to a dead request; ``slots``, to orders that waited for a slot.
    """

    timeline: list[tuple[str, float | None]] = field(default_factory=lambda: [(phase, None) for phase in PHASES])
    impact: float = 0.0
    lost: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        log: RequestLog,
        orders: Timeline,
        pages: Sequence[Mapping[str, Any]],
        *,
        healed: Sequence[float],
        due: float,
    ) -> Self:
        """Find it out.

        Args:
            log: requests; the run of its order is each one's ``request_id``.
            orders: the task instances, one in each run.
            pages: what was delivered to whoever is on call, each ``at`` its instant.
            healed: when the remedy took effect.
            due: seconds that an order may take.
        """
        served = log.select(status=_OK)
        dead = log.select(status=[status for status in log.statuses() if status != str(_OK)] or [""])
        mended = min(healed, default=None)
        well = served.select(since=mended)
        known = {
            "onset": dead.arrival.min() if len(dead) else None,
            "detection": min((float(page["at"]) for page in pages), default=None),
            "mitigation": mended,
            "recovery": well.finish.min() if mended is not None and len(well) else None,
            "closed": served.finish.max() if len(served) else None,
        }
        done = dict(zip(served.request_id.tolist(), served.finish.tolist(), strict=True))
        ready = zip(orders.run_id.tolist(), orders.scheduled.tolist(), strict=True)
        late = sum(max(0.0, done[name] - at - due) for name, at in ready if name in done)
        lost: dict[str, float] = {}
        if mended is not None:
            waited = orders.queued - orders.scheduled.clip(min=mended)
            lost = {
                "patience": float((dead.finish - mended).clip(min=0).sum()),
                "slots": float(waited[waited > 0].sum()),
            }
        return cls([(phase, None if at is None else float(at)) for phase, at in known.items()], late, lost)

    @property
    def factors(self) -> list[str]:
        """To what a notable time was lost."""
        return [name for name, seconds in self.lost.items() if seconds > _NOTABLE]

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it, and an XCom, which wraps tuples; with the factors."""
        return asdict(self) | {"timeline": [list(entry) for entry in self.timeline], "factors": self.factors}


def document(
    title: str, learned: Mapping[str, Any], changes: Mapping[str, object], tried: Mapping[str, Comparison]
) -> str:
    """The review as Markdown.

    Args:
        title: what happened.
        learned: what :meth:`Review.to_dict` gave.
        changes: for each factor what is changed against it.
        tried: what was tried when the fault came again, and what came of it.
    """
    first = min((at for _, at in learned["timeline"] if at is not None), default=0.0)
    lines = [f"# Review: {title}", "", "## Timeline", "", "| Phase | After | Record |", "|---|---|---|"]
    lines += [
        f"| {phase} | not known | none |" if at is None else f"| {phase} | {at - first:.1f} s | {_RECORDS[phase]} |"
        for phase, at in learned["timeline"]
    ]
    lines += ["", "## Impact", "", f"Orders were late by {learned['impact']:.1f} s in all.", ""]
    lines += ["## Contributing factors, and what is changed", ""]
    lines += [
        f"- {name}: {learned['lost'][name]:.1f} s were lost to it after the partner was well again; now {changes[name]}"
        for name in learned["factors"]
    ] or ["None is known, so nothing is changed."]
    lines += ["", "## The same fault again", "", "| Tried | Measured | Holds |", "|---|---|---|"]
    lines += [f"| {what} | {came} | {'yes' if came.holds else 'no'} |" for what, came in tried.items()]
    return "\n".join(lines) + "\n"
