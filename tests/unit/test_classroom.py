"""The workflow for a class: its own step is run here, with a stand-in for the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOW = Path(__file__).parents[2] / "docs" / "classroom" / "check.yml"
LAB = """\
#!/bin/sh
case "$2" in
14_1*) echo '{"status": "pass", "messages": []}' ;;
14_2*) echo '{"status": "fail", "messages": [{"text": "peak 6 | <b>", "try_next": "Look."}]}'; exit 1 ;;
*) echo "lab: No exercise is called so" >&2; exit 2 ;;
esac
"""


def steps() -> list[dict[str, Any]]:
    """What the workflow does."""
    found: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["check"]["steps"]
    return found


def summed_up(folder: Path, *files: str) -> tuple[int, list[str]]:
    """The step's exit code and what it writes, for files of these names."""
    (code,) = (step["run"] for step in steps() if step.get("shell") == "python")
    (folder / "work").mkdir()
    for name in files:
        (folder / "work" / name).write_text("", encoding="utf-8")
    (folder / "lab").write_text(LAB, encoding="utf-8")
    (folder / "lab").chmod(0o755)
    summary = folder / "summary.md"
    env = {**os.environ, "COURSE": ".", "WORK": "work", "GITHUB_STEP_SUMMARY": str(summary)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, check=False)
    return done.returncode, summary.read_text(encoding="utf-8").splitlines()[2:]


@pytest.mark.parametrize(
    ("files", "code", "rows"),
    [
        (["14_1_pools.py"], 0, ["| 14_1_pools | pass |  |"]),
        (["14_1_a.py", "14_2_b.py"], 1, ["| 14_1_a | pass |  |", "| 14_2_b | fail | peak 6    b  Look. |"]),
        (["x y`<script>.py"], 1, ["| x y  script  | not checked | see the log above  |"]),
        ([], 0, []),
    ],
)
def test_each_file_gets_a_row(tmp_path: Path, files: list[str], code: int, rows: list[str]) -> None:
    """With its verdict and messages, of which nothing becomes markup; what is no exercise is said to be none."""
    assert summed_up(tmp_path, *files) == (code, rows)


def test_it_can_only_read() -> None:
    """A student's code runs there: no token that can write, and no secret."""
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow[True] == "pull_request"  # YAML takes the word "on" for this
    assert "secrets" not in WORKFLOW.read_text(encoding="utf-8")
    (checkout,) = (step["with"] for step in steps() if "checkout" in step.get("uses", ""))
    assert checkout["persist-credentials"] is False
