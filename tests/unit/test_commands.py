"""The commands without a lab: help, lists, errors, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _lab(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BACKPRESSURE_LAB_HOME": str(tmp_path / "lab"), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "backpressure_lab", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_help_imports_little(tmp_path: Path) -> None:
    """Help is there at once: none of the heavy libraries is loaded for it."""
    heavy = ("airflow", "numpy", "psycopg2", "httpx", "aiohttp", "celery", "matplotlib", "rich.markdown")
    code = (
        "import sys; sys.argv = ['lab', '--help']\nfrom backpressure_lab.cli import app\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('loaded', sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert "Start the lab" in done.stdout


def test_the_list_is_json_and_nothing_else(tmp_path: Path) -> None:
    """Every item of the checklist is listed, with the contract's keys."""
    done = _lab(tmp_path, "list", "--json")
    items = json.loads(done.stdout)["items"]
    assert len([item for item in items if item["id"].startswith("106.")]) == 50
    keys = {"id", "section", "title", "dag_id", "file", "tags", "purpose", "checklist", "expected_behavior"}
    assert keys | {"default_scenario", "scenarios", "exclusive", "written"} <= set(items[0])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "106.2.11"), 2, "106.2.1"),
        (("run", "106.2.1", "--scenario", "poold"), 2, "Did you mean 'pooled'?"),
        (("run", "106.9.5"), 2, "is not written yet"),
        (("prove",), 2, "Say what to prove"),
        (("reset",), 2, "./lab reset --pools"),
        (("logs", "nothing"), 2, "There is no log of 'nothing'"),
        (("status",), 3, "Start it with: ./lab up"),
        (("up", "--port", "70000"), 2, "65535"),
        (("nonsense",), 2, "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_is_answered_with_a_way_on(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """The value, the reason and the next command; never a traceback."""
    done = _lab(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_status_of_no_lab_is_json_too(tmp_path: Path) -> None:
    """A script can tell that there is no lab."""
    done = _lab(tmp_path, "status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["phase"] == "down"


def test_down_without_a_lab_is_no_error(tmp_path: Path) -> None:
    """Stopping what does not run has nothing to do."""
    done = _lab(tmp_path, "down")
    assert done.returncode == 0
    assert "was not running" in done.stderr


def test_a_defect_is_reported_without_a_traceback(tmp_path: Path) -> None:
    """What nobody foresaw becomes one sentence and a file with the details."""
    code = (
        "import sys; sys.argv = ['lab', 'down']\nfrom backpressure_lab.cli import app, stack\n"
        "def broken():\n    raise ZeroDivisionError('by a test')\nstack.down = broken\napp.main()"
    )
    environment = {**os.environ, "BACKPRESSURE_LAB_HOME": str(tmp_path / "lab")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "by a test" in (tmp_path / "lab" / "logs" / "error.log").read_text(encoding="utf-8")
