"""What a right answer to exercise 14.1 does, whatever its text looks like.

Two copies of the DAG run at once, since the two systems do not care whose calls they get. What counts is what the
systems had to bear, and that nothing waited while they had room.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Peak, Seen, clock, drawn

# What each system bears, and what a request for each path takes of it.
BEARS = {"warehouse": 4, "partner": 2}
UNITS = {"warehouse": {"query": 1, "report": 2}, "partner": {"call": 1}}


def draw(source: random.Random) -> Load:
    """Some more queries than fit, two reports, some more calls than fit."""
    return Load(
        lanes={
            "warehouse": {"service_time": 1.5, "capacity": None},
            "partner": {"service_time": 1.2, "capacity": None},
        },
        items={
            "queries": [drawn(source, source.randint(5, 7))],
            "reports": [drawn(source, 2)],
            "calls": [drawn(source, source.randint(4, 5))],
        },
        asked={"queries": ("warehouse", "query"), "reports": ("warehouse", "report"), "calls": ("partner", "call")},
        copies=2,
    )


def judge(seen: Seen) -> Iterator[Message]:
    """Neither system gets more than it bears, and each gets all that it bears."""
    for system, limit in BEARS.items():
        peak = seen.peak(system, UNITS[system])
        if peak is None:
            continue
        if peak.value > limit:
            yield _too_much(seen, system, peak)
        elif peak.value < limit:
            yield _too_little(seen, system, peak)


def _too_much(seen: Seen, system: str, peak: Peak) -> Message:
    limit, names = BEARS[system], tuple(UNITS[system])
    said = f"{system}: {peak}; it bears {limit}"
    tasks = [task for name in names if (task := seen.facts.dag.task(name))]
    free = [task.task_id for task in tasks if task.pool == "default_pool"]
    limited = all(task.max_active_tis_per_dag or task.max_active_tis_per_dagrun for task in tasks)
    if free and (limited or seen.facts.dag.max_active_tasks <= limit):
        return Message(
            "limit_of_one_dag",
            f"{said}. Two DAGs ran: each kept to its own limit, which knows nothing of the other's",
            "Which of Airflow's limits is shared by all DAGs?",
        )
    if free:
        return Message("no_pool", f"{said}. Nothing held {', '.join(free)} back", "Which pool is each of them in?")
    light = [task for task in tasks if task.pool_slots < UNITS[system][task.task_id]]
    if light:
        task = light[0]
        units = UNITS[system][task.task_id]
        counted = f"{task.task_id} takes {units} units and counts as {task.pool_slots} slot"
        return Message("too_light", f"{said}. A {counted}", "A task can take more than one slot of its pool.")
    pools = {task.pool for task in tasks}
    if len(pools) > 1:
        return Message(
            "pools_apart",
            f"{said}. Its tasks are in {len(pools)} pools, {', '.join(sorted(pools))}, which do not know of each other",
            "What do a query and a report have in common?",
        )
    slots = {pool.name: pool.slots for pool in seen.facts.pools}
    return Message("pool_too_large", f"{said}. Its pool {tasks[0].pool!r} has {slots[tasks[0].pool]} slots")


def _too_little(seen: Seen, system: str, peak: Peak) -> Message:
    limit, names = BEARS[system], tuple(UNITS[system])
    waited = f"{seen.waiting(peak.at, *names)} of its tasks waited at {clock(peak.at)}"
    said = f"{system}: never more than {peak.value:g} of its {limit} units were in use; {waited}"
    pools = {task.pool for name in names if (task := seen.facts.dag.task(name))}
    others = {
        task.pool
        for name, units in UNITS.items()
        if name != system
        for path in units
        if (task := seen.facts.dag.task(path))
    }
    if pools & others:
        shared = ", ".join(sorted(pools & others))
        return Message(
            "shared_pool",
            f"{said}. The pool {shared!r} serves the other system, too, whose tasks held its slots",
            "What one system bears is no business of the other's.",
        )
    return Message("pool_too_small", said, "A pool that is smaller than what its system bears wastes it.")
