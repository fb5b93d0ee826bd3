"""The checks of the DAG files, tried on files made up to break them: what is never seen to fail proves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from airflow.dag_processing.dagbag import DagBag
from support.bagging import parse

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("made_up", schedule=None):
    EmptyOperator(task_id="nothing")
"""


def written(folder: Path, text: str, name: str = "made_up.py") -> Path:
    """A DAG file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_innocent_file_is_parsed_without_any_note(tmp_path: Path) -> None:
    """Airflow's own work leaves no query, look-up or warning, so whatever is noted is the file's."""
    parsed = parse(written(tmp_path, GOOD))
    assert list(parsed.dags) == ["made_up"]
    assert (parsed.errors, parsed.warnings, parsed.queries, parsed.lookups) == ([], [], [], [])


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
        ("with", "SyntaxError"),
        ("other = DAG('other'); EmptyOperator(task_id='x', dag=other, executor='NoExecutor')", "NoExecutor"),
    ],
)
def test_a_file_that_does_not_load_is_an_error(tmp_path: Path, line: str, error: str) -> None:
    """A missing module, a syntax error and an unknown executor are import errors of the file."""
    (found,) = parse(written(tmp_path, GOOD + line + "\n")).errors
    assert error in found


def test_a_dag_id_used_in_two_files_is_an_error(tmp_path: Path) -> None:
    """Within one bag the second file is refused, by the name of the first."""
    bag = DagBag(tmp_path, collect_dags=False)
    assert parse(written(tmp_path, GOOD, "first.py"), bag).errors == []
    (found,) = parse(written(tmp_path, GOOD, "second.py"), bag).errors
    assert "first.py" in found


def test_an_old_import_path_is_a_warning(tmp_path: Path) -> None:
    """A name that Airflow keeps for older files only is noted with its replacement."""
    (found,) = parse(written(tmp_path, GOOD + "from airflow.operators.empty import EmptyOperator as Old\n")).warnings
    assert "airflow.providers.standard" in found


@pytest.mark.parametrize(
    ("line", "noted"),
    [
        ("from airflow.sdk import Variable; Variable.get('size', default=None)", "variable size"),
        ("from airflow.sdk import Connection; Connection.get('somewhere')", "connection somewhere"),
        ("from airflow.sdk import BaseHook; BaseHook.get_connection('somewhere')", "connection somewhere"),
    ],
)
def test_a_look_up_is_noted(tmp_path: Path, line: str, noted: str) -> None:
    """Asking for a variable or a connection at top level is seen, found or not."""
    assert noted in parse(written(tmp_path, GOOD + line + "\n")).lookups


def test_a_query_is_noted(tmp_path: Path) -> None:
    """A statement sent through Airflow's own engine at top level is seen."""
    line = (
        "from airflow import settings; from sqlalchemy import text; settings.engine.connect().execute(text('select 1'))"
    )
    assert parse(written(tmp_path, GOOD + line + "\n")).queries == ["select 1"]
