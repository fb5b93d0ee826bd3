"""Worker processes of the benchmarks: all subjects' are started first and take turns in short slices."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Worker:
    """A process that runs the script with `--worker`, and works when told."""

    def __init__(self, script: str, subject: str, place: Iterable[str], number: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, "--worker", json.dumps([subject, list(place), number])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, *command: Any) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """Wait for its answer."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@contextlib.contextmanager
def crowds(script: str, subjects: list[str], place: Iterable[str], processes: int) -> Iterator[dict[str, list[Worker]]]:
    """Workers of every subject."""
    started: dict[str, list[Worker]] = {}
    try:
        for subject in subjects:
            started[subject] = [Worker(script, subject, place, number) for number in range(processes)]
        yield started
    finally:
        for workers in started.values():
            for worker in workers:
                worker.process.kill()
                worker.process.communicate()


def in_turns(crowd: dict[str, list[Worker]], rounds: int, *command: Any) -> dict[str, list[float]]:
    """What each subject's workers did together in each slice; the first round warms up and does not count."""
    slices: dict[str, list[float]] = {subject: [] for subject in crowd}
    for turn in range(rounds + 1):
        for subject, workers in crowd.items():
            for worker in workers:
                worker.tell(*command)
            done = sum(worker.hear() for worker in workers)
            if turn:
                slices[subject].append(done)
    return slices
