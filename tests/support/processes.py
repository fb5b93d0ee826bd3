"""Worker processes for tests: each starts a fresh interpreter, waits for the start signal, works, and reports as JSON.

with workers(8, "take_for", dsn=..., seconds=1.0) as crowd:
    reports = crowd.run()
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parent / "workers.py"
PATIENCE = 120.0


class Crowd:
    """Processes that are ready to start."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self.processes = processes

    def start(self) -> None:
        """Give the start signal to all."""
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()

    def reports(self) -> list[Any]:
        """Wait for every process and return what each said."""
        found = []
        for process in self.processes:
            output, errors = process.communicate(timeout=PATIENCE)
            if process.returncode != 0:
                raise AssertionError(f"a worker ended with {process.returncode}: {errors[-2000:]}")
            found.append(json.loads(output))
        return found

    def run(self) -> list[Any]:
        """Start all and wait for all."""
        self.start()
        return self.reports()


@contextlib.contextmanager
def workers(count: int, job: str, *, each: list[dict[str, Any]] | None = None, **arguments: Any) -> Iterator[Crowd]:
    """Start processes of a job of `workers.py` and end them; `each` adds arguments to single ones."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), job, json.dumps(arguments | (each[index] if each else {}))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        for process in processes:
            ready = process.stdout.readline()
            if ready != "ready\n":
                raise AssertionError(f"a worker did not start: {process.communicate(timeout=PATIENCE)[1][-2000:]}")
        yield Crowd(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate(timeout=PATIENCE)
