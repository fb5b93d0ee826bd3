"""The wheel that is built from this tree works alone: no Airflow, no other package, nothing from the tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import backpressure
import pytest

if TYPE_CHECKING:
    from support.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that has the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    interpreter = folder / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "pip", "install", "--offline", "--no-deps", "--python", str(interpreter), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return interpreter


def run(python: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the fresh interpreter away from the tree."""
    environment = {"PATH": os.environ["PATH"]} | variables
    command = [str(python), "-I", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=python.parent, timeout=120
    )


def test_the_wheel_holds_every_script(wheel: Path) -> None:
    """All SQL of the tree is packed, and the mark of a typed package; no test and no lesson is."""
    names = set(zipfile.ZipFile(wheel).namelist())
    scripts = {f"backpressure/{path.relative_to(ROOT / 'plugins/backpressure')}" for path in
               (ROOT / "plugins/backpressure").rglob("*.sql")}  # fmt: skip
    assert scripts
    assert scripts | {"backpressure/py.typed", "backpressure_lab/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "dags/", "modules/"))]


def test_it_works_without_anything_else(python: Path) -> None:
    """Its own smoke test passes, with no other package to be found."""
    alone = run(python, "-m", "backpressure")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert f"backpressure {backpressure.__version__}, " in alone.stdout
    assert alone.stdout.count("works") == 5
    assert "PostgreSQL: not tried" in alone.stdout
    assert run(python, "-c", "import airflow").returncode == 1


def test_without_its_driver_the_message_says_what_to_install(python: Path) -> None:
    """PostgreSQL without psycopg2 is an error that names the extra."""
    lacking = run(python, "-m", "backpressure", BACKPRESSURE_DSN="dbname=x")
    assert (lacking.returncode, lacking.stderr) == (1, "")
    assert "needs psycopg2: pip install 'airflow-backpressure-lab[postgres]'" in lacking.stdout


def test_with_the_pinned_driver_it_works_on_postgresql(python: Path, postgres: PostgresServer) -> None:
    """With the extra's driver, taken from the pinned set, the same smoke test passes on a real server."""
    packages = next(python.parents[1].glob("lib/python*/site-packages"))
    spec = find_spec("psycopg2")
    assert spec is not None
    assert spec.origin is not None
    there = Path(spec.origin).parents[1]
    for name in ("psycopg2", "psycopg2_binary.libs"):
        if (there / name).exists() and not (packages / name).exists():
            (packages / name).symlink_to(there / name)
    schema = "smoke"
    done = run(python, "-m", "backpressure", BACKPRESSURE_DSN=postgres.dsn(), BACKPRESSURE_SCHEMA=schema)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("on PostgreSQL: works") == 4
    postgres.psql(f"SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE")
    refused = run(python, "-m", "backpressure", BACKPRESSURE_DSN=postgres.dsn(dbname="absent"))
    assert refused.returncode == 1
    assert refused.stderr == ""
    assert 'database "absent" does not exist' in refused.stdout
