"""Measures of a load test: what its steps were and met, what a meter counted, and whether rounds and runs agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from backpressure.measures.measure import Measure, figure

if TYPE_CHECKING:
    from backpressure.request_log import RequestLog

__all__ = ["bracketed", "change", "counted", "most_used", "off_plan", "refusals", "spread", "took"]

Step = Mapping[str, Any]
"""One rate that was offered, as ``backpressure.load.Step`` tells it: rate, began, ended, refused, error and p95."""


class _Series(Protocol):
    @property
    def increase(self) -> float: ...
    @property
    def complete(self) -> bool: ...


class _Metrics(Protocol):
    def matching(self, pattern: str, since: float | None = None, until: float | None = None) -> Sequence[_Series]: ...


def off_plan(log: RequestLog, steps: Sequence[Step], seconds: float) -> Measure:
    """How far the arrivals of some steps are off the plan, as a share of it: those of the step that is furthest off.

    Args:
        log: the upstream's; where it is empty, or requests are missing from it, there is no value.
        steps: the steps.
        seconds: the length of each.
    """
    name, source = "arrivals off the plan, as a share of it", "upstream log"
    came = [(log.count(since=one["began"], until=one["ended"]), one["rate"] * seconds, one) for one in steps]
    if not came or not len(log) or not log.complete:
        return Measure(None, name, source=source)
    number, planned, step = max(came, key=lambda one: abs(one[0] / one[1] - 1))
    detail = f"at {figure(step['rate'])} a second {number} of {figure(planned)} calls came"
    return Measure(abs(number / planned - 1), name, at=step["began"], source=source, samples=len(log), detail=detail)


def bracketed(room: float, good: Sequence[Step], last: Step) -> Measure:
    """What there is room for, in calls a second, at the instant and with the words of the step that ended the test."""
    broke = f"at {figure(last['rate'])} a second {_refused(last)}"
    held = f"{figure(good[-1]['rate'])} a second held" if good[-1] is not last else "no rate broke it"
    return Measure(
        room, "room, in calls a second", at=last["began"], source="settings", samples=1, detail=f"{held}; {broke}"
    )


def most_used(used: Mapping[str, float], last: Step) -> tuple[Measure, Measure]:
    """What was used most in the last step, of several that may be used up, and how much of it; and its name."""
    source, named = "upstream log, database", max(used, key=lambda one: used[one])
    detail = ", ".join(f"{one} {figure(share)}" for one, share in used.items())
    detail += f" at {figure(last['rate'])} a second; {_refused(last)}"
    told: dict[str, Any] = {"at": last["began"], "source": source, "samples": 1, "detail": detail}
    return Measure(used[named], f"use of {named}, the most used", **told), Measure(named, "bottleneck", **told)


def refusals(step: Step, label: str) -> Measure:
    """Which part of the calls of a step was refused."""
    detail = f"at {figure(step['rate'])} a second {_refused(step)}"
    return Measure(step["refused"], f"refused, {label}", at=step["began"], source="calls", samples=1, detail=detail)


def took(step: Step, label: str) -> Measure:
    """Seconds within which 95 % of a step's calls had their answer; no value where all were refused."""
    detail = f"at {figure(step['rate'])} a second"
    return Measure(step["p95"], f"p95 {label}", "s", step["began"], "calls", int(step["p95"] is not None), detail)


def counted(metrics: _Metrics, counter: str, since: float) -> Measure:
    """By how much a StatsD counter rose since an instant; no value if it was not received, or points were forgotten."""
    found = metrics.matching(counter, since)
    known = bool(found) and all(one.complete for one in found)
    value = round(sum(one.increase for one in found)) if known else None
    return Measure(value or None, "starts counted", source="StatsD", samples=len(found))


def spread(figures: Sequence[float], name: str, source: str) -> Measure:
    """The highest of some figures less the lowest; no value with fewer than two."""
    value = max(figures) - min(figures) if len(figures) > 1 else None
    return Measure(value, name, source=source, samples=len(figures))


def change(figures: Sequence[float], kept: Sequence[float] | None, name: str, source: str) -> Measure:
    """How far the mean of some figures is from a figure that was kept before; no value without both."""
    value = abs(sum(figures) / len(figures) - kept[0]) if figures and kept else None
    return Measure(value, name, source=source, samples=len(figures))


def _refused(step: Step) -> str:
    """What became of the calls of a step, in words."""
    share = f"{100 * step['refused']:.0f} % were refused"
    return f"{share}, most by {step['error']}" if step["error"] else "none was refused"
