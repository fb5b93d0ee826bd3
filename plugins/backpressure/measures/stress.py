"""What a stress test found: how work and time grow with the number of sessions, what broke, and how it came back.

Steps are dicts as :func:`step` makes them, so that a task can return them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure, figure
from backpressure.measures.samples import most, share

if TYPE_CHECKING:
    from backpressure.load import Call
    from backpressure.request_log import RequestLog

__all__ = ["Stress", "knee_of", "limit_of", "step"]

CALLERS, SERVER = "callers", "pg_stat_activity"
_WORTH = 0.5  # of what more sessions could do, what they must do for the knee to be further up
Step = Mapping[str, Any]


def step(number: int, calls: Sequence[Call]) -> dict[str, Any]:
    """What came of so many sessions: calls done a second, their median time, and how many were refused."""
    took = [one.ended - one.began for one in calls if not one.error]
    errors = sorted(one.error for one in calls if one.error)
    began, ended = min(one.began for one in calls), max(one.ended for one in calls)
    return {
        "number": number,
        "began": began,
        "ended": ended,
        "rate": len(took) / (ended - began) if ended > began else 0.0,
        "p50": median(took) if took else None,
        "refused": len(errors),
        "error": max(errors, key=errors.count, default="none"),
    }


def limit_of(ramp: Sequence[Step]) -> int:
    """The most sessions of which none was refused; 0 if some were at every step."""
    return max((int(one["number"]) for one in ramp if not one["refused"]), default=0)


def knee_of(ramp: Sequence[Step]) -> int:
    """The sessions up to which more of them do more: each step did at least half of what it could have added."""
    knee = int(ramp[0]["number"]) if ramp else 0
    for before, after in pairwise(ramp):
        if after["refused"] or _gain(before, after) < _WORTH:
            break
        knee = int(after["number"])
    return knee


@dataclass(frozen=True)
class Stress:
    """A stress test.

    Attributes:
        steps: ``ramp``, the steps in their order, and the later steps by their names; empty if there was no test.
        samples: the server's sessions, each sample with ``at`` and ``total``.
        log: the partner's requests.
    """

    steps: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]
    log: RequestLog

    @property
    def ramp(self) -> Sequence[Step]:
        """The steps of the ramp."""
        return tuple(self.steps.get("ramp", ()))

    def rising(self) -> Measure:
        """Which part of the steps had more sessions at the server than the one before; no value with fewer than two."""
        seen = [self._seen(one) for one in self.ramp]
        return share((after > before for before, after in pairwise(seen)), "steps with more sessions", SERVER)

    def failing(self) -> Measure:
        """At how many steps of the ramp sessions were refused."""
        bad = [one for one in self.ramp if one["refused"]]
        value = len(bad) if self.ramp else None
        return self._measure(value, "steps that failed", bad[0] if bad else None)

    def most_sessions(self) -> Measure:
        """The most sessions that the server had at once."""
        return most(self.samples, "total", "sessions at once, at most", SERVER)

    def error(self) -> Measure:
        """With what the last step of the ramp refused sessions; "none" if it refused none."""
        return self._figure(self._last, "error", "refused with")

    def busy(self, name: str) -> Measure:
        """How many calls the partner served at once, on average over a step."""
        one, label = self.steps.get(name), f"calls in service at the {name}"
        if not one or not len(self.log):
            return Measure(None, label, source="upstream log")
        whole = one["ended"] - one["began"]
        since, until = one["began"] + 0.2 * whole, one["began"] + 0.8 * whole
        return Measure(self.log.inflight("start").mean(since, until), label, "", since, "upstream log", len(self.log))

    def slowdown(self, name: str) -> Measure:
        """How much longer a call took at a step than at the first one."""
        one, first = self.steps.get(name), self.ramp[0] if self.ramp else None
        known = one and first and one["p50"] and first["p50"]
        value = one["p50"] / first["p50"] if known and one and first else None
        return self._measure(value, f"time of a call {_when(name)}, to that at first", one)

    def refused(self, name: str) -> Measure:
        """How many calls or sessions were refused at a step."""
        return self._figure(self.steps.get(name), "refused", f"refused {_when(name)}")

    def refused_before_drop(self) -> Measure:
        """How many sessions the last step of the ramp refused."""
        return self._figure(self._last, "refused", "refused before the drop")

    def sessions(self, name: str) -> Measure:
        """With how many sessions a later step ran."""
        return self._figure(self.steps.get(name), "number", f"sessions {_when(name)}")

    def beyond(self) -> Measure:
        """How many clean steps were tried beyond the knee."""
        return self._measure(len(self._beyond) if self.ramp else None, "steps beyond the knee")

    def gain_beyond(self) -> Measure:
        """Of what the sessions beyond the knee could have added, what they did, at most; no value without any."""
        clean = [one for one in self.ramp if not one["refused"]]
        gains = [_gain(one, other) for one, other in pairwise(clean) if other in self._beyond]
        return self._measure(max(gains, default=None), "gain beyond the knee")

    def picture(self, title: str, allowed: int, capacity: int) -> str:
        """The test as an SVG: the server's sessions, the partner's calls, and what a call took at each step."""
        from backpressure.dashboard import Panel, draw  # noqa: PLC0415 - not while a DAG file is parsed

        if not self.ramp:
            return ""
        later = [one for name, one in self.steps.items() if name != "ramp"]
        steps = sorted([*self.ramp, *later], key=lambda one: float(one["began"]))
        serving = self.log.inflight("start")
        instants = [steps[0]["began"] + 0.2 * n for n in range(int((steps[-1]["ended"] - steps[0]["began"]) / 0.2))]
        panels = [
            Panel("Sessions at the server", [(one["at"], one["total"]) for one in self.samples], limit=allowed),
            Panel("Calls in service", [(at, serving.mean(at, at + 0.2)) for at in instants], limit=capacity),
            Panel("Median time of a call", [(one["began"], one["p50"] or 0.0) for one in steps], "s"),
            Panel("Sessions refused", [(one["began"], one["refused"]) for one in steps]),
        ]
        return draw(panels, title=title)

    def document(self) -> str:
        """The limits as a page for people."""
        head = ["# Limits found", "", "| Sessions | Calls a second | Median | Refused |", "|---|---|---|---|"]
        rows = [
            f"| {one['number']} | {figure(one['rate'])} | {figure(one['p50'], 's')} | {one['refused']} {one['error']} |"
            for one in self.ramp
        ]
        knee, limit = knee_of(self.ramp), limit_of(self.ramp)
        sure = "" if len(self._beyond) else " or more: the ramp did not get there"
        return "\n".join([*head, *rows, "", f"Knee: {knee} sessions{sure}.", f"Limit: {limit} sessions.", ""])

    @property
    def _last(self) -> Step | None:
        return self.ramp[-1] if self.ramp else None

    def _figure(self, one: Step | None, key: str, label: str) -> Measure:
        return self._measure(one[key] if one else None, label, one)

    def _measure(self, value: float | str | None, label: str, one: Step | None = None) -> Measure:
        return Measure(value, label, "", one["began"] if one else None, CALLERS, len(self.ramp))

    @property
    def _beyond(self) -> list[Step]:
        knee = knee_of(self.ramp)
        return [one for one in self.ramp if one["number"] > knee and not one["refused"]]

    def _seen(self, one: Step) -> float:
        """The most sessions that the server had during a step."""
        inside = [sample["total"] for sample in self.samples if one["began"] <= sample["at"] <= one["ended"]]
        return float(max(inside, default=0))


def _when(name: str) -> str:
    return "after the drop" if name == "after" else f"at the {name}"


def _gain(before: Step, after: Step) -> float:
    """Of what a step's additional sessions could have added to the rate, the part that they did."""
    could = after["number"] / before["number"] - 1
    return float((after["rate"] / before["rate"] - 1) / could) if could > 0 and before["rate"] else 0.0
