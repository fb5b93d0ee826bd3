"""What callers of a circuit breaker saw, and what their upstream's log says to it.

Each caller keeps a :class:`Journal`; :class:`Story` puts those of all callers together. The breaker's own words are
never measured alone: whether a call was let through is told by the upstream's log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from backpressure.breaker.events import CallEnded, CircuitChanged
from backpressure.breaker.last_good import Served
from backpressure.measures.measure import Comparison, Measure
from backpressure.measures.upstream import in_progress

if TYPE_CHECKING:
    from backpressure.events import Event
    from backpressure.request_log import RequestLog

__all__ = ["Journal", "Phase", "Story"]

CALLERS, LOG, BOTH = "callers", "upstream log", "upstream log, callers"
OK = "200"
Record = dict[str, Any]


class Journal:
    """One caller's calls and the changes of state that they made; a listener of the caller's breaker."""

    def __init__(self) -> None:
        self.calls: list[Record] = []
        self.changes: list[Record] = []
        self._probe = False

    def __call__(self, event: Event) -> None:
        """Note a change of state, and whether the call that just ended was a probe."""
        if isinstance(event, CircuitChanged):
            self.changes.append({"at": time.time(), "state": event.after, "reason": event.reason})
        elif isinstance(event, CallEnded):
            self._probe = event.probe

    def call(self, name: str, function: Callable[[str], Any]) -> None:
        """Call ``function(name)``, and note when it was asked for, how long it took, and the answer, if there was one.

        A plain value is a fresh answer; ``LastGood`` says itself whether one is stale. Without an answer the class of
        the exception is the ``error``, which is empty otherwise.
        """
        self._probe = False
        asked, began = time.time(), time.monotonic()
        answer, error = None, ""
        try:
            answer = _answer(function(name))
        except Exception as raised:  # noqa: BLE001 - whatever was raised, the caller has no answer
            error = type(raised).__name__
        told = {"name": name, "asked": asked, "took": time.monotonic() - began, "probe": self._probe}
        self.calls.append(told | {"answer": answer, "error": error})

    def to_dict(self) -> dict[str, list[Record]]:
        """The journal as JSON knows it."""
        return {"calls": self.calls, "changes": self.changes}


class Phase(NamedTuple):
    """The breaker in one state, from the instant at which it was told to the next change; None: the last one."""

    state: str
    since: float
    until: float | None
    ended_in: str | None

    def holds(self, instant: float) -> bool:
        """Whether the instant lies in the phase."""
        return self.since <= instant and (self.until is None or instant < self.until)


@dataclass(frozen=True)
class Story:
    """All callers' calls and changes, each in the order of time, and the upstream's log of the same requests."""

    calls: tuple[Record, ...]
    changes: tuple[Record, ...]
    log: RequestLog

    @classmethod
    def of(cls, journals: Iterable[Mapping[str, list[Record]]], log: RequestLog) -> Story:
        """Put the callers' journals together."""
        told = list(journals)
        calls = sorted((call for one in told for call in one["calls"]), key=lambda call: call["asked"])
        changes = sorted((change for one in told for change in one["changes"]), key=lambda change: change["at"])
        return cls(tuple(calls), tuple(changes), log)

    def phases(self, state: str, ended_in: str | None = None) -> list[Phase]:
        """The phases in a state; with ``ended_in``, those that were followed by that one."""
        ends = [*self.changes[1:], None]
        found = [
            Phase(one["state"], one["at"], None if end is None else end["at"], None if end is None else end["state"])
            for one, end in zip(self.changes, ends, strict=False)
        ]
        return [one for one in found if one.state == state and ended_in in (None, one.ended_in)]

    def at(self, state: str) -> float | None:
        """The instant at which the breaker first came into a state; None if it never did."""
        return next((phase.since for phase in self.phases(state)), None)

    def until(self, state: str, since: float) -> Measure:
        """Seconds from an instant until the breaker first came into a state; below 0 if that was before."""
        at = self.at(state)
        value, seen = (None, since) if at is None else (at - since, at)
        return Measure(value, f"seconds until {state}", "s", seen, CALLERS, len(self.changes), self._unless(state))

    def failed_before(self, state: str, number: int) -> Measure:
        """How many of the last requests that arrived before the breaker first came into a state were not served.

        Args:
            state: the state; if the breaker never came into it, there are none.
            number: how many requests to look at.
        """
        at = self.at(state)
        last = self.log.select(until=at if at is not None else 0.0).last(number)
        value = len(last) - last.count(status=OK) if self._usable else None
        name, detail = f"failures among the last {number} requests before {state}", self._unless(state)
        if detail and self._usable:
            failed = len(self.log) - self.log.count(status=OK)
            detail += f", though {failed} of {len(self.log)} requests failed"
        return Measure(value, name, at=at, source=LOG, samples=len(last), detail=detail)

    def held(self, *limits: tuple[float, int], until: float) -> Comparison:
        """The most requests that the upstream had on its hands at once, against a limit that changes.

        Args:
            limits: instants, and the limit from each on.
            until: the end of the last one.
        """
        ends = [*(since for since, _ in limits[1:]), until]
        windows = [(since, end, limit) for (since, limit), end in zip(limits, ends, strict=True)]
        parts = [
            in_progress(self.log, since, end, "calls on the partner's hands") <= limit for since, end, limit in windows
        ]
        return Comparison(tuple(part for one in parts for part in one.parts))

    def passed(self, state: str) -> Measure:
        """How many calls, probes apart, were asked for and reached the upstream within one phase of such a state.

        A call asked for before the phase may arrive in it, and one asked for in it may be let through after it.
        """
        arrival, phases = self._arrivals(), self.phases(state)
        through = [
            call
            for call in self.calls
            for phase in phases
            if not call["probe"]
            and call["name"] in arrival
            and phase.holds(call["asked"])
            and phase.holds(arrival[call["name"]])
        ]
        value = len(through) if phases and self._usable else None
        at = through[0]["asked"] if through else None
        named = ", ".join(call["name"] for call in through[:3]) or self._unless(state)
        return Measure(value, f"calls that passed while {state}", "", at, BOTH, len(self.calls), named)

    def kept_out(self, state: str, ended_in: str | None = None) -> Measure:
        """How many calls were asked for in such a state and never reached the upstream."""
        arrival, phases = self._arrivals(), self.phases(state, ended_in)
        out = [c for c in self.calls if c["name"] not in arrival and any(p.holds(c["asked"]) for p in phases)]
        value = len(out) if self._usable else None
        at = out[0]["asked"] if out else None
        detail = self._unless(state) or f"{len(self.calls) - len(out)} others were asked for"
        return Measure(value, f"calls kept from the upstream while {state}", "", at, BOTH, len(self.calls), detail)

    def arrived(self, since: float, until: float) -> Measure:
        """How many requests reached the upstream between two instants."""
        value = self.log.count(since=since, until=until) if self._usable else None
        return Measure(value, "requests that reached it meanwhile", "", since, LOG, len(self.log))

    def most_arrivals(self, state: str, ended_in: str) -> Measure:
        """The most requests that arrived within one phase of a state that ended in another."""
        phases = self.phases(state, ended_in)
        counts = [self.log.count(since=phase.since, until=phase.until) for phase in phases]
        highest = max(counts, default=None) if self._usable else None
        at = phases[counts.index(highest)].since if highest is not None else None
        detail = "" if phases else self._unless(state) or f"never {state} before {ended_in}"
        return Measure(highest, f"most requests while once {state}", "", at, LOG, len(self.log), detail)

    def served_since(self, state: str) -> Measure:
        """Which part of the calls asked for since the breaker first came into a state reached the upstream, and well.

        If the breaker never came into it, none did.
        """
        at, ok = self.at(state), set(self.log.select(status=OK).request_id.tolist())
        later = [call for call in self.calls if at is not None and call["asked"] >= at]
        share = sum(call["name"] in ok for call in later) / len(later) if later else None
        value = (0.0 if at is None else share) if self._usable else None
        return Measure(value, f"calls served once {state}", "", at, BOTH, len(later), self._unless(state))

    def answered(self, since: float, until: float) -> Measure:
        """Which part of the calls asked for in a window got an answer, fresh or stale."""
        asked = self._asked(since, until)
        without = [call["name"] for call in asked if call["answer"] is None]
        share = 1 - len(without) / len(asked) if asked else None
        detail = f"{len(without)} of {len(asked)} without, {without[0]} first" if without else ""
        return Measure(share, "calls answered in the outage", "", since, CALLERS, len(asked), detail)

    def stale_values(self, since: float, until: float) -> Measure:
        """The different values that were served as stale in a window, in alphabetical order."""
        stale = [c["answer"] for c in self._asked(since, until) if c["answer"] is not None and c["answer"]["stale"]]
        values = tuple(sorted({str(answer["value"]) for answer in stale}))
        oldest = max((answer["age"] for answer in stale), default=0.0)
        detail = f"up to {oldest:.1f} s old" if stale else "no stale answer was given"
        return Measure(values or None, "values served as stale", "", since, CALLERS, len(stale), detail)

    def took(self, since: float, until: float) -> Measure:
        """The median of the seconds that calls asked for in a window took."""
        asked = self._asked(since, until)
        value = median(call["took"] for call in asked) if asked else None
        return Measure(value, "median time of a call in the outage", "s", since, CALLERS, len(asked))

    def _unless(self, state: str) -> str:
        """Says so if the breaker never came into a state."""
        return f"the breaker was never {state}" if self.at(state) is None else ""

    @property
    def _usable(self) -> bool:
        """Whether there is anything to measure, and nothing of it forgotten."""
        return bool(self.calls) and len(self.log) > 0 and self.log.complete

    def _asked(self, since: float, until: float) -> list[Record]:
        return [call for call in self.calls if since <= call["asked"] < until]

    def _arrivals(self) -> dict[str, float]:
        return dict(zip(self.log.request_id.tolist(), self.log.arrival.tolist(), strict=True))


def _answer(value: Any) -> Record:
    if isinstance(value, Served):
        return {"value": value.value, "stale": value.stale, "age": value.age}
    return {"value": value, "stale": False, "age": 0.0}
