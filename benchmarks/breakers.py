"""Circuit breakers against their rivals, in one run: `python benchmarks/breakers.py`.

Measured are calls a second that succeed through a closed breaker, and calls a second that an open one refuses, of one
process and of eight; and the statements that a call costs, counted on the connection. As in `limiters.py`, all subjects
take turns in short slices, and the ratios count. The raw statement is a read of one row by its key. Breakers that share
nothing between processes need no server, and are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "tests")]

from conformance.breakers import BREAKERS, Settings  # noqa: E402 - found by the path above
from conformance.subjects import Place  # noqa: E402 - the same
from crowds import crowds, in_turns, options, parsed, publish, servers  # noqa: E402 - the same

RAW = "raw read of a row, PostgreSQL"
PACKAGES = ("pybreaker", "purgatory", "psycopg2-binary", "redis")
CALLS = 3
SETTINGS = Settings(threshold=5, open_for=3600.0, lease=5.0)


def fail() -> None:
    """A call that fails."""
    raise OSError


def raw(place: Place) -> Callable[[Callable[[], object]], bool]:
    """The least that asking PostgreSQL costs."""
    import psycopg2  # noqa: PLC0415 - the benchmark's own

    connection = psycopg2.connect(place.dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("PREPARE look (oid) AS SELECT typname FROM pg_type WHERE oid = $1")

    def call(function: Callable[[], object]) -> bool:
        cursor.execute("EXECUTE look(16)")
        cursor.fetchone()
        function()
        return True

    return call


def opened(subject: str, place: Place) -> Callable[[Callable[[], object]], bool]:
    """A subject's breaker."""
    return raw(place) if subject == RAW else BREAKERS[subject].open(place, SETTINGS)


def work(subject: str, place: list[str], _number: int) -> None:
    """Be a worker: call for as long as told, and say how often in a second."""
    dsn, schema, redis = place
    calls = {state: opened(subject, Place(dsn, f"{schema}_{state}", redis)) for state in ("closed", "open")}
    if subject != RAW:
        for _ in range(2 * SETTINGS.threshold):
            calls["open"](fail)
    for line in sys.stdin:
        state, seconds = json.loads(line)
        call = calls[state]
        called = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(20):
                call(int)
            called += 20
        sys.stdout.write(json.dumps(called / seconds) + "\n")
        sys.stdout.flush()


def throughput(subjects: list[str], place: Place, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Calls a second, by processes and state."""
    rows = []
    for processes in (1, 8):
        with crowds(__file__, [RAW, *subjects], place, processes) as crowd:
            for state in ("closed", "open"):
                slices = in_turns(crowd, arguments.rounds, state, arguments.seconds)
                for name, figures in slices.items():
                    ratio = statistics.median(mine / least for mine, least in zip(figures, slices[RAW], strict=True))
                    rows.append(
                        {"subject": name, "processes": processes, "state": state}
                        | {"per_second": statistics.median(figures), "of_raw": ratio}
                    )
    return rows


def statements(subjects: list[str], place: Place) -> dict[str, list[float]]:
    """Statements that one call costs: closed and good, closed and failed, refused."""
    from backpressure.storage._connection import Session  # noqa: PLC0415 - workers do not count

    sent: list[str] = []
    plain, quick = Session._send, Session.execute_now  # noqa: SLF001 - counts where every statement passes

    def counted_send(self: Session, sql: str) -> None:
        sent.append(sql)
        plain(self, sql)

    def counted_quick(self: Session, sql: str, deadline: float) -> Any:
        sent.append(sql)
        return quick(self, sql, deadline)

    Session._send, Session.execute_now = counted_send, counted_quick  # type: ignore[method-assign]  # noqa: SLF001
    found = {}
    for name in subjects:
        if BREAKERS[name].store != "postgres":
            continue
        place_of_its_own = place._replace(schema=f"{place.schema}_counted_{len(found)}")
        call = BREAKERS[name].open(place_of_its_own, SETTINGS._replace(threshold=50))

        def cost(function: Callable[[], object], call: Callable[[Callable[[], object]], bool] = call) -> float:
            sent.clear()
            for _ in range(CALLS):
                call(function)
            return len(sent) / CALLS

        for function in (int, fail):
            cost(function)  # makes the tables, connects, prepares
        good, failed = cost(int), cost(fail)
        while call(fail):
            pass
        found[name] = [good, failed, cost(int)]
    Session._send, Session.execute_now = plain, quick  # type: ignore[method-assign]  # noqa: SLF001
    return found


def report(found: dict[str, Any]) -> str:
    """The figures in Markdown."""
    columns = [(processes, state) for processes in (1, 8) for state in ("closed", "open")]
    lines = [
        "Calls a second, and their share of as many raw reads:\n",
        "| | " + " | ".join(f"{processes} at once, {state}" for processes, state in columns) + " |",
        "|---" * 5 + "|",
    ]
    rows = {(row["subject"], row["processes"], row["state"]): row for row in found["throughput"]}
    for name in dict.fromkeys(row["subject"] for row in found["throughput"]):
        cells = [
            f"{rows[name, *column]['per_second']:,.0f} ({rows[name, *column]['of_raw']:.0%})" for column in columns
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["\nStatements that one call costs:\n", "| | closed, good | closed, failed | refused |", "|---" * 4 + "|"]
    for name, each in found["statements"].items():
        lines.append(f"| {name} | " + " | ".join(f"{count:.3g}" for count in each) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    arguments = parsed(options(__doc__.splitlines()[0], rounds=7), work)
    # A slow-call rate costs what a failure rate does, but for the slow calls that it takes to open it.
    shared = {name: subject for name, subject in BREAKERS.items() if subject.store in {"postgres", "redis"}}
    subjects = [name for name, subject in shared.items() if not subject.missing and "slow" not in name]
    with servers() as (_, place):
        found = {"throughput": throughput(subjects, place, arguments), "statements": statements(subjects, place)}
    publish("breakers", found, report(found), PACKAGES, arguments)


if __name__ == "__main__":
    main()
