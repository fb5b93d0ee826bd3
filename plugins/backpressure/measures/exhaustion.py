"""Measures of a database that runs out of connections: what it granted and refused, and who was warned or stalled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure
from backpressure.measures.samples import most, reading, share

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["Exhaustion"]

_SERVER = "pg_stat_activity"
Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Exhaustion:
    """A role's connections, first used up on purpose and then used by work.

    Attributes:
        used: what ``use_up`` told of the moment when the role's connections ran out.
        stalls: what ``stalls`` told.
        samples: the role's ``total`` connections, each with its instant ``at``, from before the rehearsal on.
        since: when the work began; only samples after it are the work's.
        alarms: the instants of the alarms.
    """

    used: Records
    stalls: Records
    samples: Records
    since: float
    alarms: Sequence[float]

    def granted(self) -> Measure:
        """How many connections the server counted when it refused one more."""
        return most(self.used, "sessions", "connections when one is refused", _SERVER)

    def refusal(self) -> Measure:
        """The SQLSTATE of that refusal."""
        sqlstate, at = next(((one["sqlstate"], one["at"]) for one in self.used), (None, None))
        return reading(sqlstate, "SQLSTATE of the refusal", "libpq", at=at)

    def highest(self) -> Measure:
        """The most connections that there were during the work."""
        during = [one for one in self.samples if one["at"] > self.since]
        return most(during, "total", "most connections in the work", _SERVER)

    def longest_stall(self) -> Measure:
        """Seconds that the longest of the stalls took."""
        found = most(self.stalls, "seconds", "longest stall", "the caller's clock")
        return Measure(found.value, found.name, "s", found.at, found.source, found.samples)

    def gave_up(self) -> Measure:
        """Which part of the stalls ended in an error, as they should."""
        return share((bool(one["ended"]) for one in self.stalls), "stalls that were given up", "the caller")

    def warning(self) -> Measure:
        """Seconds from the first alarm to the first refusal; negative when it came too late."""
        first = min(self.alarms, default=None)
        seconds = self.used[0]["at"] - first if self.used and first is not None else None
        return Measure(seconds, "from the alarm to the refusal", "s", first, "upstream log", len(self.alarms))

    def alarms_in(self, work: Timeline) -> Measure:
        """How many alarms there were since the work began; no value without work."""
        later = [at for at in self.alarms if at > self.since]
        value = len(later) if len(work) else None
        return reading(value, "alarms in the work", "upstream log", at=min(later, default=None))
