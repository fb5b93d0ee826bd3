"""From the REST API's records to columns.

The names are those of Airflow 3.3's responses (``TaskInstanceResponse``, ``TaskInstanceHistoryResponse`` and
``DAGRunResponse`` of ``airflow.api_fastapi.core_api.datamodels``); keys beyond those read here are ignored.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from backpressure.timeline.curve import from_ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Record = Mapping[str, Any]

__all__ = ["run_columns", "task_instance_columns"]

_STAMPS = {"scheduled": "scheduled_when", "queued": "queued_when", "start": "start_date", "end": "end_date"}
_NUMBERS = {"pool_slots": 1, "priority_weight": 1, "map_index": -1, "try_number": 1, "pid": -1}
_WORDS = ("task_id", "dag_id", "pool", "queue", "executor", "state", "hostname")


def task_instance_columns(records: Sequence[Record]) -> dict[str, Any]:
    """The columns of task-instance records, ready for ``Timeline.from_arrays``.

    A retry keeps the row and overwrites its stamps one after the other, so between two tries a row has stamps of both.
    Those of the earlier try are taken out: all from before ``scheduled_when`` when ``end_date`` is from before it too,
    and a ``queued_when`` from before ``scheduled_when`` in any case. What is left is the latest try alone.

    Raises:
        ValueError: a record without ``task_id``, or a stamp that is no time with a time zone.
    """
    for number, record in enumerate(records):
        if "task_id" not in record:
            raise ValueError(f"record {number} has no 'task_id': {_names(record)} are not a task instance's")
    columns: dict[str, Any] = {name: _seconds(records, key) for name, key in _STAMPS.items()}
    scheduled = columns["scheduled"]
    ended_before = columns["end"] < scheduled
    for name in ("start", "end"):
        columns[name][ended_before & (columns[name] < scheduled)] = np.nan
    columns["queued"][columns["queued"] < scheduled] = np.nan
    columns |= {name: [record.get(name) for record in records] for name in _WORDS}
    columns |= {
        name: [default if (value := record.get(name)) is None else value for record in records]
        for name, default in _NUMBERS.items()
    }
    columns["run_id"] = _run_ids(records)
    columns["logical_date"] = _seconds(records, "logical_date")
    return columns


def run_columns(records: Sequence[Record]) -> dict[str, Any]:
    """The columns of DAG-run records: a run waits as ``queued`` from ``queued_at`` on, and then runs.

    Its waiting begins in the column ``scheduled``, as that of a task instance does; ``queued`` stays empty.

    Raises:
        ValueError: a record without ``dag_run_id``, or a stamp that is no time with a time zone.
    """
    for number, record in enumerate(records):
        if "dag_run_id" not in record and "run_id" not in record:
            raise ValueError(f"record {number} has no 'dag_run_id': {_names(record)} are not a DAG run's")
    return {
        "scheduled": _seconds(records, "queued_at"),
        "start": _seconds(records, "start_date"),
        "end": _seconds(records, "end_date"),
        "logical_date": _seconds(records, "logical_date"),
        "dag_id": [record.get("dag_id") for record in records],
        "run_id": _run_ids(records),
        "state": [record.get("state") for record in records],
    }


def _names(record: Record) -> str:
    return ", ".join(sorted(map(str, record))) or "no keys"


def _run_ids(records: Sequence[Record]) -> list[Any]:
    return [record["dag_run_id"] if "dag_run_id" in record else record.get("run_id") for record in records]


def _seconds(records: Sequence[Record], key: str) -> NDArray[np.float64]:
    """Seconds since the epoch, NaN where there is no stamp.

    Airflow writes UTC with a Z; numpy reads such a column at once, and a column with anything else is read one by one.
    """
    values = [record.get(key) for record in records]
    if all(value is None or (isinstance(value, str) and value[-1:] == "Z") for value in values):
        try:
            stamps = np.array(["NaT" if value is None else value[:-1] for value in values], "datetime64[us]")
        except ValueError:
            pass  # the reading one by one says which
        else:
            seconds = from_ticks(stamps.astype(np.int64))
            seconds[np.isnat(stamps)] = np.nan
            return seconds
    return np.array([_second(value, key, number) for number, value in enumerate(values)], np.float64)


def _second(value: Any, key: str, number: int) -> float:
    if value is None:
        return math.nan
    try:
        instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} of record {number} is {value!r}, which is no ISO 8601 time") from error
    if instant.tzinfo is None:
        raise ValueError(f"{key} of record {number} is {value!r}, which has no time zone: add Z or an offset")
    return instant.timestamp()
