"""Slow statements and repeated words, found in logs as PostgreSQL and Airflow write them."""

from __future__ import annotations

from datetime import UTC, datetime

from backpressure.server_log import said, slow_statements

LINES = [
    "2026-11-25 20:58:01.500 UTC [41] airflow@airflow LOG:  duration: 310.5 ms  statement: SELECT 1",
    "2026-11-25 20:58:02.000 UTC [42] backpressure@airflow LOG:  duration: 5000.0 ms  statement: SELECT pg_sleep(5)",
    "\tFROM a line that goes on",
    "2026-11-25 20:58:03.000 UTC [43] airflow@airflow LOG:  duration: 300.0 ms  execute <unnamed>: SELECT 2",
    "2026-11-25 20:58:04.000 UTC [44] @ LOG:  checkpoint starting: time",
]
SCHEDULER = [
    "2026-11-25T20:58:01.000000Z [warning  ] Tasks using non-existent pool 'x' will not be scheduled [x]",
    "2026-11-25T20:58:09.000000Z [warning  ] Tasks using non-existent pool 'x' will not be scheduled [x]",
    "\tnon-existent pool 'x' without a stamp",
]


def at(second: float) -> float:
    """That second of the logs' minute."""
    return datetime(2026, 11, 25, 20, 58, tzinfo=UTC).timestamp() + second


def test_slow_statements_are_found_the_slowest_first() -> None:
    """With process, role and database; statements of both protocols, and of the window only."""
    found = slow_statements(LINES, at(0), at(60))
    assert [(one.pid, one.role, one.database, one.seconds) for one in found] == [
        (42, "backpressure", "airflow", 5.0),
        (41, "airflow", "airflow", 0.3105),
        (43, "airflow", "airflow", 0.3),
    ]
    assert found[0].text == "SELECT pg_sleep(5)"
    assert [one.pid for one in slow_statements(LINES, at(2.5), at(60))] == [43]


def test_words_are_found_when_they_were_said() -> None:
    """Lines without a stamp, and those outside the window, do not count."""
    assert said(SCHEDULER, "non-existent pool 'x'", at(0), at(5)) == [at(1)]
    assert said(SCHEDULER, "pool 'y'", at(0), at(60)) == []
