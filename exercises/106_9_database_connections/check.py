"""What a right answer to exercise 106.9 does, whatever its text looks like.

Two copies of the DAG run at once. Counted are connections: what the database refused, and what the tasks that held
a slot at the same time could have asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from backpressure.timeline.curve import sweep

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Peak, Seen, clock, drawn

GRANTED, RESERVED = 8, 2
OURS = GRANTED - RESERVED
CONNECTIONS = {"query": 1, "load": 3}


def draw(source: random.Random) -> Load:
    """More queries than there are connections, and two loads, twice."""
    return Load(
        lanes={"database": {"service_time": 2.0, "capacity": GRANTED, "queue_limit": 0}},
        items={"queries": [drawn(source, source.randint(6, 7))], "loads": [drawn(source, 2)]},
        asked={},  # what was refused may be asked for again: the judge counts what was answered
        copies=2,
    )


def judge(seen: Seen) -> Iterator[Message]:
    """No connection is refused, two are always left, and the others are used."""
    held = _held(seen)
    log = seen.logs["database"]
    refused = int((log.status == "503").sum())
    if held is None:
        return
    if refused or held.value > OURS:
        yield _too_many(seen, held, refused)
    elif held.value < OURS:
        waited = f"{seen.waiting(held.at, *CONNECTIONS)} tasks waited"
        text = f"never more than {held.value:g} of {OURS} connections could be opened, as at {clock(held.at)}: {waited}"
        yield Message("unused", text, "A connection that nobody may use is a waste.")
    missing = [name for name in _wanted(seen) if name not in set(log.select(status=200).request_id.tolist())]
    if missing and seen.over and not seen.errors and not refused:
        yield Message("work_missing", f"{', '.join(missing[:3])} never came", "The task's own work must stay as it is.")


def _held(seen: Seen) -> Peak | None:
    """The most connections that tasks could have open by the slots that they held, and who held them."""
    work = seen.work.select(task_id=list(CONNECTIONS))
    known = ~np.isnan(work.queued)
    if not known.any():
        return None
    units = sum(work.task_id.isin([name]) * number for name, number in CONNECTIONS.items())
    finish = np.where(np.isnan(work.end), seen.now, work.end)
    curve = sweep(work.queued[known], finish[known], units[known])
    at = curve.peak_at or seen.now
    return Peak(curve.peak, at, seen.running(at, *CONNECTIONS))


def _too_many(seen: Seen, held: Peak, refused: int) -> Message:
    log = seen.logs["database"]
    said = f"tasks for {held.value:g} connections were let in at {clock(held.at)}; {GRANTED} are granted, {OURS} to you"
    if refused:
        first = clock(float(log.arrival[log.status == "503"][0]))
        said += f". The database refused {refused} of {len(log)}, the first at {first}"
    tasks = {name: task for name in CONNECTIONS if (task := seen.facts.dag.task(name))}
    free = [name for name, task in tasks.items() if task.pool == "default_pool"]
    limits = all(task.max_active_tis_per_dag or task.max_active_tis_per_dagrun for task in tasks.values())
    if free and (limits or seen.facts.dag.max_active_tasks <= OURS):
        text = f"{said}. Two DAGs ran, and each kept to its own limit"
        return Message("limit_of_one_dag", text, "Which of Airflow's limits is shared by all DAGs?")
    if free and set(_wanted(seen)) <= set(log.select(status=200).request_id.tolist()):
        text = f"{said}. What was refused was asked for again"
        return Message("refused_and_repeated", text, "Others are refused meanwhile, too.")
    if free:
        return Message("no_pool", f"{said}. Nothing held {', '.join(free)} back", "Which pool is each of them in?")
    pools = {task.pool for task in tasks.values()}
    if len(pools) > 1:
        text = f"{said}. The pools {', '.join(sorted(pools))} do not know of each other"
        return Message("pools_apart", text, "Together they must not be larger than what you may use.")
    query, load = tasks["query"], tasks["load"]
    if load.pool_slots < CONNECTIONS["load"] * query.pool_slots:
        text = f"{said}. A load opens {CONNECTIONS['load']} connections and takes {load.pool_slots} of the pool's slots"
        return Message("tasks_counted", text, "What does the pool count, and what does the database count?")
    slots = {pool.name: pool.slots for pool in seen.facts.pools}[load.pool]
    text = f"{said}. The pool {load.pool!r} has {slots} slots"
    return Message("no_reserve", text, f"{RESERVED} connections are for whoever has to look what is wrong.")


def _wanted(seen: Seen) -> list[str]:
    names = {"query": "queries", "load": "loads"}
    return [f"{task} {number}" for task, param in names.items() for number in seen.load.items[param][0]]
