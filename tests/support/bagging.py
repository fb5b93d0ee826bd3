"""Loads DAG files with Airflow's own DagBag, and notes everything that a DAG file must not do while it is parsed."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

from airflow.dag_processing.dagbag import DagBag
from airflow.secrets.environment_variables import EnvironmentVariablesBackend
from sqlalchemy import event
from sqlalchemy.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.sdk import DAG


@dataclass(frozen=True)
class Parsed:
    """What came of parsing one file: its DAGs, and what was noted meanwhile, as readable lines."""

    file: str
    dags: dict[str, DAG]
    errors: list[str]
    warnings: list[str]
    queries: list[str]
    lookups: list[str]


def parse(file: Path, bag: DagBag | None = None) -> Parsed:
    """Parse one file, into a bag of its own or into one that holds other files' DAGs already."""
    bag = bag or DagBag(file.parent, collect_dags=False)
    known = set(bag.import_errors)
    with _warnings() as warned, _queries() as queries, _lookups() as lookups:
        dags = bag.process_file(str(file))  # type: ignore[no-untyped-call]  # Airflow's own signature
    errors = [message for name, message in bag.import_errors.items() if name not in known]
    return Parsed(file.name, {dag.dag_id: dag for dag in dags}, errors, warned, queries, lookups)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Warnings as lines; Airflow collects and repeats them, so that pytest's own filter would break its loop."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    found += [f"{warning.filename}:{warning.lineno}: {warning.message}" for warning in caught]


@contextmanager
def _queries() -> Iterator[list[str]]:
    """Every statement sent to any database through SQLAlchemy, the metadata database's engine included."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@contextmanager
def _lookups() -> Iterator[list[str]]:
    """Every connection or variable asked for: environment variables are the first place where Airflow looks."""
    found: list[str] = []

    def connection(_backend: Any, conn_id: str, *_: Any, **__: Any) -> None:
        found.append(f"connection {conn_id}")

    def variable(_backend: Any, key: str, *_: Any, **__: Any) -> None:
        found.append(f"variable {key}")

    with (
        mock.patch.object(EnvironmentVariablesBackend, "get_conn_value", connection),
        mock.patch.object(EnvironmentVariablesBackend, "get_variable", variable),
    ):
        yield found
