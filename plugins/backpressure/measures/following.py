"""How a learned limit followed what the other side could bear: its windows, its samples, and the upstream's own log.

A DAG file imports this, so it must not import numpy: that comes with the log, when a lesson is judged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from backpressure.measures.measure import Comparison, Measure
from backpressure.measures.samples import share
from backpressure.measures.upstream import in_progress

if TYPE_CHECKING:
    from backpressure.adaptive import LimitAlgorithm, LimitState, WindowSample
    from backpressure.request_log import RequestLog

__all__ = ["Following", "Learning", "Phase"]

WINDOWS, SAMPLES, LOG = "callers' windows", "limit samples", "upstream log"
REFUSED, OK = "503", "200"
Record = dict[str, Any]


class Learning:
    """A limit's rule that notes each window that it was asked about: what was measured, and the limit before and after.

    Of all processes that share a limit, only the one whose call ends a window is asked: together their notes are whole.

    Args:
        rule: decides.
    """

    def __init__(self, rule: LimitAlgorithm) -> None:
        self.rule = rule
        self.windows: list[Record] = []

    @property
    def initial(self) -> float:
        """The rule's."""
        return self.rule.initial

    def allowed(self, state: LimitState) -> float:
        """The rule's."""
        return self.rule.allowed(state)

    def update(self, state: LimitState, sample: WindowSample) -> LimitState:
        """The rule's, noted."""
        after = self.rule.update(state, sample)
        measured = {"calls": sample.calls, "dropped": sample.dropped, "latency": sample.mean_latency}
        self.windows.append({"at": time.time(), **measured, "before": state.limit, "after": after.limit})
        return after


class Phase(NamedTuple):
    """A time for which the upstream bore so many calls at once."""

    since: float
    until: float
    capacity: int


