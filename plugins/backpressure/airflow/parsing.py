"""Asking the DAG processor to parse files now, and how long it took to come to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from backpressure.airflow import machine
from backpressure.airflow.client import AirflowClient

_LOOKS = 8


class Asked(NamedTuple):
    """Files that the DAG processor was asked to parse.

    Attributes:
        at: when they were asked for, all within a moment (epoch s).
        dag_ids: a DAG of each file.
    """

    at: float
    dag_ids: tuple[str, ...]


def reparse(api: AirflowClient, most: int) -> Asked:
    """Ask for files that hold DAGs, each once, in the order of their paths; so many at most.

    Of a file's DAGs the one that was parsed last stands for it: one that the file no longer holds stays listed a while.
    """
    dags = api.pages("/dags", "dags", exclude_stale=True)
    files = {dag["fileloc"]: dag for dag in sorted(dags, key=lambda dag: dag["last_parsed_time"] or "")}
    chosen = [files[path] for path in sorted(files)[:most]]
    at = time.time()
    for dag in chosen:
        api.request("PUT", f"/parseDagFile/{dag['file_token']}")
    return Asked(at, tuple(dag["dag_id"] for dag in chosen))


def reparse_file(api: AirflowClient, dag_id: str) -> float:
    """Ask for the file that holds a DAG; returns when it was asked for (epoch s)."""
    at = time.time()
    api.request("PUT", f"/parseDagFile/{api.dag(dag_id)['file_token']}")
    return at


def parse_lag(api: AirflowClient, dag_id: str, seconds: float = 60.0) -> dict[str, float]:
    """Ask for the file of a DAG and wait until it is parsed.

    A file that is being parsed when it is asked for is not parsed again, so then it is asked for once more.

    Returns ``lag``, the seconds from asking until it was parsed, ``took``, the seconds of parsing as Airflow says, and
    ``at`` (epoch s).

    Raises:
        TimeoutError: it was not parsed in time.
    """
    at, deadline = reparse_file(api, dag_id), time.monotonic() + seconds
    while time.monotonic() < deadline:
        dag = api.dag(dag_id)
        parsed, took = datetime.fromisoformat(dag["last_parsed_time"]).timestamp(), dag["last_parse_duration"] or 0.0
        if parsed - took > at:
            return {"lag": parsed - at, "took": took, "at": parsed}
        if parsed > at:
            at = reparse_file(api, dag_id)
        time.sleep(0.1)
    raise TimeoutError(f"the file of {dag_id} was not parsed within {seconds:g} s")


def lags(api: AirflowClient, asked: Asked) -> list[float]:
    """Seconds from asking until each file was parsed; empty while one of them has not been parsed since."""
    listed = {dag["dag_id"]: dag["last_parsed_time"] for dag in api.pages("/dags", "dags")}
    parsed = [listed.get(dag_id) for dag_id in asked.dag_ids]
    seconds = [datetime.fromisoformat(one).timestamp() - asked.at for one in parsed if one]
    return seconds if len(seconds) == len(parsed) and all(one > 0 for one in seconds) else []


def parse_times(api: AirflowClient, dag_id: str, asked: float) -> list[dict[str, Any]]:
    """How many ``seconds`` the last parsing of each file took, and its ``name``; empty until one was parsed since."""
    dags = api.pages("/dags", "dags", exclude_stale=True)
    files = {dag["fileloc"]: dag for dag in sorted(dags, key=lambda dag: dag["last_parsed_time"] or "")}
    mine = next((dag for dag in files.values() if Path(dag["fileloc"]).stem == dag_id), None)
    if mine is None or datetime.fromisoformat(mine["last_parsed_time"]).timestamp() <= asked:
        return []
    return [
        {"name": Path(path).stem, "seconds": dag["last_parse_duration"]}
        for path, dag in sorted(files.items())
        if dag["last_parse_duration"] is not None
    ]


def parse_under(
    api: AirflowClient, most: int, processor: int, until: Callable[[], object], seconds: float = 90.0
) -> dict[str, float]:
    """Ask for files, and count the parsing processes until all are parsed and something else is so, too.

    Args:
        api: Airflow.
        most: how many files at most.
        processor: the process id of the DAG processor, whose children parse.
        until: what else must be so.
        seconds: how long to wait at most.

    Returns ``files at once``, the most processes that parsed at one time, ``lag``, the seconds until the last file was
    parsed, and ``first to last``, those from the first file to the last.

    Raises:
        TimeoutError: it was not so in time.
    """
    asked, most_parsers, deadline = reparse(api, most), 0, time.monotonic() + seconds
    while not ((found := lags(api, asked)) and until()):
        for _ in range(_LOOKS):  # a parser lives for less time than a question to a busy API takes
            most_parsers = max(most_parsers, len(machine.tree(processor)) - 1)
            time.sleep(0.05)
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{len(asked.dag_ids)} files were not parsed, or the load not there, within {seconds:g} s"
            )
    return {"files at once": most_parsers, "lag": max(found), "first to last": max(found) - min(found)}
