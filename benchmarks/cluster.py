"""100 mapped tasks on 1, 2 and 4 worker processes of the cluster: how many succeed, how fast, and how long they queue.

Usage: ``.venv/bin/python benchmarks/cluster.py [--tasks N] [--processes 1 2 4] [--write]``. The cluster is that of
docker-compose.yml as native processes (tests/support/native_cluster.py), with two schedulers. Each worker has one
process and serves the queue of the load alone; between two rows workers are added, as ``--scale`` adds them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from support import cluster_load  # noqa: E402 - after its folder
from support.cluster_load import LOAD, Load  # noqa: E402 - the same
from support.native_cluster import NativeCluster  # noqa: E402 - the same
from support.page import origin, write  # noqa: E402 - the same

from backpressure_lab.cluster.services import worker_name  # noqa: E402 - the same

QUEUE = "high_priority"
WORKER = worker_name(QUEUE)
CALL_SECONDS = 0.1
PACKAGES = ("apache-airflow-core", "apache-airflow-providers-celery", "celery")
_PATIENCE = 300.0


class Row(NamedTuple):
    """What one number of processes did."""

    processes: int
    succeeded: int
    throughput: float
    median_wait: float
    longest_wait: float


def rows(cluster: NativeCluster, tasks: int, counts: list[int], started: int) -> Iterator[Row]:
    """Run the load on each number of processes, in growing order; so many workers are there already."""
    with cluster.client() as api:
        for processes in sorted(counts):
            for number in range(started + 1, processes + 1):
                cluster.launch(WORKER, number)
            for number in range(started + 1, processes + 1):
                cluster.wait(WORKER, number)
            started = processes
            _until(lambda: any(dag["dag_id"] == LOAD for dag in api.pages("/dags", "dags")))
            load = Load.start(cluster, api, f"on-{processes}", tasks, CALL_SECONDS)
            _until(load.over)
            waits = load.waits()
            done = load.in_state("success")
            yield Row(processes, done, load.throughput(), float(np.median(waits)), float(waits.max()))


def _until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not over after {_PATIENCE:g} s")
        time.sleep(0.5)


def table(found: list[Row], tasks: int) -> str:
    """The rows as Markdown."""
    lines = [
        "| worker processes | succeeded | tasks a second | to the first row | median time in queue | longest |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.processes} | {row.succeeded} of {tasks} | {row.throughput:.2f} "
        f"| {row.throughput / found[0].throughput:.2f} | {row.median_wait:.1f} s | {row.longest_wait:.1f} s |"
        for row in found
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the load, print the table, and write it into the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--write", action="store_true", help="write the table into docs/cluster.md")
    options = parser.parse_args()
    given = {WORKER: {"WORKER_CONCURRENCY": "1"}}
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder, NativeCluster(Path(folder), given) as cluster:
        (cluster.home / "work" / "cluster_load.py").write_text(cluster_load.dag(QUEUE), encoding="utf-8")
        first = min(options.processes)
        cluster.up({worker_name("default"): 1, WORKER: first})
        found = []
        for row in rows(cluster, options.tasks, options.processes, first):
            found.append(row)
            print(table(found, options.tasks).splitlines()[-1], flush=True)
    text = f"{table(found, options.tasks)}\n\n{origin(PACKAGES)}"
    print(text)
    if options.write:
        write(ROOT / "docs" / "cluster.md", "scale", text)


if __name__ == "__main__":
    main()
