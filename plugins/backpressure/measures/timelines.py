"""The named measures of a timeline.

Each takes the task instances to measure (a selection says whose peak it is), and has no value where there is too little
to tell: a run without its workload measures nothing. In common they take ``label``, what people call these task
instances (the names of their tasks when left out); ``window``, two instants in seconds since the epoch, of which either
may be None for an open end, and where an empty one measures nothing; and ``now``, the instant at which the records were
read, which closes what is unfinished (left out, it does not count).

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from backpressure.measures.measure import Measure, figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backpressure.timeline import Intervals, Pairs, Stamp, Timeline

__all__ = [
    "busy",
    "count",
    "depth",
    "duration",
    "executor_wait",
    "gate",
    "growth",
    "inversions",
    "makespan",
    "mean_depth",
    "overtakes",
    "peak",
    "queue_order",
    "start_order",
    "start_rate",
    "starts",
    "utilisation",
    "wait",
]

Window = tuple[float | None, float | None]
ALWAYS: Window = (None, None)
_NAMED_TASKS = 3
_NAMED_INSTANCES = 6
_LEAST = 3
_MOST_POINTS = 1000  # evidence is kept as JSON, and a picture has no more columns than that


def peak(
    work: Timeline,
    label: str | None = None,
    *,
    slots: bool = False,
    begin: Stamp = "start",
    finish: Stamp = "end",
    window: Window = ALWAYS,
    now: float | None = None,
) -> Measure:
    """The most that overlapped between two stamps (running, unless others are given), or the most slots they took."""
    between = "" if (begin, finish) == ("start", "end") else f" ({begin} to {finish})"
    name = f"peak {'slots' if slots else 'concurrency'} of {_whose(work, label)}{between}"
    unit = "slots" if slots else ""
    if _empty(window):
        return Measure(None, name, unit)
    found = work.intervals(begin, finish, now=now).within(*window)
    highest = found.peak(slots=slots)
    if highest is None:
        return Measure(None, name, unit)
    named = highest.rows.tolist()
    detail = f"{_listed(work, named)} {'overlapped' if len(named) > 1 else 'ran alone'}"
    curve = found.curve(slots=slots)
    drawn = tuple(zip(curve.times.tolist(), curve.values.tolist(), strict=True)) if len(curve) <= _MOST_POINTS else ()
    return Measure(highest.value, name, unit, highest.at, samples=len(found), detail=detail, curve=drawn)


def depth(work: Timeline, label: str | None = None, *, at: float | None = None, now: float | None = None) -> Measure:
    """How many were waiting (scheduled or queued) at an instant, or at most when none is given."""
    found = work.intervals("scheduled", "start", now=now)
    name = f"{'deepest queue' if at is None else 'queue depth'} of {_whose(work, label)}"
    if not len(found):
        return Measure(None, name)
    curve = found.curve()
    when = curve.peak_at if at is None else at
    if when is None:
        return Measure(0, name, samples=len(found))
    who = _named(work, found.at(when).tolist(), "waited")
    return Measure(int(curve.at([when])[0]), name, at=when, samples=len(found), detail=who)


def mean_depth(
    work: Timeline, window: tuple[float, float], label: str | None = None, *, now: float | None = None
) -> Measure:
    """The time-weighted mean of how many were waiting over a window."""
    found = work.intervals("scheduled", "start", now=now)
    mean = found.curve().mean(*window) if len(found) else None
    return Measure(mean, f"mean queue depth of {_whose(work, label)}", at=window[1], samples=len(found))


def growth(
    work: Timeline, window: tuple[float, float], label: str | None = None, *, now: float | None = None
) -> Measure:
    """How fast the queue grew over a window, in task instances per second: the Theil-Sen slope of its depth."""
    name = f"growth of the queue of {_whose(work, label)}"
    samples = len(work.intervals("scheduled", "start", now=now))
    if not samples or _empty(window):
        return Measure(None, name, "/s", window[1], samples=samples)
    began, ended = work.depth(window, now=now).tolist()
    slope, detail = work.growth(*window, now=now).slope, f"{began} waited at the beginning, {ended} at the end"
    return Measure(slope, name, "/s", window[1], samples=samples, detail=detail)


def gate(
    work: Timeline, statistic: str | float = "median", label: str | None = None, *, least: int | None = None
) -> Measure:
    """The wait in ``scheduled``: for a pool slot, a limit of the DAG, or the scheduler.

    Args:
        work: whose.
        statistic: "median", "mean", "min", "max", "p95" and the like, or a share such as 0.95.
        label: what people call these task instances.
        least: with fewer samples there is no value; 3, or 1 for "min" and "max", when left out.

    Raises:
        ValueError: an unknown statistic.
    """
    return _statistic(work, ("scheduled", "queued", "wait for a slot"), statistic, label, least)


def executor_wait(
    work: Timeline, statistic: str | float = "median", label: str | None = None, *, least: int | None = None
) -> Measure:
    """The wait in ``queued``, for a worker; arguments as in :func:`gate`."""
    return _statistic(work, ("queued", "start", "wait in the executor"), statistic, label, least)


def wait(
    work: Timeline, statistic: str | float = "median", label: str | None = None, *, least: int | None = None
) -> Measure:
    """The wait from scheduled to started; arguments as in :func:`gate`."""
    return _statistic(work, ("scheduled", "start", "wait"), statistic, label, least)


def duration(
    work: Timeline, statistic: str | float = "median", label: str | None = None, *, least: int | None = None
) -> Measure:
    """The time from started to ended; arguments as in :func:`gate`."""
    return _statistic(work, ("start", "end", "duration"), statistic, label, least)


def overtakes(work: Timeline, label: str | None = None, *, now: float | None = None) -> Measure:
    """How many pairs were queued by priority: the heavier scheduled later, yet queued earlier.

    It has no value when not at least two task instances of different weight were queued.
    """
    return _pairs(work, f"overtakes among {_whose(work, label)}", work.overtakes(now=now), "overtook")


def inversions(work: Timeline, label: str | None = None, *, now: float | None = None) -> Measure:
    """How many pairs were queued against priority: the lighter first, while the heavier was waiting too.

    It has no value when not at least two task instances of different weight were queued.
    """
    return _pairs(work, f"inversions among {_whose(work, label)}", work.inversions(now=now), "waited behind")


def makespan(work: Timeline, label: str | None = None, *, begin: Stamp = "start", now: float | None = None) -> Measure:
    """Seconds from the first start (or another stamp) to the last end."""
    found = work.intervals(begin, "end", now=now)
    span = found.span()
    seconds, at = (span[1] - span[0], span[1]) if span else (None, None)
    return Measure(seconds, f"makespan of {_whose(work, label)}", "s", at, samples=len(found))


def busy(
    work: Timeline,
    window: Window = ALWAYS,
    label: str | None = None,
    *,
    now: float | None = None,
) -> Measure:
    """Slot-seconds: running time times ``pool_slots``, summed."""
    found = work.intervals(now=now)
    seconds = found.within(*window).slot_seconds() if len(found) and not _empty(window) else None
    return Measure(seconds, f"slot-seconds of {_whose(work, label)}", "slot-s", _end(window, found), samples=len(found))


def utilisation(
    work: Timeline,
    slots: float,
    window: Window = ALWAYS,
    label: str | None = None,
    *,
    now: float | None = None,
) -> Measure:
    """The share of so many slots that was in use, over a window or from the first start to the last end.

    It has no value without slots.
    """
    found = work.intervals(now=now)
    measurable = len(found) and slots > 0 and not _empty(window)
    share = work.utilisation(slots, *window, now=now) if measurable else None
    name = f"utilisation of {figure(slots)} slots by {_whose(work, label)}"
    return Measure(share, name, at=_end(window, found), samples=len(found))


def start_order(work: Timeline, label: str | None = None) -> Measure:
    """The names of the task instances in the order in which they started."""
    return _order(work, "start", f"start order of {_whose(work, label)}")


def queue_order(work: Timeline, label: str | None = None) -> Measure:
    """The names of the task instances in the order in which they were queued, which is the scheduler's choice."""
    return _order(work, "queued", f"queueing order of {_whose(work, label)}")


