"""The breaker among real processes on a real PostgreSQL: races, kills, and a server that crashes.

Run as a program, this file is the processes: it forks them from one that has everything imported, so that they race.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import IO, Any

import pytest
from backpressure import CircuitBreaker, CircuitOpenError
from backpressure.breaker import operations
from backpressure.storage import PostgresStorage
from support.postgres import PostgresServer, postgres_server

PROCESSES = 8
ROUNDS = 20
LEASE = 0.5


def fail() -> None:
    """A call that fails."""
    raise OSError("down")


def open_now(storage: PostgresStorage, name: str, **settings: Any) -> CircuitBreaker:
    """A breaker that one failure has opened."""
    breaker = CircuitBreaker(name, storage, failure_threshold=1, **settings)
    with pytest.raises(OSError, match="down"):
        breaker.call(fail)
    return breaker


def write(value: Any) -> None:
    """Tell the test."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def processes(work: str, storage: PostgresStorage, dsn: str, count: int = PROCESSES) -> Iterator[IO[str]]:
    """Run one of the functions below in some processes; gives what they write, one JSON value a line."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, __file__, work, dsn, storage.schema, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        yield parent.stdout
    assert parent.returncode == 0


def race_for_permits(storage: PostgresStorage, meet: Callable[[], Any]) -> list[bool]:
    """In each round, ask a half-open breaker at the same time as all others; never report."""
    passed = []
    for turn in range(ROUNDS):
        permits = 1 + turn % 3
        breaker = CircuitBreaker(f"race {turn}", storage, half_open_permits=permits, probe_lease=600)
        meet()
        try:
            breaker.__enter__()
        except CircuitOpenError:
            passed.append(False)
        else:
            passed.append(True)
    return passed


def call_until_refused(storage: PostgresStorage, meet: Callable[[], Any]) -> dict[str, list[float]]:
    """Call what fails until refused fifty times; note when those passed had asked and the refused were told."""
    breaker = CircuitBreaker("shut", storage, failure_threshold=40, open_for=600)
    asked, refused = [], []
    meet()
    while len(refused) < 50:
        began = time.monotonic()
        try:
            breaker.call(fail)
        except CircuitOpenError:
            refused.append(time.monotonic())
        except OSError:
            asked.append(began)
    return {"asked": asked, "refused": refused}


def probe_and_hang(storage: PostgresStorage, meet: Callable[[], Any]) -> None:
    """Get a permit to probe, and never report."""
    with CircuitBreaker("killed", storage, probe_lease=LEASE):
        write(os.getpid())
        meet()
        time.sleep(60)


def open_and_recover(storage: PostgresStorage, meet: Callable[[], Any]) -> None:
    """Call what fails half of the time on a breaker that opens for moments only, until killed."""
    breaker = CircuitBreaker("hot", storage, failure_threshold=2, open_for=0.002, probe_lease=LEASE)
    meet()
    write(os.getpid())
    while True:
        try:
            with breaker:
                if os.urandom(1)[0] % 2:
                    fail()
        except (CircuitOpenError, OSError):
            pass


def test_half_open_lets_exactly_n_of_eight_racers_pass(
    postgres_storage: PostgresStorage, postgres: PostgresServer
) -> None:
    """Of eight processes that ask a half-open breaker at once, exactly as many pass as there are permits, each time."""
    for turn in range(ROUNDS):
        open_now(postgres_storage, f"race {turn}", open_for=0.001)
    with processes("race_for_permits", postgres_storage, postgres.dsn()) as lines:
        answers = [json.loads(line) for line in lines]
    assert [sum(passed) for passed in zip(*answers, strict=True)] == [1 + turn % 3 for turn in range(ROUNDS)]


def test_after_anybody_saw_it_open_nobody_passes(postgres_storage: PostgresStorage, postgres: PostgresServer) -> None:
    """No call that asked after the first refusal was answered, in whatever process, was let through."""
    with processes("call_until_refused", postgres_storage, postgres.dsn()) as lines:
        answers = [json.loads(line) for line in lines]
    first_refusal = min(at for answer in answers for at in answer["refused"])
    asked = [at for answer in answers for at in answer["asked"]]
    assert len(asked) >= 40
    assert max(asked) < first_refusal


def test_a_killed_prober_blocks_for_its_lease_only(postgres_storage: PostgresStorage, postgres: PostgresServer) -> None:
    """The prober's process is killed with SIGKILL; until its lease ends all are refused, then the next one passes."""
    breaker = open_now(postgres_storage, "killed", open_for=0.001, probe_lease=LEASE)
    with processes("probe_and_hang", postgres_storage, postgres.dsn(), 1) as lines:
        pid = json.loads(lines.readline())
        granted = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        waits = waits_until_passed(breaker)
        assert time.monotonic() < granted + LEASE + 2.0
    assert len(waits) >= 1
    assert all(0 < wait <= LEASE for wait in waits)
    assert breaker.state == "closed"


def test_a_kill_at_any_instant_leaves_no_lock(postgres_storage: PostgresStorage, postgres: PostgresServer) -> None:
    """Processes killed in the middle of asking and reporting leave the record free for everybody else."""
    watcher = CircuitBreaker("hot", postgres_storage, probe_lease=LEASE, timeout=2)
    with processes("open_and_recover", postgres_storage, postgres.dsn()) as lines:
        for pid in [json.loads(lines.readline()) for _ in range(PROCESSES)]:
            wait_for_a_change(watcher)
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    waits_until_passed(watcher)
    assert time.monotonic() < began + LEASE + 2.0


def waits_until_passed(breaker: CircuitBreaker) -> list[float]:
    """Call until the call passes, coming back when told to; returns the waits that were named."""
    waits = []
    while True:
        try:
            breaker.call(bool)
        except CircuitOpenError as error:
            waits.append(error.retry_after)
            time.sleep(error.retry_after)
        else:
            return waits


def wait_for_a_change(breaker: CircuitBreaker) -> None:
    """Wait until the others have opened or closed the breaker once more."""
    key, deadline = (breaker.name,), time.monotonic() + 20
    before = operations.read(breaker.storage.run(operations.READ, key))[1].epoch
    while operations.read(breaker.storage.run(operations.READ, key))[1].epoch == before:
        assert time.monotonic() < deadline, "nobody changes the breaker any more"


def test_an_opening_survives_a_crash_of_the_server() -> None:
    """The change to open is on disk before anybody is told of it: after a crash the breaker is open for all."""
    with postgres_server(durable=True) as server:
        storage = PostgresStorage(server.dsn(), timeout=30)
        breaker = open_now(storage, "crashed", open_for=600)
        server.crash()
        server.start()
        assert breaker.state == "open"
        with pytest.raises(CircuitOpenError):
            breaker.call(bool)
        storage.close()


def _main(work: str, dsn: str, schema: str, count: str) -> None:
    """Fork the processes, and write what each returns, unless it was killed."""
    context = multiprocessing.get_context("fork")
    meeting = context.Barrier(int(count))

    def process(sending: Connection) -> None:
        storage = PostgresStorage(dsn, schema=schema, timeout=30)
        sending.send(globals()[work](storage, meeting.wait))

    pipes = [context.Pipe(duplex=False) for _ in range(int(count))]
    forked = [context.Process(target=process, args=(sending,)) for _, sending in pipes]
    for each, (_, sending) in zip(forked, pipes, strict=True):
        each.start()
        sending.close()
    for each, (receiving, _) in zip(forked, pipes, strict=True):
        with contextlib.suppress(EOFError):
            write(receiving.recv())
        each.join()


if __name__ == "__main__":
    _main(*sys.argv[1:])
