"""What a right answer to exercise 106.1 does, whatever its text looks like.

Each run has one parcel, which is taken and then put away. What counts is how many lay between the two, by the logs of
ramp and store, and how many tasks had a slot at once, from the instant at which the scheduler queued them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
from backpressure.timeline.curve import sweep

from backpressure_lab.exercises.facts import TaskFacts
from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

SLOTS, WAITING = 2, 4  # tasks at the desk at once; parcels that may lie there
TASKS = ("take", "put")
_ALL_RUNS, _ALL_TASKS = 16, 16  # what Airflow allows who says nothing
_NAMED = 5
_NEXT = 1e-6  # curves step at whole microseconds


def draw(source: random.Random) -> Load:
    """So many parcels that more would lie at the desk than may, if it is left to itself."""
    parcels = [[number] for number in drawn(source, source.randint(8, 9))]
    return Load(
        lanes={"ramp": {"service_time": 0.2, "capacity": None}, "store": {"service_time": 2.0, "capacity": None}},
        items={"parcel": parcels},
        asked={"parcel": ("ramp", "take")},
        runs=len(parcels),
    )


def judge(seen: Seen) -> Iterator[Message]:
    """Both slots are used and no more, few parcels lie between take and put, and all end up in the store."""
    facts = [facts for name in TASKS if (facts := seen.facts.dag.task(name))]
    desk = list(_desk(seen, facts))
    yield from desk or _lying(seen, facts)
    yield from _stored(seen)


def _lying(seen: Seen, facts: Sequence[TaskFacts]) -> Iterator[Message]:
    """What was taken and not yet put away."""
    taken, put = _instants(seen, "ramp", "take"), _instants(seen, "store", "put")
    spans = [(number, since, put.get(number, seen.now)) for number, since in taken.items()]
    spans = [span for span in spans if span[1] < span[2]]
    if not spans:
        return
    numbers, begin, end = (np.array(column) for column in zip(*spans, strict=True))
    curve = sweep(begin, end)
    if curve.peak_at is None or curve.peak <= WAITING:
        return
    at = curve.peak_at + _NEXT
    there = [str(number) for number in numbers[(begin <= at) & (at < end)]]
    more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
    said = (
        f"{len(there)} parcels lay there at {clock(at)}, taken and not yet put away, of {WAITING} that may: "
        f"{', '.join(there[:_NAMED])}{more}. {seen.waiting(at, 'put')} of their puts waited for a slot"
    )
    yield _why(seen, said, facts)


def _instants(seen: Seen, lane: str, path: str) -> dict[int, float]:
    """The number of each request that was made, and when: take's end, put's beginning."""
    log = seen.logs[lane].select(path=path)
    at = log.finish if path == "take" else log.arrival
    named = zip(log.request_id.tolist(), at.tolist(), strict=True)
    return {int(name.removeprefix(f"{path} ")): when for name, when in named if name.removeprefix(f"{path} ").isdigit()}


def _why(seen: Seen, said: str, facts: Sequence[TaskFacts]) -> Message:
    """What the file has tried against it."""
    pools = sorted({task.pool for task in facts})
    if len(pools) > 1:
        return _apart(said, pools)
    weights = ", ".join(f"{_weight(seen, task.task_id)} for {task.task_id}" for task in facts)
    said = f"{said}, while takes got theirs: the scheduler's weights were {weights}"
    by_name = {task.task_id: task.priority_weight for task in facts}
    if by_name.get("take", 1) > by_name.get("put", 1):
        return Message("upside_down", said, "What goes first here makes work for what goes last.")
    limited = [task.task_id for task in facts if task.max_active_tis_per_dag or task.max_active_tis_per_dagrun]
    if limited:
        text = f"{said}. A limit of its own, as {', '.join(limited)} has, lets the other task go on"
        return Message("limit_of_one_task", text, "What should stop while puts wait?")
    if seen.facts.dag.max_active_tasks < _ALL_TASKS:
        limit = f"max_active_tasks={seen.facts.dag.max_active_tasks}"
        text = f"{said}. {limit} counts the tasks of one run, which has one at a time"
        return Message("limit_of_one_run", text, "Which limit counts runs?")
    return Message("backlog_grows", said, "Who gets a slot that becomes free, and why?")


def _apart(said: str, pools: Sequence[str]) -> Message:
    text = f"{said}. The two tasks are in {len(pools)} pools, {', '.join(pools)}, which do not know of each other"
    return Message("pools_apart", text, "Whose slots must a take do without, so that it waits for the puts?")


def _weight(seen: Seen, task: str) -> int:
    return max((int(one["priority_weight"]) for one in seen.records if one["task_id"] == task), default=0)


def _desk(seen: Seen, facts: Sequence[TaskFacts]) -> Iterator[Message]:
    """How many of the tasks had a slot at once."""
    work = seen.work.select(task_id=TASKS)
    peak = work.intervals("queued", "end", now=seen.now).peak()
    if peak is None:
        return
    names = ", ".join(
        _named(seen, work.task_id[[row]].tolist()[0], work.run_id[[row]].tolist()[0]) for row in peak.rows
    )
    at = clock(peak.at)
    if peak.value > SLOTS:
        said = f"{peak.value} tasks had a slot at {at}, and there is room for {SLOTS}: {names}"
        pools = sorted({task.pool for task in facts})
        if len(pools) > 1:
            yield _apart(said, pools)
        else:
            yield Message("desk_enlarged", said, "A backlog that there is no room for is still one.")
    elif peak.value < SLOTS:
        runs = seen.facts.dag.max_active_runs
        limit = f". The DAG allows {runs} active run" if runs < _ALL_RUNS else ""
        said = f"never more than {peak.value} task had a slot, as at {at}: {names}. There is room for {SLOTS}{limit}"
        yield Message("one_at_a_time", said, "No backlog, and half the work: how few is enough?")


def _named(seen: Seen, task: str, run_id: str) -> str:
    (number,) = seen.load.items["parcel"][int(run_id.rpartition("-")[2])]
    return f"{task} of {number}"


def _stored(seen: Seen) -> Iterator[Message]:
    """All parcels are in the store, once: what was taken is asked for by every exercise, what was put away here."""
    if not seen.over or seen.errors:
        return
    wanted = [number for (number,) in seen.load.items["parcel"]]
    got = seen.logs["store"].select(path="put").request_id.tolist()
    wrong = [str(number) for number in wanted if got.count(f"put {number}") != 1]
    if wrong:
        text = f"{len(wrong)} of {len(wanted)} parcels were not put into the store once: {', '.join(wrong[:_NAMED])}"
        yield Message("work_missing", text, "The tasks' own work must stay as it is.")
