"""Starting, stopping and resetting side by side: who has the lab, who waits, and what is left alone."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backpressure_lab.cli import maintenance, stack
from backpressure_lab.errors import LabError
from backpressure_lab.files import write_text
from backpressure_lab.stack import lab
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.processes import ProcessId
from backpressure_lab.stack.secrets import Secrets
from backpressure_lab.stack.settings import Ports
from backpressure_lab.stack.state import LabState, PartState, Phase, is_supervised, supervising

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A lab in a folder of its own, for commands too."""
    monkeypatch.setenv("BACKPRESSURE_LAB_HOME", str(tmp_path / "lab"))
    return Layout.of(home=tmp_path / "lab")


def _state(phase: Phase, of: int | None = None) -> LabState:
    identity = ProcessId.of(of or os.getpid())
    assert identity
    state = LabState(phase, identity.pid, identity.created, "http://127.0.0.1:1", light=True, started=0.0)
    state.parts = [PartState("part", "healthy")]
    return state


def test_looking_takes_nobody_the_lock(layout: Layout) -> None:
    """Any number may look at once; who looks does not count as a lab, and does not keep one from starting."""
    with supervising(layout) as alone:
        assert alone
        assert is_supervised(layout)
        with supervising(layout) as second:
            assert not second
    handle = os.open(layout.lock_file, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    assert not is_supervised(layout)
    threading.Timer(0.3, os.close, (handle,)).start()
    with supervising(layout) as alone:
        assert alone


def test_what_a_killed_lab_has_left_is_not_the_state_of_the_next(layout: Layout) -> None:
    """Between its lock and its first state, a start is not taken for the lab before it."""
    with subprocess.Popen(SLEEP) as gone:
        _state("ready", gone.pid).save(layout)
        gone.kill()
    with supervising(layout):
        assert lab.current(layout) is None
        assert lab.settled(layout)
        _state("starting").save(layout)
        found = lab.current(layout)
        assert found
        assert found.phase == "starting"


@pytest.fixture
def other(layout: Layout) -> Iterator[ExitStack]:
    """Another command's hold of the lab, once it is entered."""
    with ExitStack() as held:
        yield held
    assert not is_supervised(layout)


def test_the_slower_of_two_starts_waits_for_the_quicker(
    layout: Layout, other: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own process ends with code 0, having found a lab: that one is followed until it is ready."""

    def detach(_layout: Layout, _arguments: list[str]) -> subprocess.Popen[bytes]:
        other.enter_context(supervising(layout))
        _state("starting").save(layout)
        threading.Timer(0.5, _state("ready").save, (layout,)).start()
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(lab, "detach", detach)
    assert stack.up(detach=True, light=True, port=None) == 0


def test_a_start_that_was_stopped_is_none(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process ends with code 0 as well, and there is no lab."""
    monkeypatch.setattr(lab, "detach", lambda *_: subprocess.Popen([sys.executable, "-c", ""]))
    layout.logs.mkdir(parents=True)
    lab.supervisor_log(layout).touch()
    assert stack.up(detach=True, light=True, port=None) == 3


def test_the_slower_of_two_in_the_foreground_joins_the_quicker(
    layout: Layout, other: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is one lab, and both commands say where it is."""

    def up(*_: object, **__: object) -> None:
        other.enter_context(supervising(layout))
        _state("ready").save(layout)
        raise lab.AlreadyUpError

    monkeypatch.setattr(lab, "up", up)
    assert stack.up(detach=False, light=True, port=None) == 0
    assert "up already: http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("start", [lambda: stack.up(detach=True, light=True, port=None), None], ids=["up", "needed"])
def test_a_start_waits_for_a_lab_on_its_way_down(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, start: Callable[[], int] | None
) -> None:
    """It is not taken for a lab that is up: there will be none; when it is gone, the start begins."""
    begun: list[bool] = []

    def detach(*_: object) -> subprocess.Popen[bytes]:
        begun.append(is_supervised(layout))
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    monkeypatch.setattr(lab, "detach", detach)
    layout.logs.mkdir(parents=True)
    lab.supervisor_log(layout).touch()
    going = ExitStack()
    going.enter_context(supervising(layout))
    _state("stopping").save(layout)
    threading.Timer(0.5, going.close).start()
    assert (start or (lambda: stack.bring_up(layout, quiet=True)))() == 3
    assert begun == [False]


def test_only_what_a_start_itself_has_said_is_shown(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log goes on from start to start."""

    def detach(*_: object) -> subprocess.Popen[bytes]:
        with lab.supervisor_log(layout).open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", "print('lab: new'); raise SystemExit(3)"], stdout=log)

    monkeypatch.setattr(lab, "detach", detach)
    layout.logs.mkdir(parents=True)
    lab.supervisor_log(layout).write_text("lab: old\n", encoding="utf-8")
    assert stack.up(detach=True, light=True, port=None) == 3
    told = capsys.readouterr().err
    assert "lab: new" in told
    assert "old" not in told


def test_a_start_in_the_background_keeps_the_log_and_runs_the_labs_own_code(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another start says stays there, and a file of the caller's folder is no library of the lab's."""
    (tmp_path / "typer.py").write_text("raise SystemExit(7)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    layout.logs.mkdir(parents=True)
    lab.supervisor_log(layout).write_text("the quicker one's words\n", encoding="utf-8")
    assert lab.detach(layout, ["--help"]).wait(timeout=60) == 0
    said = lab.supervisor_log(layout).read_text(encoding="utf-8")
    assert said.startswith("the quicker one's words\n")
    assert "--detach" in said


_RESET = "from backpressure_lab.stack import lab, layout\nlab.discard(layout.Layout.of())"
# A step of a script that resets the lab, has the variable itself, and has something to do afterwards.
_STEP = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]) or 42)"


def test_a_reset_ends_the_labs_processes_and_no_others(layout: Layout) -> None:
    """Who calls it goes on, and so does another program that was told where the lab lies."""
    Secrets.load(layout)
    told = os.environ | {"BACKPRESSURE_LAB_HOME": str(layout.home)}
    part = Context(layout, Secrets.load(layout), Ports(1, 2, 3, 4)).environment()
    with subprocess.Popen(SLEEP, env=part) as left, subprocess.Popen(SLEEP, env=told) as editor:
        try:
            step = subprocess.run([sys.executable, "-c", _STEP, _RESET], env=part, timeout=60, check=False)
            assert step.returncode == 42
            assert left.wait(timeout=20) == -signal.SIGKILL
            assert editor.poll() is None
        finally:
            editor.kill()
            left.kill()
    assert not layout.home.exists()


@pytest.mark.parametrize("name", ["thesis.txt", "run/notes.txt", "logs/old.log"])
def test_a_folder_that_is_not_a_labs_is_kept(layout: Layout, name: str) -> None:
    """Named by mistake, it is refused, with what to do, and nothing in it is touched."""
    write_text(layout.home / name, "years of work")
    with pytest.raises(LabError, match=r"lab is not removed: no lab has left secrets.json(?s:.*)BACKPRESSURE_LAB_HOME"):
        maintenance.reset(pools=False, everything=True)
    assert (layout.home / name).read_text(encoding="utf-8") == "years of work"


@pytest.mark.parametrize("inside", ["checkout", "home"])
def test_a_folder_with_more_than_a_lab_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    """Where a lab was put into the checkout itself, or into the user's own folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Layout.of(root=tmp_path / "checkout", home=tmp_path / inside)
    Secrets.load(found)
    with pytest.raises(LabError, match="more than a lab is in it"):
        lab.discard(found)
    assert found.secrets_file.exists()


def test_the_checkouts_own_folder_is_removed_whatever_is_left_of_it(tmp_path: Path) -> None:
    """A start that was cut off early has left no mark yet."""
    found = Layout.of(root=tmp_path, home=tmp_path / ".lab")
    write_text(found.logs / "error.log", "")
    lab.discard(found)
    assert not found.home.exists()
