"""What a server's log says: a PostgreSQL server's slow statements, and what a scheduler repeats.

Pure functions of lines; the standard library only. The lab's PostgreSQL writes ``log_line_prefix = '%m [%p] %u@%d '``
and logs each statement that takes longer than ``log_min_duration_statement``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

__all__ = ["Statement", "said", "slow_statements"]

_SLOW = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC \[(?P<pid>\d+)\] (?P<role>\S*)@(?P<database>\S*) "
    r"LOG:\s+duration: (?P<ms>[\d.]+) ms\s+(?:statement|execute [^:]*|bind [^:]*|parse [^:]*): (?P<text>.*)"
)
_STAMP = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)Z? ")


@dataclass(frozen=True)
class Statement:
    """A statement that took long: when it ended (epoch s), its server process, role, database, and its first line."""

    at: float
    pid: int
    role: str
    database: str
    seconds: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON knows it."""
        return asdict(self)


def slow_statements(lines: Iterable[str], since: float, until: float) -> list[Statement]:
    """The statements that PostgreSQL logged as slow between two instants, the slowest first."""
    found = []
    for line in lines:
        if match := _SLOW.match(line):
            at = datetime.fromisoformat(f"{match['at']}+00:00").timestamp()
            if since <= at <= until:
                seconds, text = float(match["ms"]) / 1000, match["text"].strip()
                found.append(Statement(at, int(match["pid"]), match["role"], match["database"], seconds, text))
    return sorted(found, key=lambda one: -one.seconds)


def said(lines: Iterable[str], words: str, since: float, until: float) -> list[float]:
    """The instants (epoch s) between two instants at which an Airflow component's log says some words."""
    stamps = [match["at"] for line in lines if words in line and (match := _STAMP.match(line))]
    found = [datetime.fromisoformat(f"{stamp}+00:00").timestamp() for stamp in stamps]
    return [at for at in found if since <= at <= until]
