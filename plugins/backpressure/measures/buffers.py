"""Measures of a consumer's buffer: what was fetched and not handled yet, by the log of whoever sends and is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol, Self

from backpressure.measures.measure import Measure

if TYPE_CHECKING:
    from backpressure.request_log import RequestLog
    from backpressure.timeline import Timeline

__all__ = ["Buffer", "unwatched"]

LOG, NOTES = "upstream log", "notes of the consumer"
_OK = 200


class _Source(Protocol):
    def log(self, since: float) -> RequestLog: ...
    def notifications(self, since: float) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Buffer:
    """A buffer between a source and whoever handles what comes from it.

    Attributes:
        came: instants (epoch s) at which a message had been sent, by the source's log.
        notes: one before the first message, and one for each message handled: the instant ``at`` at which the source
            was told, and ``bytes``, the consumer's private memory then.
        alerts: instants at which a monitor raised an alert.
    """

    came: Sequence[float]
    notes: Sequence[Mapping[str, Any]]
    alerts: Sequence[float]

    @classmethod
    def of(cls, source: _Source, since: float) -> Self:
        """Put together what the source sent and was told from an instant on (epoch s)."""
        told = source.notifications(since=since)
        notes = [note["body"] | {"at": note["at"]} for note in told if "bytes" in note["body"]]
        alerts = [note["at"] for note in told if "alert" in note["body"]]
        return cls(sorted(source.log(since=since).select(status=_OK).finish.tolist()), notes, alerts)

    @property
    def _gone(self) -> list[float]:
        """When messages were handled."""
        return [note["at"] for note in self.notes[1:]]

    @property
    def _steps(self) -> list[tuple[float, int]]:
        """The instants at which the depth changed, and the depth from then on."""
        changes = sorted([(at, 1) for at in self.came] + [(at, -1) for at in self._gone])
        return list(zip((at for at, _ in changes), accumulate(step for _, step in changes), strict=True))

    def deepest(self) -> Measure:
        """The most messages that were in the buffer, the one in hand included."""
        steps = self._steps
        depth, at = max(((depth, -at) for at, depth in steps), default=(None, None))
        when, drawn = None if at is None else -at, tuple((at, float(depth)) for at, depth in steps)
        return Measure(
            depth, "messages in the buffer at most", at=when, source=LOG, samples=len(self.came), curve=drawn
        )

    def least_growth(self) -> Measure:
        """By how many messages the buffer grew in that third of its life in which it grew least.

        Its life ends when the last message has come, or the last was handled, whichever is earlier.
        """
        name = "growth of the buffer in the third where it grew least"
        if not self.came or not self._gone:
            return Measure(None, name, source=LOG, samples=len(self.came))
        begin, finish = self.came[0], min(self.came[-1], self._gone[-1])
        cuts = [begin + (finish - begin) * part / 3 for part in range(4)]
        depths = [sum(at <= cut for at in self.came) - sum(at <= cut for at in self._gone) for cut in cuts]
        growths = [after - before for before, after in pairwise(depths)]
        least = min(growths)
        return Measure(least, name, at=cuts[growths.index(least) + 1], source=LOG, samples=len(self.came))

    def memory(self, allowance: int) -> Measure:
        """The most private memory that the consumer took, more than at its first note, as a share of the allowance."""
        name = "memory taken, as a share of the allowance"
        if not self.notes:
            return Measure(None, name, source=NOTES)
        most = max(self.notes, key=lambda note: int(note["bytes"]))
        taken = most["bytes"] - self.notes[0]["bytes"]
        detail = f"{taken / 1e6:.0f} of {allowance / 1e6:.0f} MB"
        return Measure(taken / allowance, name, at=most["at"], source=NOTES, samples=len(self.notes), detail=detail)

    def handled(self) -> Measure:
        """How many messages were handled; no value when none came."""
        gone = self._gone
        value = len(gone) if self.came else None
        return Measure(value, "messages handled", at=gone[-1] if gone else None, source=NOTES, samples=len(gone))

    def alerted(self, before: float | None) -> Measure:
        """How many alerts were raised before an instant (epoch s); no value when it is unknown, or nothing came."""
        early = [at for at in self.alerts if before is not None and at < before]
        known = before is not None and len(self.came) > 0
        at = min(self.alerts, default=None)
        return Measure(len(early) if known else None, "alerts in time", at=at, source=NOTES, samples=len(self.alerts))


def unwatched(work: Timeline, monitor: Timeline) -> Measure:
    """Which part of the time from the work's first start to its last end was over before a monitor started, up to 1."""
    span, seen = work.intervals().span(), monitor.intervals().span()
    name = "share of the work's time before the monitor looked"
    if span is None or seen is None or not span[0] < span[1]:
        return Measure(None, name, samples=len(work))
    blind = min(1.0, max(0.0, (seen[0] - span[0]) / (span[1] - span[0])))
    return Measure(blind, name, at=seen[0], samples=len(work))
