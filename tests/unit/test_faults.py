"""Faults that are real: processes that are killed, connections that are taken and cut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import psutil
import psycopg2
import pytest
from backpressure.airflow import faults, machine
from backpressure.airflow.database import Sessions, connect
from support.postgres import PostgresServer

ROLE = "chaotic"
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
# A worker with a process that runs another: the task.
NESTED = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {0!r}]); time.sleep(60)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing."""
    with subprocess.Popen(SLEEPER) as process:
        yield process
        process.kill()


@pytest.fixture
def dsn(postgres: PostgresServer) -> Iterator[str]:
    """How a role of four connections connects."""
    postgres.psql(f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 4")
    yield postgres.dsn(user=ROLE)
    with Sessions(dsn=postgres.dsn()) as seen:
        seen.wait_until_gone("chaos")
    postgres.psql(f"DROP ROLE {ROLE}")


def test_a_part_is_dead_until_another_works_in_its_place(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed, and waited for until there is another process and that does its work."""
    works = iter([ConnectionError(), None])

    def back() -> None:
        if (error := next(works)) is not None:
            raise error

    monkeypatch.setattr(machine, "parts", lambda: {"upstream": sleeper.pid if sleeper.poll() is None else 1})
    assert faults.kill_part("upstream", back) == {"killed": sleeper.pid, "replaced_by": 1}
    assert sleeper.wait() == -signal.SIGKILL
    assert next(works, "all asked") == "all asked"


def test_a_task_dies_with_the_process_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's process and the worker's are killed, the worker itself is not."""
    code = NESTED.format(NESTED.format("import time; time.sleep(60)"))
    with subprocess.Popen([sys.executable, "-c", code]) as worker:
        deadline = time.monotonic() + 20
        while len(line := psutil.Process(worker.pid).children(recursive=True)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process, task = sorted(line, key=lambda one: len(one.parents()))
        monkeypatch.setattr(machine, "parts", lambda: {"worker-b": worker.pid})
        told = faults.kill_task({"pid": task.pid, "task_id": "job"})
        assert (told["killed"], told["worker"]) == ([task.pid, process.pid], "worker-b")
        while not all(_dead(one) for one in (process, task)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert worker.poll() is None
        worker.kill()


def test_what_is_no_parts_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that descends from no part of the lab is not killed."""
    monkeypatch.setattr(machine, "parts", dict)
    with pytest.raises(LookupError, match="job descends from no part"):
        faults.kill_task({"pid": os.getpid(), "task_id": "job"})


def test_all_connections_are_taken_and_given_back(postgres: PostgresServer, dsn: str) -> None:
    """While it lasts the server counts as many as the role may have; afterwards there is room again."""
    with Sessions(dsn=postgres.dsn()) as seen:
        assert faults.take_connections(dsn, 0.3, lambda: len(seen.all(role=ROLE))) == {"sessions": 4}
        seen.wait_until_gone("chaos")
    connect(dsn=dsn).close()


def test_a_clients_connections_are_cut_and_no_others(dsn: str) -> None:
    """The server says how many it has cut: the canary's one, and not its neighbour's."""
    with closing(connect(dsn=dsn, application="canary")) as canary, closing(connect(dsn=dsn)) as neighbour:
        assert faults.cut_connections(dsn, "canary", 0.2) == {"cut": 1}
        with pytest.raises(psycopg2.OperationalError), canary.cursor() as cursor:
            cursor.execute("SELECT 1")
        with neighbour.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def _dead(process: psutil.Process) -> bool:
    """Whether it is gone, or only its parent does not know yet."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
