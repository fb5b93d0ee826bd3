"""The direction of imports, read from the source: core, Airflow's part, the lab; and nothing imports a DAG file."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS, LAB, DAGS = ROOT / "plugins", ROOT / "src", ROOT / "dags"
AIRFLOW_PART = PLUGINS / "backpressure" / "airflow"
CORE = [path for path in (PLUGINS / "backpressure").rglob("*.py") if not path.is_relative_to(AIRFLOW_PART)]
AIRFLOW_PARTS = [*AIRFLOW_PART.rglob("*.py"), PLUGINS / "backpressure_plugin.py"]
LESSONS = list(DAGS.rglob("*.py"))
EVERYTHING = [*PLUGINS.rglob("*.py"), *LAB.rglob("*.py"), *LESSONS]


@cache
def imports(text: str) -> set[str]:
    """The full names of everything that a source text imports, at whatever depth, also by name at run time."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.update(f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                found.add(str(name.value))
    return found


def below(name: str, *packages: str) -> bool:
    """Whether an imported name is one of the packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def offences(paths: list[Path], *forbidden: str) -> list[str]:
    """Who imports something forbidden, as readable lines."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(paths)
        for name in sorted(imports(path.read_text(encoding="utf-8")))
        if below(name, *forbidden)
    ]


def test_the_core_imports_neither_airflow_nor_the_lab() -> None:
    """Whoever takes the limiters into another program needs no Airflow."""
    assert CORE
    assert offences(CORE, "airflow", "backpressure.airflow", "backpressure_lab") == []


def test_the_airflow_part_does_not_import_the_lab() -> None:
    """What runs in a task or a server of any deployment does not need the course's commands."""
    assert offences(AIRFLOW_PARTS, "backpressure_lab") == []


def test_lessons_import_airflow_the_package_and_the_standard_library_only() -> None:
    """A lesson shows what its reader can do with the same two packages."""
    names = {(path, name) for path in LESSONS for name in imports(path.read_text(encoding="utf-8"))}
    allowed = ("airflow", "backpressure", *sys.stdlib_module_names)
    assert [
        f"{path.relative_to(ROOT)} imports {name}" for path, name in sorted(names) if not below(name, *allowed)
    ] == []


def test_nothing_imports_a_dag_file() -> None:
    """DAG files are loaded by Airflow alone: an import would bind lessons together."""
    assert offences(EVERYTHING, "dags", *(path.stem for path in LESSONS)) == []
    assert [path for path in DAGS.rglob("__init__.py") if path] == []


def test_no_import_is_relative() -> None:
    """Full names stay right when a file is moved, and read alike everywhere."""
    names = {(path, name) for path in EVERYTHING for name in imports(path.read_text(encoding="utf-8"))}
    assert [f"{path.relative_to(ROOT)} imports {name}" for path, name in sorted(names) if name.startswith(".")] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import airflow.sdk as sdk", "airflow.sdk"),
        ("from airflow import sdk", "airflow.sdk"),
        ("def f():\n    from airflow.sdk import DAG", "airflow.sdk.DAG"),
        ("if TYPE_CHECKING:\n    import backpressure_lab", "backpressure_lab"),
        ("importlib.import_module('dags.one')", "dags.one"),
        ("__import__('106_01_01_lesson')", "106_01_01_lesson"),
        ("from . import near", "..near"),
    ],
)
def test_every_way_to_import_is_seen(line: str, found: str) -> None:
    """An import deep in a function, for types only, or by name is an import."""
    assert imports(line) == {found}


def test_importing_the_core_loads_nothing_heavy() -> None:
    """In a fresh interpreter, the package's own import needs no Airflow, numerics or database driver."""
    program = "import sys, backpressure; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "backpressure" in printed
    assert {"airflow", "asyncpg", "httpx", "numpy", "psycopg2", "pydantic", "sqlalchemy"} & set(printed) == set()