def starts(work: Timeline, window: Window = ALWAYS, label: str | None = None) -> Measure:
    """How many started in a window; no value when there are no task instances at all."""
    name = f"starts of {_whose(work, label)}"
    if not len(work) or _empty(window):
        return Measure(None, name)
    found = work.starts(*window)
    rows = [row for row in work.order("start").tolist() if len(found) and found[0] <= work.start[row] <= found[-1]]
    at = found[-1] if len(found) else window[1]
    return Measure(len(found), name, at=at, samples=len(work), detail=_named(work, rows, "started"))


def start_rate(
    work: Timeline,
    window: Window = ALWAYS,
    label: str | None = None,
    *,
    least: int = _LEAST,
) -> Measure:
    """Starts per second in a window, or from the first start to the last; no value with fewer starts than ``least``."""
    name = f"start rate of {_whose(work, label)}"
    if _empty(window):
        return Measure(None, name, "/s")
    found = work.starts(*window)
    rate = work.start_rate(*window) if len(found) >= least else None
    return Measure(rate, name, "/s", found[-1] if len(found) else None, samples=len(found))


def count(work: Timeline, state: str | Sequence[str] | None = None, label: str | None = None) -> Measure:
    """How many task instances there are, or are in a state; no value when there are none at all."""
    found = work.select(state=state) if state is not None else work
    states = [state] if isinstance(state, str) else list(state or ())
    name = f"number of {_whose(work, label)}{' in state ' if states else ''}{' or '.join(states)}"
    span = found.intervals().span() or work.intervals().span()
    others = Counter(one or "without a state" for one in work.state.tolist() if one not in states) if states else {}
    detail = ", ".join(f"{number} {state}" for state, number in others.items())
    value = len(found) if len(work) else None
    return Measure(value, name, at=span[1] if span else None, samples=len(work), detail=detail)


