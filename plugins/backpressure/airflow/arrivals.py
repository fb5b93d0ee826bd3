"""Work that comes as runs of helper DAGs: at given moments, and what is left of it dropped in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from backpressure.airflow.run import Run

__all__ = ["arrive", "arrive_while_open", "came", "drop", "play"]

Arrival = tuple[float, str, str, dict[str, Any]]


def arrive(run: Run, arrivals: Iterable[Arrival]) -> float:
    """Trigger helper runs, each given as (seconds from now, helper, label, conf), in this order; returns the beginning.

    What is late because something stalled comes at once: the load does not wait for the system that it is meant for.
    """
    began = time.time()
    for after, helper, label, conf in arrivals:
        time.sleep(max(0.0, began + after - time.time()))
        run.trigger(helper, label, **conf)
    return began


def play(run: Run, label: str, demand: Iterable[tuple[float, str, int]], began: float | None = None) -> float:
    """Let runs of helper DAGs come in bunches, as the demand says; returns the beginning (epoch s).

    They are made before it, and wait for their ``run_after``: however busy the API is, a bunch comes together.

    Args:
        run: the lesson's.
        label: what the labels of these runs begin with.
        demand: of each bunch the second after the beginning, the helper DAG, and how many runs.
        began: the beginning; as soon as the runs can be made when left out.
    """
    began = time.time() + _AHEAD if began is None else began
    for number, (after, helper, count) in enumerate(demand):
        run.trigger_spaced(helper, f"{label}{number}", count, every=0.0, delay=began + after - time.time())
    return began


def came(run: Run, *helpers: str, label: str = "") -> list[float]:
    """When runs of helper DAGs were due (their ``run_after``, epoch s), in the order of time.

    That is the demand as it came; whether the scheduler was late for it is another matter.
    """
    runs = [one for helper in helpers for one in run.helper_runs(helper, label)]
    return sorted(datetime.fromisoformat(one["run_after"]).timestamp() for one in runs)


def arrive_while_open(
    run: Run, helper: str, valve: str, *, every: float, until: Callable[[], Any], seconds: float
) -> int:
    """Trigger a helper run now and then while a pool has slots, until something is so; returns how many there were.

    The pool is a valve: it holds nothing, but whoever closes it (``slots=0``) stops what would come, but for one that
    is on its way. Each is due at an instant of its own, ``every`` seconds after the one before, whatever the calls
    take; of several that are overdue only one comes, since a stall of the API is no rush of customers.
    """
    began, turn, number = time.time(), 0, 0
    while not until() and time.time() < began + seconds:
        turn = max(turn, int((time.time() - began) / every)) + 1
        if run.pool(valve).slots:
            run.trigger(helper, f"arrival-{number}")
            number += 1
        time.sleep(max(0.0, began + turn * every - time.time()))
    return number


def drop(run: Run, *helpers: str) -> int:
    """End the helper runs that are not over, with what waits or runs in them; returns how many there were."""
    left = [(helper, one) for helper in helpers for one in run.helper_runs(helper) if one["state"] in _UNFINISHED]
    for helper, one in left:
        run.api.set_run_state(helper, one["dag_run_id"], "failed")
    return len(left)


_UNFINISHED = ("queued", "running")
_AHEAD = 1.5  # s that it takes to make some runs
