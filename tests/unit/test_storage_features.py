"""What every feature of the package owes to PostgreSQL's storage, read from its operations and scripts."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import backpressure
import pytest
from backpressure.storage import Feature, Operation


def _operations() -> dict[str, Operation]:
    """Every operation of the core, by name."""
    found = {}
    for module in pkgutil.walk_packages(backpressure.__path__, "backpressure."):
        if not module.name.startswith(("backpressure.airflow", "backpressure.ui")):
            values = vars(importlib.import_module(module.name)).values()
            found |= {value.name: value for value in values if isinstance(value, Operation)}
    return found


def _script(feature: Feature) -> str:
    return "".join(
        (Path(feature.folder) / f"{feature.name}_{version}.sql").read_text(encoding="utf-8")
        for version in range(1, feature.version + 1)
    )


OPERATIONS = _operations()


def test_the_operations_are_found() -> None:
    """The list below is not empty by mistake."""
    assert {"gcra_take_1", "limiter_take_1", "bulkhead_acquire_1"} <= set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_its_function(name: str) -> None:
    """The function is in its feature's scripts, with the key as its first parameter, of one key or of many."""
    operation = OPERATIONS[name]
    kind = r"bytea\[\]" if operation.many else r"bytea"
    assert re.search(rf"CREATE FUNCTION {{schema}}\.{name}\(\s*\w+ {kind}\s*[,)]", _script(operation.feature))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_function_that_changes_something_says_how_its_commit_waits(name: str) -> None:
    """Sessions are relaxed from the start, so that a durable change has to ask for the disk."""
    operation = OPERATIONS[name]
    body = _script(operation.feature).partition(f"CREATE FUNCTION {{schema}}.{name}(")[2].partition("\n$$;")[0]
    changes = re.search(r"\b(INSERT|UPDATE|DELETE|FOR NO KEY UPDATE)\b", body)
    if operation.durable:
        assert "{durable}" in body
    elif changes:
        assert "{relaxed}" in body or "{durable}" in body


@pytest.mark.parametrize(
    "feature", {each.feature.name: each.feature for each in OPERATIONS.values()}.values(), ids=lambda each: each.name
)
def test_tables_that_are_swept_have_what_the_sweep_reads(feature: Feature) -> None:
    """Every table named for the sweep is made by the feature's scripts, with the column `expires`."""
    script = _script(feature)
    for table in feature.tables:
        columns = script.partition(f"CREATE TABLE {{schema}}.{table} (")[2].partition("\n)")[0]
        assert re.search(r"\bexpires bigint NOT NULL", columns)