def _statistic(
    work: Timeline, what: tuple[Stamp, Stamp, str], statistic: str | float, label: str | None, least: int | None
) -> Measure:
    begin, finish, word = what
    share = _share(statistic)
    shown = f"p{100 * statistic:g}" if isinstance(statistic, float) else statistic
    name = f"{shown} {word} of {_whose(work, label)}"
    needed = least if least is not None else 1 if share in {0.0, 1.0} else _LEAST
    spread = work.spread(begin, finish, 0.5 if share is None else share)
    if spread is None or spread.samples < needed:
        return Measure(None, name, "s", samples=spread.samples if spread else 0)
    if share is None:
        return Measure(spread.mean, name, "s", samples=spread.samples)
    at = float(getattr(work, finish)[spread.row])
    return Measure(spread.quantile, name, "s", at, samples=spread.samples, detail=work.labelled([spread.row])[0])


def _share(statistic: str | float) -> float | None:
    named = {"median": 0.5, "min": 0.0, "max": 1.0, "mean": None}
    if isinstance(statistic, str):
        if statistic in named:
            return named[statistic]
        if statistic[:1] == "p" and statistic[1:].replace(".", "", 1).isdigit():
            return _share(float(statistic[1:]) / 100)
    elif 0 <= statistic <= 1:
        return float(statistic)
    raise ValueError(f"statistic is {statistic!r}: give 'median', 'mean', 'min', 'max', 'p95' or a share such as 0.95")


def _pairs(work: Timeline, name: str, pairs: Pairs, verb: str) -> Measure:
    if pairs.weights < 2:  # noqa: PLR2004 - a pair takes two weights
        return Measure(None, name, samples=pairs.samples)
    if pairs.heavier is not None and pairs.lighter is not None:
        heavier, lighter = (
            f"{work.labelled([row])[0]} (weight {work.priority_weight[row]})" for row in (pairs.heavier, pairs.lighter)
        )
        return Measure(pairs.count, name, at=pairs.at, samples=pairs.samples, detail=f"{heavier} {verb} {lighter}")
    longest = work.spread("scheduled", "queued", 1.0)
    if longest is None:
        return Measure(pairs.count, name, at=pairs.at, samples=pairs.samples)
    who, at = work.labelled([longest.row])[0], float(work.queued[longest.row])
    detail = f"none {verb} another; the longest wait for a slot was {figure(longest.quantile, 's')}, of {who}"
    return Measure(pairs.count, name, at=at, samples=pairs.samples, detail=detail)


def _order(work: Timeline, stamp: Stamp, name: str) -> Measure:
    rows = work.order(stamp)
    if not len(rows):
        return Measure(None, name)
    return Measure(tuple(work.names(rows)), name, at=float(getattr(work, stamp)[rows[-1]]), samples=len(rows))


def _empty(window: Window) -> bool:
    since, until = window
    return since is not None and until is not None and not since < until


def _end(window: Window, found: Intervals) -> float | None:
    span = found.span()
    return window[1] if window[1] is not None else span[1] if span else None


def _whose(work: Timeline, label: str | None) -> str:
    if label:
        return label
    tasks = [task for task in work.task_id.present() if task]
    if not tasks:
        dags = [dag for dag in work.dag_id.present() if dag]
        return f"runs of {' and '.join(dags)}" if 0 < len(dags) <= _NAMED_TASKS else "task instances"
    return " and ".join(tasks) if len(tasks) <= _NAMED_TASKS else f"{len(tasks)} tasks"


def _named(work: Timeline, rows: Sequence[int], verb: str) -> str:
    return f"{_listed(work, rows) if len(rows) else 'none'} {verb}"


def _listed(work: Timeline, rows: Sequence[int]) -> str:
    names = work.labelled(rows[:_NAMED_INSTANCES])
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
