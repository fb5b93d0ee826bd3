"""What was seen of a check's runs, as a page in Markdown: the records that a learner can look for causes in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from backpressure.request_log import RequestLog

from backpressure_lab.exercises.seen import Seen, clock

_RUN = ("run", "state", "created", "began", "ended")
_TASK = ("run", "task", "state", "tries", "pool", "slots", "weight", "scheduled", "queued", "started", "ended")
_CALL = ("arrived", "answered", "seconds", "path", "request", "status")


def page(seen: Seen, title: str) -> str:
    """Runs, pools, task instances as Airflow has them (the last try of each), and each upstream's own log."""
    parts = [f"# What was seen: {title}", "All times are UTC. A dash is for what has not happened."]
    parts += ["## Runs", _table(_RUN, map(_run, seen.runs))]
    parts += ["## Pools", _table(("pool", "slots"), ([name, str(slots)] for name, slots in seen.pools.items()))]
    parts += ["## Task instances", _table(_TASK, map(_task, sorted(seen.records, key=_by_schedule)))]
    for lane, log in seen.logs.items():
        parts += [f"## What the {lane} logged", _table(_CALL, _calls(log))]
    return "\n\n".join(parts) + "\n"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *rows))


def _run(run: Mapping[str, Any]) -> list[str]:
    stamps = (run.get(name) for name in ("queued_at", "start_date", "end_date"))
    return [str(run["dag_run_id"]), str(run["state"]), *map(_stamp, stamps)]


def _task(record: Mapping[str, Any]) -> list[str]:
    mapped = f"[{record['map_index']}]" if record["map_index"] >= 0 else ""
    texts = (record["state"], record["try_number"], record["pool"], record["pool_slots"], record["priority_weight"])
    stamps = (record.get(name) for name in ("scheduled_when", "queued_when", "start_date", "end_date"))
    return [record["dag_run_id"], f"{record['task_id']}{mapped}", *map(str, texts), *map(_stamp, stamps)]


def _by_schedule(record: Mapping[str, Any]) -> tuple[str, int]:
    return str(record.get("scheduled_when") or "~"), int(record["map_index"])


def _calls(log: RequestLog) -> Iterator[list[str]]:
    for row in range(len(log)):
        arrival, finish = float(log.arrival[row]), float(log.finish[row])
        took = "-" if math.isnan(finish) else f"{finish - arrival:.1f}"
        texts = (log.path[row], log.request_id[row], log.status[row])
        yield [clock(arrival), "-" if math.isnan(finish) else clock(finish), took, *map(str, texts)]


def _stamp(text: str | None) -> str:
    return clock(datetime.fromisoformat(text).timestamp()) if text else "-"
