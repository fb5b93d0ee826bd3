"""Measures of what keeps a scheduler from its work: a stall of its hand-overs, a lock, a slow statement, a slow file.

A DAG file imports this, so it must not import numpy: that comes with the timeline, when a lesson is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Measure, figure

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["lock_holder", "longest_parse", "slowest_statement", "stall", "stalled"]

Rows = Sequence[Mapping[str, Any]]


def stalled(work: Timeline) -> tuple[float, float] | None:
    """From when to when (epoch s) work waited longest without a single task instance being handed over."""
    queued = sorted(work.queued[work.queued > 0].tolist())
    gaps = []
    for before, after in pairwise([float("-inf"), *queued]):
        # Those handed over later: since when did the first of them wait?
        since = max(before, float(work.scheduled[work.queued >= after].min()))
        gaps.append((after - since, since, after))
    longest = max(gaps, default=None)
    return longest[1:] if longest else None


def stall(work: Timeline, label: str) -> Measure:
    """The longest time in which some of them waited and none was handed over."""
    found = stalled(work)
    value, at = (found[1] - found[0], found[0]) if found else (None, None)
    return Measure(value, f"longest time without a hand-over of {label}", "s", at, samples=len(work))


def lock_holder(samples: Rows) -> Measure:
    """The server process that was seen most often with the lock; 0 if none was ever seen, no value without samples."""
    held = Counter(int(sample["pid"]) for sample in samples if sample["pid"])
    pid, times = held.most_common(1)[0] if held else (0, 0)
    at = next((sample["at"] for sample in samples if sample["pid"] == pid and pid), None)
    detail = f"seen with the lock in {times} of {len(samples)} samples" if times else "nobody was seen with the lock"
    return Measure(pid if samples else None, "process with the lock", "", at, "pg_locks", len(samples), detail)


def slowest_statement(statements: Rows, key: str, name: str, work: Timeline, unit: str = "") -> Measure:
    """A figure of the slowest statement of a server's log; 0 if it has none, no value when there was no work."""
    slowest = max(statements, key=lambda one: float(one["seconds"]), default=None)
    value = slowest[key] if slowest else 0
    detail = f"{slowest['role']}@{slowest['database']}: {slowest['text'][:120]}" if slowest else "no slow statement"
    at = slowest["at"] if slowest else None
    return Measure(value if len(work) else None, name, unit, at, "PostgreSQL's log", len(statements), detail)


def longest_parse(files: Rows, name: str) -> Measure:
    """How many times the slowest other file one file's parsing took: above 1 if it is the slowest of all.

    On a busy machine any file may be slow once, so that its own usual time, or the median, is no measure. There is no
    value without the file, nor without another.

    Args:
        files: of each the ``name`` and the ``seconds`` that its last parsing took.
        name: of the file.
    """
    label = f"parsing of {name} by that of the slowest other file"
    mine = [float(one["seconds"]) for one in files if one["name"] == name]
    other = max((one for one in files if one["name"] != name), key=lambda one: float(one["seconds"]), default=None)
    if not mine or other is None:
        return Measure(None, label, source="DAGs over REST", samples=len(files))
    detail = f"it took {figure(mine[0], 's')}, {other['name']} {figure(other['seconds'], 's')}"
    return Measure(mine[0] / other["seconds"], label, source="DAGs over REST", samples=len(files), detail=detail)
