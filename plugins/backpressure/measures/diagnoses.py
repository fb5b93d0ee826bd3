"""Measures of a diagnosis against what was sealed: the fault of each case, and when it came.

What was sealed is a list: of each case its ``case``, its ``fault`` ("none" for none), and the instant ``at`` (epoch s).
What was found is a list as :meth:`backpressure.diagnosis.Diagnosis.to_dict` gives it. There is no value of nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backpressure.diagnosis import verdicts
from backpressure.measures.measure import Measure, figure
from backpressure.measures.samples import share

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["bracketed", "isolated", "joined", "named_in", "placed"]

Rows = Sequence[Mapping[str, Any]]
NONE = "none"
_SLACK = 0.5  # seconds: two clocks' stamps of one moment


def placed(sealed: Rows, found: Rows, where: Mapping[str, str], worth: float) -> Measure:
    """In which part of the cases most time is lost where the fault is; and where there is none, nowhere so much.

    Args:
        sealed: the faults.
        found: the diagnoses.
        where: for each fault the component in which it costs time.
        worth: seconds that a task loses somewhere if there is a fault.
    """
    cases, told = _by_case(found), []
    for one in sealed:
        mine = cases[one["case"]]
        right = mine["lost"] < worth if one["fault"] == NONE else mine["component"] == where[one["fault"]]
        told.append((right, f"{_named(one)} loses most in {mine['component']}: {figure(mine['lost'], 's')}"))
    return _share(told, "cases in which time is lost at the fault's place", "task instances, task logs")


def joined(requests: Iterable[str], named: Collection[str]) -> Measure:
    """Which part of the requests in a server's log is named by a task's log, too."""
    known = set(named)
    return share((one in known for one in requests), "the partner's requests that a task's log names", "upstream log")


def bracketed(sealed: Rows, found: Rows) -> Measure:
    """Which part of the faults came between the last sign that all was well and the first sign of their cause."""
    cases, told = _by_case(found), []
    for one in _ill(sealed):
        well, ill = cases[one["case"]]["well"], cases[one["case"]]["ill"]
        if ill is None:
            told.append((False, f"{_named(one)}: no sign found"))
        else:
            between = f"{figure(well - one['at'], 's')} to {figure(ill - one['at'], 's')}"
            right = well - _SLACK <= one["at"] <= ill + _SLACK
            told.append((right, f"{_named(one)}: {between} after it"))
    return _share(told, "faults between the last sign of health and the first of the cause", "records")


def isolated(sealed: Rows, tried: Rows, work: Timeline, worth: float, passing: Collection[str] = ()) -> Measure:
    """In which part of the faulty cases a task that goes round the suspect is through sooner than another.

    Args:
        sealed: the faults.
        tried: of each task its ``run``, its ``case``, and whether it goes ``round`` the suspect, or something else.
        work: the task instances.
        worth: seconds by which it must be sooner.
        passing: faults that may be over by then: there is nothing to compare, and their cases are left out.
    """
    took = {run: float(mine.end[0] - mine.scheduled[0]) for run, mine in work.by("run_id").items()}
    pairs: dict[str, dict[bool, float]] = {}
    for one in tried:
        if one["run"] in took:
            pairs.setdefault(one["case"], {})[one["round"]] = took[one["run"]]
    told = []
    for one in (ill for ill in _ill(sealed) if ill["fault"] not in passing):
        mine = pairs.get(one["case"], {})
        right = mine.keys() >= {True, False} and mine[False] - mine[True] >= worth
        seconds = ", ".join(figure(took, "s") for took in mine.values()) or "nothing to go round"
        told.append((right, f"{_named(one)}: {seconds}"))
    return _share(told, "faults that a way round them avoids, and another does not", "task instances")


def named_in(sealed: Rows, text: str) -> Measure:
    """In which part of the cases a report names the fault, and none where there is none."""
    named, told = verdicts(text), []
    for one in sealed:
        word = named.get(one["case"], "nothing")
        right = word == one["fault"]
        told.append((right, f"{one['case']}: {word}" + ("" if right else f" instead of {one['fault']}")))
    return _share(told, "cases whose fault the report names", "the report")


def _by_case(found: Rows) -> dict[str, Mapping[str, Any]]:
    return {str(one["case"]): one for one in found}


def _ill(sealed: Rows) -> list[Mapping[str, Any]]:
    return [one for one in sealed if one["fault"] != NONE]


def _named(one: Mapping[str, Any]) -> str:
    return f"{one['case']} ({one['fault']})"


def _share(told: Sequence[tuple[bool, str]], label: str, source: str) -> Measure:
    """The share of what is right; the detail tells what is wrong, or, if nothing is, all."""
    wrong = [text for right, text in told if not right]
    detail = "; ".join(wrong or [text for _, text in told])
    return replace(share((right for right, _ in told), label, source), detail=detail)