@dataclass(frozen=True)
class Following:
    """A learned limit, and the capacity that it was to find.

    Attributes:
        noted: windows as `Learning` notes them, of all callers, in the order of time.
        samples: the limit at instants: each with ``at`` and ``limit``.
        log: the upstream's requests.
        phases: its capacity over time.
        settled: seconds at the end of each phase in which the limit should be where it belongs.
    """

    noted: tuple[Record, ...]
    samples: Sequence[Mapping[str, Any]]
    log: RequestLog
    phases: tuple[Phase, ...]
    settled: float

    @classmethod
    def of(
        cls,
        windows: Iterable[Iterable[Record]],
        samples: Sequence[Mapping[str, Any]],
        log: RequestLog,
        changes: Iterable[Mapping[str, Any]],
        settled: float,
    ) -> Following:
        """Put together what callers, a watcher and the upstream say.

        Args:
            windows: each caller's.
            samples: the watcher's.
            log: the upstream's requests.
            changes: of the upstream's settings; the last phase ends with the last of them.
            settled: seconds at the end of a phase; a shorter phase is none, nor is one without any capacity.
        """
        together = sorted((one for own in windows for one in own), key=lambda one: float(one["at"]))
        told = list(changes)
        steps = [(float(one["at"]), int(one["settings"]["capacity"])) for one in told if "capacity" in one["settings"]]
        ends = [*(at for at, _ in steps[1:]), max((float(one["at"]) for one in told), default=0.0)]
        phases = [Phase(at, end, capacity) for (at, capacity), end in zip(steps, ends, strict=True)]
        long = tuple(one for one in phases if one.capacity and one.until - one.since > settled)
        return cls(tuple(together), samples, log, long, settled)

    def counted(self) -> Measure:
        """Which part of the upstream's requests the windows have counted."""
        value = sum(one["calls"] for one in self.noted) / len(self.log) if self._usable else None
        return Measure(value, "requests that the windows counted", source=WINDOWS, samples=len(self.noted))

    def latency(self) -> Measure:
        """The mean latency of the windows' calls, for that in the upstream's own log; none without windows."""
        calls = [(one["calls"] - one["dropped"], one["latency"]) for one in self.noted]
        number = sum(count for count, _ in calls)
        seen = self.log.select(status=OK).latency() if self._usable else ()
        known = number and len(seen)
        mean = (
            sum(count * latency for count, latency in calls) / number / float(sum(seen) / len(seen)) if known else None
        )
        return Measure(mean, "latency in the windows, for that in the log", source=WINDOWS, samples=number)

    def fallen(self, phase: int) -> Measure:
        """The lowest limit sampled in a phase, the first being 0."""
        return self._extreme(min, self._phase(phase), "lowest limit")

    def risen(self, phase: int) -> Measure:
        """The highest limit sampled in a phase, the first being 0."""
        return self._extreme(max, self._phase(phase), "highest limit")

    def windows(self, phase: int) -> Measure:
        """How many windows ended in a phase until the limit had come to the capacity; none if it never did."""
        now = self._phase(phase)
        before = self._phase(phase - 1)
        name = f"windows to capacity {now.capacity}" if now else "windows to the capacity"
        ended = [one for one in self.noted if now and now.since <= one["at"] < now.until]
        down = now is not None and before is not None and now.capacity < before.capacity
        limits = [math.floor(one) for one in [*(one["before"] for one in ended[:1]), *(one["after"] for one in ended)]]
        there = [one <= now.capacity if down else one >= now.capacity for one in limits] if now else []
        number = there.index(True) if True in there else None
        at = ended[number - 1]["at"] if number else None
        return Measure(number, name, at=at, source=WINDOWS, samples=len(ended))

    def decreases(self) -> Measure:
        """How often the limit was lowered."""
        found = [one for one in self.noted if self._falls(one)]
        at = found[0]["at"] if found else None
        value = len(found) if self._usable else None
        return Measure(value, "times that the limit fell", at=at, source=WINDOWS, samples=len(self.noted))

    def answered(self) -> Measure:
        """Which part of the decreases ended a window in which the upstream's log has a refusal, or the one before it.

        A refusal just before the end of a window may be told in the next.
        """
        refusals = self.log.select(status=REFUSED).finish.tolist() if self._usable else []
        since = [-math.inf, -math.inf, *(one["at"] for one in self.noted)]
        spans = [(begin, one["at"]) for begin, one in zip(since, self.noted, strict=False) if self._falls(one)]
        found = [any(begin <= at <= end for at in refusals) for begin, end in spans]
        return share(found, "falls after a refusal", f"{WINDOWS}, {LOG}")

    def near(self, below: float, step: int) -> Measure:
        """Which part of the settled samples lies between a share of the capacity and one step above it."""
        inside = [
            below * phase.capacity <= sample["limit"] <= phase.capacity + step
            for phase in self.phases
            for sample in self.samples
            if phase.until - self.settled <= sample["at"] < phase.until
        ]
        return share(inside, "settled samples near the capacity", SAMPLES)

    def used(self) -> Measure:
        """The mean share of the capacity that was in service while settled."""
        curve = self.log.inflight("start")
        means = [
            curve.mean(phase.until - self.settled, phase.until) / phase.capacity
            for phase in (self.phases if self._usable else ())
        ]
        return Measure(sum(means) / len(means) if means else None, "capacity in use, settled", source=LOG)

    def overshoot(self, bound: int) -> Comparison:
        """The highest limit while settled, and the most calls on the upstream's hands at once, against the capacity.

        Args:
            bound: so many more there may be, in each phase.
        """
        parts = []
        for phase in self.phases:
            end = phase._replace(since=phase.until - self.settled)
            calls = in_progress(self.log, *end[:2], f"calls at once, capacity {phase.capacity}")
            parts.append(self._extreme(max, end, "settled: highest limit") <= phase.capacity + bound)
            parts.append(calls <= phase.capacity + bound)
        return Comparison(tuple(part for one in parts for part in one.parts))

    def refused(self) -> Measure:
        """Which part of the requests that came while settled was refused."""
        logs = [self.log.select(since=phase.until - self.settled, until=phase.until) for phase in self.phases]
        came, refused = sum(map(len, logs)), sum(log.count(status=REFUSED) for log in logs)
        return Measure(refused / came if came else None, "share refused, settled", source=LOG, samples=came)

    @property
    def _usable(self) -> bool:
        return len(self.log) > 0 and self.log.complete

    @staticmethod
    def _falls(window: Record) -> bool:
        return bool(window["after"] < window["before"])

    def _phase(self, number: int) -> Phase | None:
        return self.phases[number] if 0 <= number < len(self.phases) else None

    def _extreme(self, pick: Callable[..., Mapping[str, Any]], phase: Phase | None, name: str) -> Measure:
        name = f"{name}, capacity {phase.capacity}" if phase else name
        inside = [one for one in self.samples if phase and phase.since <= one["at"] < phase.until]
        if not inside:
            return Measure(None, name, source=SAMPLES)
        found = pick(inside, key=lambda one: float(one["limit"]))
        return Measure(found["limit"], name, at=found["at"], source=SAMPLES, samples=len(inside))
