"""Faults for experiments, on the lab's own parts: what is killed here is dead, and its supervisor's to bring back.

Each function returns when the fault is over, and tells what it did.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from backpressure.airflow import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["cut_connections", "kill_part", "kill_task", "take_connections"]

_BACK = 60.0
_CUT = """SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = %s AND usename = current_user AND pid <> pg_backend_pid()"""
Told = dict[str, Any]


def kill_part(name: str, back: Callable[[], object] = lambda: None) -> Told:
    """Kill a part of the lab (SIGKILL), and wait until there is another process in its place that does its work.

    Args:
        name: of the part, as ``./lab status`` lists it.
        back: raises as long as the part does not work.

    Raises:
        TimeoutError: nothing took its place.
    """
    pid = machine.parts()[name]
    os.kill(pid, signal.SIGKILL)
    found = _until(lambda: _other(name, pid, back), f"another process is the {name}")
    return {"killed": pid, "replaced_by": found}


def kill_task(record: Mapping[str, Any]) -> Told:
    """Kill the process that runs a task instance and the worker's process above it, as when memory runs out.

    Args:
        record: a running task instance as Airflow lists it, with the ``pid`` of its process.

    Raises:
        LookupError: the process descends from none of the lab's parts.
    """
    part = machine.part_of(record["pid"])
    if part is None:
        raise LookupError(f"process {record['pid']} of {record['task_id']} descends from no part of the lab")
    line = [record["pid"], *machine.ancestors(record["pid"])]
    victims = line[: line.index(machine.parts()[part])]
    at = time.time()
    for pid in reversed(victims):
        os.kill(pid, signal.SIGKILL)
    return {"killed": victims, "worker": part, "killed_at": at}


def take_connections(dsn: str, seconds: float, count: Callable[[], int]) -> Told:
    """Hold every connection that the role may have for a while; tells how many the server ``count``s then."""
    from backpressure.airflow.database import (  # noqa: PLC0415 - psycopg2, not while a DAG file is parsed
        TooManyConnectionsError,
        connect,
    )

    until = time.monotonic() + seconds
    with ExitStack() as held:
        seen = 0
        while time.monotonic() < until:
            try:
                held.enter_context(closing(connect(dsn=dsn, application="chaos")))
            except TooManyConnectionsError:
                seen = max(seen, count())
                time.sleep(0.05)
    return {"sessions": seen}


def cut_connections(dsn: str, application: str, seconds: float) -> Told:
    """Cut every connection of a client again and again for a while; tells how many the server has cut."""
    from backpressure.airflow.database import connect  # noqa: PLC0415 - psycopg2, not while a DAG file is parsed

    until, cut = time.monotonic() + seconds, 0
    with closing(connect(dsn=dsn, application="chaos")) as database, database.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(_CUT, (application,))
            ((number,),) = cursor.fetchall()
            cut += number
            time.sleep(0.05)
    return {"cut": cut}


def _other(name: str, pid: int, back: Callable[[], object]) -> int | None:
    """The process that took a part's place and does its work; None while there is none."""
    found = machine.parts().get(name)
    if found in (None, pid):
        return None
    try:
        back()
    except Exception:  # noqa: BLE001 - whatever it raises, the part is not back
        return None
    return found


def _until(answer: Callable[[], int | None], what: str) -> int:
    deadline = time.monotonic() + _BACK
    while (found := answer()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {_BACK:g} s: {what}")
        time.sleep(0.1)
    return found
