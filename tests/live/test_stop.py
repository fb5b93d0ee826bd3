"""However the lab is stopped, no process of it is left."""

from __future__ import annotations

import os
import signal

import pytest
from support.lab import Lab, wait_until

from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.secrets import Secrets

pytestmark = pytest.mark.live


def _grown(lab: Lab) -> bool:
    """The lab has parts, and these have children of their own."""
    return lab.part("postgres")["phase"] == "healthy" and len(lab.processes()) > 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_foreground_leaves_nothing(fresh_lab: Lab, number: signal.Signals) -> None:
    """Ctrl-C, a polite kill and a closed terminal each end everything, also while the lab is starting."""
    process = fresh_lab.start("up", "--light")
    wait_until(lambda: fresh_lab.state()["parts"] and _grown(fresh_lab), 60, "the lab has started processes")
    process.send_signal(number)
    process.wait(timeout=30)
    assert fresh_lab.processes() == []
    assert fresh_lab.state()["phase"] == "stopped"


def test_a_killed_supervisor_is_cleaned_up_after(fresh_lab: Lab) -> None:
    """What a supervisor killed with SIGKILL left is ended by the next command that starts or stops the lab."""
    process = fresh_lab.start("up", "--light")
    wait_until(lambda: fresh_lab.state()["parts"] and _grown(fresh_lab), 60, "the lab has started processes")
    os.kill(fresh_lab.state()["pid"], signal.SIGKILL)
    process.wait(timeout=10)
    assert fresh_lab.processes() != []
    assert fresh_lab("down").returncode == 0
    assert fresh_lab.processes() == []


def test_a_lab_whose_state_is_damaged_can_be_stopped(fresh_lab: Lab) -> None:
    """A state file that cannot be read says so and is no dead end: the lab still goes down, and leaves nothing."""
    process = fresh_lab.start("up", "--light")
    wait_until(lambda: fresh_lab.state()["parts"] and _grown(fresh_lab), 60, "the lab has started processes")
    os.kill(process.pid, signal.SIGSTOP)  # or it would soon write a sound file again
    (fresh_lab.home / "run" / "state.json").write_text("{", encoding="utf-8")
    shown = fresh_lab("status")
    os.kill(process.pid, signal.SIGCONT)
    assert shown.returncode == 3
    assert "state.json is damaged" in shown.stderr
    assert fresh_lab("down").returncode == 0
    process.wait(timeout=30)
    assert fresh_lab.processes() == []


def test_a_failed_start_leaves_nothing_and_says_why(fresh_lab: Lab) -> None:
    """A part that cannot start ends the start with code 3, the part's own words and the way out."""
    fresh_lab.home.mkdir(parents=True)
    (fresh_lab.home / "postgres").mkdir()
    (fresh_lab.home / "postgres" / "PG_VERSION").write_text("9.6\n", encoding="utf-8")
    (fresh_lab.home / "secrets.json").write_text("{", encoding="utf-8")
    done = fresh_lab("up", "--light", timeout=60)
    assert done.returncode == 3
    assert "secrets.json is damaged" in done.stderr
    assert "./lab reset --all" in done.stderr
    assert "Traceback" not in done.stderr
    assert fresh_lab.processes() == []
    assert fresh_lab("reset", "--all").returncode == 0
    assert not fresh_lab.home.exists()


def test_a_part_that_cannot_start_ends_the_start(fresh_lab: Lab) -> None:
    """A part that dies three times ends the start with code 3 and the part's own last words; nothing is left."""
    assert fresh_lab("status").returncode == 3
    Secrets.load(Layout.of(home=fresh_lab.home))
    (fresh_lab.home / "postgres").mkdir()
    (fresh_lab.home / "postgres" / "PG_VERSION").write_text("9.6\n", encoding="utf-8")
    done = fresh_lab("up", "--light", timeout=60)
    assert done.returncode == 3, done.stderr
    assert "postgres ended with exit code" in done.stderr
    assert "./lab logs postgres" in done.stderr
    assert "Traceback" not in done.stderr
    assert fresh_lab.processes() == []
