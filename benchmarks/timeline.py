"""Time and memory of the timeline's operations on one million task instances.

    python benchmarks/timeline.py [--instances 1000000] [--passes 5] [--records 100000]

A small model of the scheduler makes the task instances: pools, tasks of one to three slots, ten priority weights, and a
loop that hands out free slots in batches, so that stamps come in ties as Airflow's do. ``priority kept`` takes the
heaviest first, as Airflow does; ``priority ignored`` takes anyone, which is the hard case for counting pairs. Each runs
in a process of its own, so that the peak of memory is its own, and several times over with nothing kept between the
passes. The sweep in plain Python is there for comparison.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import resource
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from backpressure.timeline import Timeline, quantiles

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1_790_000_000.0
POOLS = 8
SLOTS = 64
LOOP = 0.5
WEIGHTS = (1, 2, 3, 5, 8, 10, 25, 50, 75, 100)


def model(instances: int, *, kept: bool) -> dict[str, Any]:
    """Columns of task instances that went through a modelled scheduler.

    Args:
        instances: how many.
        kept: take the heaviest waiting first, not anyone.
    """
    rng = np.random.default_rng(instances)
    pool = rng.integers(0, POOLS, instances)
    slots = rng.choice([1, 1, 1, 2, 3], instances)
    weight = rng.choice(WEIGHTS, instances)
    duration = rng.exponential(5.0, instances) + 0.1
    span = 1.25 * float((slots * duration).sum()) / (POOLS * SLOTS)
    share = np.arange(instances) / instances
    hours = share + 0.25 * np.sin(2 * np.pi * share) / (2 * np.pi)  # more comes in the middle than can be served
    scheduled = np.floor(hours * span / LOOP) * LOOP
    rank = -weight if kept else rng.integers(0, 1000, instances)
    queued = np.empty(instances)
    for number in range(POOLS):
        rows = np.flatnonzero(pool == number)
        queued[rows] = serve(*(column[rows].tolist() for column in (scheduled, duration, slots, rank)))
    start = queued + rng.exponential(0.05, instances) + 0.03
    return {
        "scheduled": EPOCH + scheduled,
        "queued": EPOCH + queued,
        "start": EPOCH + start,
        "end": EPOCH + start + duration,
        "pool": [f"pool_{number}" for number in pool.tolist()],
        "pool_slots": slots,
        "priority_weight": weight,
        "task_id": "work",
        "map_index": np.arange(instances),
    }


def serve(scheduled: list[float], duration: list[float], slots: list[int], rank: list[int]) -> list[float]:
    """When each is queued, in one pool: every loop, the lowest rank first, until one does not fit."""
    queued = [0.0] * len(scheduled)
    waiting: list[tuple[int, int]] = []
    running: list[tuple[float, int]] = []
    free, now, coming = SLOTS, 0.0, 0
    while coming < len(scheduled) or waiting:
        now += LOOP
        while coming < len(scheduled) and scheduled[coming] <= now:
            heapq.heappush(waiting, (rank[coming], coming))
            coming += 1
        while running and running[0][0] <= now:
            free += heapq.heappop(running)[1]
        while waiting and slots[waiting[0][1]] <= free:
            one = heapq.heappop(waiting)[1]
            free -= slots[one]
            heapq.heappush(running, (now + 0.1 + duration[one], slots[one]))
            queued[one] = now + 0.011
    return queued


def measure(instances: int, *, kept: bool, passes: int, report: Any) -> None:
    """Time every operation, in the order in which a lesson would ask, pass by pass, and send the figures."""
    columns = model(instances, kept=kept)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timed = [one_pass(columns) for _ in range(passes)]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report.put(([steps for steps, _ in timed], timed[0][1], before, after))


def one_pass(columns: dict[str, Any]) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Build a timeline and ask everything once: wall and processor seconds of each step, and what was found."""
    steps: dict[str, tuple[float, float]] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        begin, processor = time.perf_counter(), time.process_time()
        result = function()
        steps[name] = (time.perf_counter() - begin, time.process_time() - processor)
        return result

    work = timed("build from arrays", lambda: Timeline.from_arrays(**columns))
    peak = timed("concurrency curve, peak, who overlapped", lambda: work.peak(slots=True))
    pools = timed("slots in use per pool", lambda: work.concurrency_by("pool", "queued", "end", slots=True))
    depth = timed("queue depth curve", work.depth_curve)
    timed(
        "gate, executor wait, wait, duration: median and p95",
        lambda: [quantiles(part, 0.5, 0.95) for part in (work.gate, work.executor_wait, work.wait, work.duration)],
    )
    timed("order of starts", work.order)
    share = timed("utilisation", lambda: work.utilisation(POOLS * SLOTS))
    pairs = timed(
        "overtakes and inversions in each pool",
        lambda: [(part.overtakes().count, part.inversions().count) for part in work.by("pool").values()],
    )
    return steps, {
        "peak slots": peak.value,
        "highest pool": max(curve.peak for curve in pools.values()),
        "deepest queue": depth.peak,
        "utilisation": round(share, 3),
        "overtakes": sum(overtakes for overtakes, _ in pairs),
        "inversions": sum(inversions for _, inversions in pairs),
    }


