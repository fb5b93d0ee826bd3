"""Worker processes for tests: each gets ready for a job, waits for the start signal, works, and reports as JSON.

reports = crew.run("take_for", seconds=1.0, ...)     # eight processes that are there for the whole session
with workers(16, "take_once", ...) as crowd:          # fresh ones, which may be killed
    reports = crowd.run()
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parent / "workers.py"
PATIENCE = 120.0


class Worker:
    """A process that does one job after the other; see `workers.py`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        stdin: IO[str] = self.process.stdin  # type: ignore[assignment]
        stdin.write(line + "\n")
        stdin.flush()

    def hear(self) -> str:
        """Read a line of its standard output."""
        stdout: IO[str] = self.process.stdout  # type: ignore[assignment]
        line = stdout.readline()
        if not line:
            raise AssertionError(f"a worker ended: {self.process.communicate(timeout=PATIENCE)[1][-2000:]}")
        return line.rstrip("\n")

    def hear_report(self) -> Any:
        """Wait for what it has to report."""
        return json.loads(self.hear())

    def kill(self) -> None:
        """End it as the kernel would when memory runs out."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE)

    def end(self) -> None:
        """End it, whatever it is at."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)


class ThreadWorker:
    """The same in a thread of this process, for what processes can't share. It can't be killed."""

    def __init__(self) -> None:
        from support.workers import serve  # noqa: PLC0415 - only here is it more than a script

        self._orders: SimpleQueue[str] = SimpleQueue()
        self._said: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=serve, args=(self._orders.get, self._said.put), daemon=True).start()

    def tell(self, line: str) -> None:
        """Say a line to it."""
        self._orders.put(line)

    def hear(self) -> str:
        """Wait for a line of it."""
        return self._said.get(timeout=PATIENCE)

    def hear_report(self) -> Any:
        """Wait for what it has to report."""
        return json.loads(self.hear())

    def kill(self) -> None:
        """Threads live as long as their process."""
        raise NotImplementedError

    def end(self) -> None:
        """Let it end when it has done what it is at."""
        self._orders.put("")


class Crowd:
    """Several workers at one job."""

    def __init__(self, workers: list[Any]) -> None:
        self.workers = workers

    def prepare(self, job: str, each: list[dict[str, Any]] | None = None, **arguments: Any) -> Self:
        """Have all get ready; `each` adds arguments to single ones."""
        for index, worker in enumerate(self.workers):
            worker.tell(json.dumps([job, arguments | (each[index] if each else {})]))
        for worker in self.workers:
            assert worker.hear() == "ready"
        return self

    def start(self) -> None:
        """Give the start signal to all."""
        for worker in self.workers:
            worker.tell("go")

    def run(self, job: str | None = None, **arguments: Any) -> list[Any]:
        """Start all, at a new job if one is named, and wait for what each has to report."""
        if job is not None:
            self.prepare(job, **arguments)
        self.start()
        return [worker.hear_report() for worker in self.workers]


@contextlib.contextmanager
def crowd_of(count: int, kind: type[Worker | ThreadWorker] = Worker) -> Iterator[Crowd]:
    """Start workers that have no job yet, and end them."""
    crowd = Crowd([])
    try:
        crowd.workers.extend(kind() for _ in range(count))
        yield crowd
    finally:
        for worker in crowd.workers:
            worker.end()


@contextlib.contextmanager
def workers(count: int, job: str, kind: type[Worker | ThreadWorker] = Worker, **arguments: Any) -> Iterator[Crowd]:
    """Start workers and have them get ready for a job."""
    with crowd_of(count, kind) as crowd:
        yield crowd.prepare(job, **arguments)
