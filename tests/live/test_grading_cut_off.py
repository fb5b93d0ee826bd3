"""A grading that is cut off, by a kill or by the lab's end, keeps what it has and goes on when it is asked again.

Costs about a minute and a half on a quiet machine: a lab of its own, started twice, and five live runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.lab import Lab, wait_until

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.sandbox import warden
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

POOLS = catalog.find(manifest.load(), "14.1")
CLASS = {
    "ada": (POOLS.solution, "pass"),
    "ben": (POOLS.folder / "wrong" / "too_light.py", "fail"),
    "cleo": (POOLS.folder / "right" / "scaled.py", "pass"),
}


@pytest.fixture
def handed_in(fresh_lab: Lab) -> Path:
    """Three files that make three live runs, and a lab to run them."""
    why = warden.missing()
    if why:
        pytest.skip(why)
    folder = fresh_lab.home.parent / "handed in"
    for student, (source, _) in CLASS.items():
        target = folder / student / f"{POOLS.dag_id}.py"
        target.parent.mkdir(parents=True)
        target.write_text(f"{source.read_text(encoding='utf-8')}\n# {student}\n", encoding="utf-8")
    assert fresh_lab("up", "--detach", "--light").returncode == 0
    return folder


def _grading(lab: Lab, folder: Path) -> subprocess.Popen[bytes]:
    return lab.start("grade", str(folder), "-e", "14.1", "-j", "1")


def _kept(lab: Lab) -> dict[Path, int]:
    """Every grade that is kept, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in lab.home.glob("grading/*/grades/*.json")}


def _staged(lab: Lab) -> set[Path]:
    """The checks' DAG files that are there for Airflow to load."""
    return set(Layout.of(home=lab.home).checks.glob("*.py"))


def _left_over(process: subprocess.Popen[bytes], lab: Lab) -> Iterator[psutil.Process]:
    """What the command started and is still there."""
    return (one for one in lab.processes() if one.is_running() and os.getsid(one.pid) == process.pid)


def _grades(lab: Lab, folder: Path) -> dict[str, dict[str, Any]]:
    done = lab("grade", str(folder), "-e", "14.1", "-j", "1", "--json", "-")
    assert done.returncode == 1, done.stderr
    return {one["student"]: one for one in json.loads(done.stdout)["grades"]}


def test_what_was_graded_outlives_a_kill_and_the_lab(fresh_lab: Lab, handed_in: Path) -> None:
    """Killed after the first grade, then left by its lab, it repeats no run that was graded, and leaves nothing."""
    killed = _grading(fresh_lab, handed_in)
    wait_until(lambda: _kept(fresh_lab) and _staged(fresh_lab), 180, "one is graded and another runs")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    wait_until(lambda: not list(_left_over(killed, fresh_lab)), 30, "the killed command's cells have ended")
    first, stale = _kept(fresh_lab), _staged(fresh_lab)

    left = _grading(fresh_lab, handed_in)
    wait_until(lambda: _staged(fresh_lab) - stale, 180, "what was left is gone, and another runs")
    assert fresh_lab("down").returncode == 0
    assert left.wait(timeout=120) == 3
    said = (fresh_lab.home / "foreground.log").read_text(encoding="utf-8")
    assert "./lab up" in said
    assert "Traceback" not in said
    second = _kept(fresh_lab)
    assert second.items() >= first.items()

    assert fresh_lab("up", "--detach", "--light").returncode == 0
    found = _grades(fresh_lab, handed_in)
    assert {student: one["verdict"] for student, one in found.items()} == {
        student: verdict for student, (_, verdict) in CLASS.items()
    }
    assert _kept(fresh_lab).items() >= second.items()
    assert _staged(fresh_lab) == set()