def plain_sweep(begin: list[float], finish: list[float]) -> int:
    """The peak by sorting events one by one."""
    events = sorted([(when, 1) for when in begin] + [(when, -1) for when in finish])
    now = highest = 0
    for _, change in events:
        now += change
        highest = max(highest, now)
    return highest


def records(count: int) -> list[dict[str, Any]]:
    """Task instances as the REST API gives them."""
    stamps = [
        datetime.fromtimestamp(EPOCH + k / 1000, UTC).isoformat().replace("+00:00", "Z") for k in range(1, count + 4)
    ]
    return [
        {
            "task_id": f"task_{k % 50}",
            "dag_id": "demo",
            "dag_run_id": f"run_{k % 1000}",
            "map_index": k,
            "try_number": 1,
            "state": "success",
            "pool": f"pool_{k % 8}",
            "pool_slots": 1,
            "queue": "default",
            "executor": None,
            "priority_weight": k % 10,
            "hostname": "worker",
            "pid": k,
            "logical_date": None,
            "scheduled_when": stamps[k],
            "queued_when": stamps[k + 1],
            "start_date": stamps[k + 2],
            "end_date": stamps[k + 3],
        }
        for k in range(count)
    ]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--records", type=int, default=100_000)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    for kept in (True, False):
        report = spawn.SimpleQueue()
        settings = {"kept": kept, "passes": options.passes, "report": report}
        child = spawn.Process(target=measure, args=(options.instances,), kwargs=settings)
        child.start()
        passes, seen, before, after = report.get()
        child.join()
        best = min(passes, key=lambda steps: sum(wall for wall, _ in steps.values()))
        print(
            f"\n{options.instances:,} task instances, priority {'kept' if kept else 'ignored'}: best of {len(passes)}"
        )
        for name, (wall, processor) in best.items():
            print(f"  {name:<52}{wall * 1e3:8.0f} ms  processor {processor * 1e3:6.0f} ms")
        totals = [sum(wall for wall, _ in steps.values()) for steps in passes]
        print(f"  {'all of it':<52}{min(totals) * 1e3:8.0f} ms  in the first pass {totals[0] * 1e3:6.0f} ms")
        print(f"  peak memory {after / 1024:.0f} MB (the model alone reached {before / 1024:.0f} MB)")
        print("  " + ", ".join(f"{name} {value:,}" for name, value in seen.items()))
    rng = np.random.default_rng(7)
    begin = rng.random(options.instances) * 1e5
    finish = begin + rng.random(options.instances) * 100
    work = Timeline.from_arrays(start=begin, end=finish)
    clock = time.perf_counter()
    fast = work.concurrency().peak
    ours, clock = time.perf_counter() - clock, time.perf_counter()
    slow = plain_sweep(work.start.tolist(), work.end.tolist())
    plain = time.perf_counter() - clock
    print(f"\nconcurrency against a sweep in plain Python: {plain / ours:.0f} times as fast, same peak {fast == slow}")
    rows = records(options.records)
    clock = time.perf_counter()
    built = Timeline.from_records(rows)
    spent = time.perf_counter() - clock
    pools = Counter(built.pool.tolist())
    print(f"{len(built):,} REST records of {len(pools)} pools to columns: {spent / len(built) * 1e6:.1f} µs each")
    return 0 if fast == slow else 1


if __name__ == "__main__":
    sys.exit(main())
