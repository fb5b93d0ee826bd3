"""A part that is killed comes back, and a run survives its scheduler."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest
from support.lab import Lab, wait_until

pytestmark = pytest.mark.live


def _healthy(lab: Lab, name: str, restarts: int) -> bool:
    part = lab.part(name)
    return part["phase"] == "healthy" and part["restarts"] >= restarts


def test_every_part_that_is_killed_comes_back(lab: Lab) -> None:
    """SIGKILL of each part is noticed, said, and followed by a healthy successor; nothing of the old one is left."""
    names = [part["name"] for part in lab.state()["parts"] if part["phase"] not in ("done", "off")]
    wait_until(lambda: all(_healthy(lab, name, 0) for name in names), 120, "every part is healthy")
    for name in names:
        before = wait_until(lambda name=name: lab.part(name)["pid"] and lab.part(name), 60, f"{name} runs")
        os.kill(before["pid"], signal.SIGKILL)
        wait_until(lambda name=name, pid=before["pid"]: lab.part(name)["pid"] not in (pid, None), 60, f"{name} is back")
        assert [process for process in lab.processes() if os.getsid(process.pid) == before["pid"]] == []
    wait_until(lambda: all(_healthy(lab, name, 0) for name in names), 180, "every part is healthy again")
    assert all(lab.part(name)["restarts"] >= 1 for name in names)


def test_a_run_survives_its_scheduler(lab: Lab) -> None:
    """The scheduler is killed in the middle of a run: the next one takes the run up and brings it to its end."""
    done = {}
    thread = threading.Thread(
        target=lambda: done.update(run=lab("run", "106.2.1", "--scenario", "default_pool", "--json"))
    )
    thread.start()
    try:
        log = lab.home / "task-logs" / "dag_id=106_02_01_pool_limiting"
        known = set(log.glob("run_id=*/task_id=in_default_pool/*"))
        wait_until(
            lambda: set(log.glob("run_id=*/task_id=in_default_pool/*")) - known, 120, "calls of the run have started"
        )
        os.kill(lab.part("scheduler")["pid"], signal.SIGKILL)
    finally:
        thread.join()
    result = json.loads(done["run"].stdout)
    assert result["state"] == "success"
    assert len(result["findings"]) == 5, "the run came to its evidence"
