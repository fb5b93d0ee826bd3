"""Measures of who ran what: task instances, and the processes that each says it descends from.

The process table is a witness of its own: Airflow records a task instance's queue, but not which worker ran it. Here a
record is a task instance as Airflow lists it, with the pids of its ancestors as ``result``, and workers are what
``Workers.described`` tells: for each name ``pid``, its main process, and ``queues``, those that it serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from backpressure.measures.measure import Measure

__all__ = ["at_home", "processes_used", "queues_used", "ran_under", "smallest_share", "unserved", "workers_at_work"]

PROCESSES = "process table"
CELERY = "Celery"
Record = Mapping[str, Any]
Workers = Mapping[str, Mapping[str, Any]]


def ran_under(record: Record, workers: Workers) -> str | None:
    """The worker whose main process is an ancestor of the task's; None when it is none of them."""
    return next((name for name, worker in workers.items() if worker["pid"] in record["result"]), None)


def at_home(records: Sequence[Record], workers: Workers, label: str) -> Measure:
    """Which part of the task instances ran under a worker that serves the queue they are in, from 0 to 1."""
    strays = []
    for record in records:
        worker = ran_under(record, workers)
        if worker is None or record["queue"] not in workers[worker]["queues"]:
            strays.append((record, f"{_name(record)} ran under {worker or 'no worker'}"))
    share = 1 - len(strays) / len(records) if records else None
    name = f"{label} run by a worker of their queue"
    at = _last([strays[0][0]] if strays else records)
    return Measure(share, name, "", at, PROCESSES, len(records), strays[0][1] if strays else "")


def processes_used(samples: Sequence[Mapping[str, Any]], workers: Workers) -> Measure:
    """Which part of the busiest worker's processes was in use, on average from its first task to its last.

    Args:
        samples: for each worker's name how many tasks it had, at the instant ``at``.
        workers: as described; of each the ``processes``.
    """
    label = "share of the busiest worker's processes in use"
    totals = {name: sum(sample[name] for sample in samples) for name in workers}
    busiest = max(totals, key=totals.__getitem__, default="")
    at_work = [number for number, sample in enumerate(samples) if sample.get(busiest)]
    if not at_work or not workers[busiest]["processes"]:
        return Measure(None, label, source=CELERY, samples=len(samples))
    seen = samples[at_work[0] : at_work[-1] + 1]
    share = sum(sample[busiest] for sample in seen) / len(seen) / len(workers[busiest]["processes"])
    detail = ", ".join(f"{name} had {total / len(samples):.2f} at a time" for name, total in sorted(totals.items()))
    return Measure(share, label, at=seen[-1]["at"], source=CELERY, samples=len(seen), detail=detail)


def workers_at_work(records: Iterable[Record], workers: Workers, label: str) -> Measure:
    """How many workers ran at least one of the task instances; no value when none ran under a worker."""
    records = list(records)
    counts, name = _counts(records, workers), f"workers that ran {label}"
    return Measure(len(counts) or None, name, "", _last(records), PROCESSES, counts.total(), _told(counts, workers))


def smallest_share(
    records: Iterable[Record],
    workers: Workers,
    label: str,
    *,
    since: float | None = None,
    until: float | None = None,
) -> Measure:
    """The share of the worker that ran fewest of them, or of those that started between two instants.

    It is 0 when one of the workers ran none.
    """
    chosen = [record for record in records if _started(record, since, until)]
    counts = _counts(chosen, workers)
    least = min((counts[name] for name in workers), default=0)
    share = least / counts.total() if counts else None
    name = f"smallest share of {label}"
    return Measure(share, name, "", _last(chosen), PROCESSES, counts.total(), _told(counts, workers))


def queues_used(records: Iterable[Record], label: str) -> Measure:
    """In how many different queues the task instances were; no value when there are none."""
    records = list(records)
    queues = Counter(record["queue"] for record in records)
    detail = ", ".join(f"{number} in {queue}" for queue, number in sorted(queues.items()))
    name = f"queues that {label} was in"
    return Measure(len(queues) or None, name, at=_last(records), samples=len(records), detail=detail)


def unserved(queues: Iterable[str], workers: Workers) -> Measure:
    """How many of the queues no worker serves; no value when the workers serve none at all."""
    served = {queue for worker in workers.values() for queue in worker["queues"]}
    missing = sorted(set(queues) - served)
    detail = f"nobody serves {', '.join(missing)}" if missing and served else ""
    value = len(missing) if served else None
    return Measure(value, "queues without a worker", source=CELERY, samples=len(workers), detail=detail)


def _counts(records: Iterable[Record], workers: Workers) -> Counter[str]:
    return Counter(name for name in (ran_under(record, workers) for record in records) if name)


def _started(record: Record, since: float | None, until: float | None) -> bool:
    at = _begun(record)
    return (since is None or at >= since) and (until is None or at < until)


def _begun(record: Record) -> float:
    return datetime.fromisoformat(record["start_date"]).timestamp()


def _last(records: Iterable[Record]) -> float | None:
    return max((_begun(record) for record in records if record.get("start_date")), default=None)


def _told(counts: Counter[str], workers: Workers) -> str:
    return ", ".join(f"{name} ran {counts[name] or 'none'}" for name in sorted(workers)) if counts else ""


def _name(record: Record) -> str:
    return f"{record['task_id']}[{record['map_index']}]" if record["map_index"] >= 0 else str(record["task_id"])
