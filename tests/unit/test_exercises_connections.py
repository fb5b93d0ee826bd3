"""Exercise 106.9 counts connections: what tasks that hold slots may ask for, and what the database refuses."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest
from backpressure.pools import PoolSpec
from backpressure.request_log import COLUMNS, RequestLog

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.facts import DagFacts, Facts, TaskFacts
from backpressure_lab.exercises.seen import Seen

FILES = catalog.find(manifest.load(), "106.9")
PLURAL = {"query": "queries", "load": "loads"}
PARTS = {"query": ("query",), "load": ("load", "load/2", "load/3")}

FREE: dict[str, Any] = {"pools": {}, "query": "default_pool", "load": "default_pool"}


def task(name: str, pool: str, slots: int, most: int | None) -> TaskFacts:
    """A task's settings."""
    return TaskFacts(name, pool, slots, 1, "downstream", most, None)


def seen(
    at_once: dict[str, int],
    *,
    pools: dict[str, int],
    query: str = "c",
    load: str = "c",
    heavy: int = 3,
    most: int | None = None,
    refused: int = 0,
    again: bool = False,
) -> Seen:
    """A check in which so many of each task held slots at once, for two seconds, and so many calls were refused."""
    tasks = (task("query", query, 1, most), task("load", load, heavy, most))
    told = Facts(DagFacts("x", 16, 16, tasks), tuple(PoolSpec(name, slots) for name, slots in pools.items()))
    given = FILES.draw(random.Random(1), told)  # noqa: S311 - made-up work
    records, calls = [], []
    for name, number in at_once.items():
        for index, item in enumerate(given.items[PLURAL[name]][0]):
            begin = 1000.0 + 3 * (index // number)
            at = {
                key: dt.datetime.fromtimestamp(when, dt.UTC).isoformat()
                for key, when in (("b", begin), ("e", begin + 2))
            }
            stamps = {"scheduled_when": at["b"], "queued_when": at["b"], "start_date": at["b"], "end_date": at["e"]}
            records.append({"task_id": name, "dag_id": "x", "dag_run_id": "r", "map_index": index, **stamps})
            calls += [(begin, begin + 2, part, f"{name} {item}", "200") for part in PARTS[name]]
    bad = [(*call[:4], "503") for call in calls[:refused]]
    rows = sorted(bad + (calls if again else calls[refused:]))
    columns: dict[str, list[Any]] = {name: [0] * len(rows) for name in COLUMNS}
    columns |= {
        name: [row[number] for row in rows]
        for number, name in enumerate(("arrival", "finish", "path", "request_id", "status"))
    }
    return Seen(told, given, records, [], {"database": RequestLog(columns, now=1100.0)}, 1100.0)


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "right": ({"at_once": {"query": 3, "load": 1}, "pools": {"c": 6}}, []),
    "half": ({"at_once": {"query": 1, "load": 1}, "pools": {"c": 4}}, ["unused"]),
    "no pool": ({"at_once": {"query": 7, "load": 2}, **FREE, "refused": 4}, ["no_pool"]),
    "limits": ({"at_once": {"query": 6, "load": 1}, **FREE, "most": 3}, ["limit_of_one_dag"]),
    "again": ({"at_once": {"query": 7, "load": 2}, **FREE, "refused": 4, "again": True}, ["refused_and_repeated"]),
    "apart": ({"at_once": {"query": 6, "load": 2}, "pools": {"c": 6, "d": 6}, "load": "d"}, ["pools_apart"]),
    "tasks": ({"at_once": {"query": 4, "load": 2}, "pools": {"c": 6}, "heavy": 1}, ["tasks_counted"]),
    "all": ({"at_once": {"query": 5, "load": 1}, "pools": {"c": 8}}, ["no_reserve"]),
}  # fmt: skip


@pytest.mark.parametrize(("made", "codes"), CASES.values(), ids=CASES)
def test_connections_are_counted(made: dict[str, Any], codes: list[str]) -> None:
    """By what was let in, whether or not the database happened to refuse any."""
    found = list(FILES.judge(seen(**made)))
    assert [message.code for message in found] == codes
    assert all(message.text and "  " not in message.text for message in found)
