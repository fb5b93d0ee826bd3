"""Rate limiters against their rivals, in one run: `python benchmarks/limiters.py`.

All subjects' processes are started first and take turns in short slices, so that a noisy machine is noisy for all of
them; what counts are the ratios, which are medians over the rounds. Measured are permits a second of one process and of
eight, on one key and on many, the first permit in a fresh interpreter, and the cost of a permit as the number of keys
grows. Rivals whose packages are missing are named and left out. Where the name of a store is PostgreSQL, all subjects
use the same server; commits are durable where a library asks for nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.postgres import PostgresServer

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests")]

from conformance.subjects import SUBJECTS, Limit, Place, Subject  # noqa: E402 - found by the path above
from crowds import crowds, in_turns, options, parsed, publish, servers  # noqa: E402 - the same

PLENTY = Limit(limit=100_000, period=1.0, burst=100_000)
RAW = "raw statement, GCRA, PostgreSQL"
OURS = "backpressure, rate, PostgreSQL"
MANY = 200
PACKAGES = ("pyrate-limiter", "psycopg", "limits", "throttled-py", "psycopg2-binary", "redis")


def work(subject: str, place: list[str], number: int) -> None:
    """Be a worker: ask for as long as told, and say how many permits a second it got: a false refusal is none."""
    take = SUBJECTS[subject].open(Place(*place), PLENTY)
    keys = [f"many {number} {index}" for index in range(MANY)]
    if SUBJECTS[subject].keys is None:
        for key in keys:
            take(key)
    for line in sys.stdin:
        hot, seconds = json.loads(line)
        asked = granted = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for index in range(20):
                granted += take("hot" if hot else keys[(asked + index) % MANY])[0]
            asked += 20
        sys.stdout.write(json.dumps(granted / seconds) + "\n")
        sys.stdout.flush()


def throughput(subjects: list[Subject], place: Place, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Permits a second, by processes and kind of key."""
    rows = []
    for processes in (1, 8):
        for hot in (True, False):
            chosen = [subject for subject in subjects if hot or subject.keys is None]
            with crowds(__file__, [subject.name for subject in chosen], place, processes) as crowd:
                slices = in_turns(crowd, arguments.rounds, hot, arguments.seconds)
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


def report(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    columns = [(processes, keys) for processes in (1, 8) for keys in ("one", "many")]
    lines = [
        "Permits a second, and their share of what the raw statement reached in the same slices:\n",
        "| | " + " | ".join(f"{processes} at once, {keys} key{'s' * (keys == 'many')}" for processes, keys in columns),
        "|---" * 5 + "|",
    ]
    rows = {(row["subject"], row["processes"], row["keys"]): row for row in found["throughput"]}
    for name in dict.fromkeys(row["subject"] for row in found["throughput"]):
        cells = []
        for processes, keys in columns:
            row = rows.get((name, processes, keys))
            cells.append("–" if row is None else f"{row['per_second']:,.0f} ({row['of_raw']:.0%})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [f"\nNot measured: {name}, which lacks {', '.join(lacks)}" for name, lacks in found["left_out"].items()]
    took = found["cold"]
    lines += [
        "\nA whole process, in milliseconds, start of the interpreter included:\n",
        "| " + " | ".join(took) + " | one permit above connect and query | import above nothing |",
        "|---" * (len(took) + 2) + "|",
        "| "
        + " | ".join(f"{each:.1f}" for each in took.values())
        + f" | {took['one permit'] - took['connect and query']:.1f}"
        + f" | {took['import backpressure'] - took['nothing']:.1f} |",
        "\nA permit as the number of keys in the table grows, against an empty table asked in turns:\n",
        "| keys | " + " | ".join(f"{row['keys']:,}" for row in found["growth"]) + " |",
        "|---" * (len(found["growth"]) + 1) + "|",
        "| time of that with none | " + " | ".join(f"{row['of_empty']:.2f}" for row in found["growth"]) + " |",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__.splitlines()[0], rounds=9)
    parser.add_argument("--only", nargs="+", help="words of the subjects' names; the raw statement is always there")
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    arguments = parsed(parser, work)
    if arguments.quick:
        arguments.keys = [1000, 100_000]
    left_out = {name: subject.missing for name, subject in SUBJECTS.items() if subject.missing}
    shared = [name for name, subject in SUBJECTS.items() if subject.store in {"postgres", "redis"}]
    chosen = [name for name in shared if name == RAW or any(word in name for word in arguments.only or [""])]
    subjects = [SUBJECTS[name] for name in chosen if name not in left_out]
    with servers() as (server, place):
        found = {
            "throughput": throughput(subjects, place, arguments),
            "cold": cold(place, 2 * arguments.rounds),
            "growth": growth(place, server, arguments.keys),
            "left_out": left_out,
        }
    publish("limiters", found, report(found), PACKAGES, arguments)


if __name__ == "__main__":
    main()
