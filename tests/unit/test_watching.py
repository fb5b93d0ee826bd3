"""The watch screen, driven by keys that a test presses."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from backpressure_lab.cli import watching
from backpressure_lab.errors import LabError
from backpressure_lab.exercises.progress import Progress
from backpressure_lab.stack.layout import Layout

# At each save the file is loaded by a process of its own, which imports Airflow.
pytestmark = pytest.mark.slow


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder of the test's own."""
    folder = tmp_path / "work"
    monkeypatch.setattr(Layout, "work", property(lambda _self: folder))
    return folder


def watched(*steps: str | Callable[[], object]) -> str:
    """What is on the screen after these keys, and whatever happens between them."""
    out = io.StringIO()
    left = list(steps)

    def key(_seconds: float) -> str:
        step = left.pop(0) if left else "q"
        if isinstance(step, str):
            return step
        step()
        return ""

    assert watching.Watch(Layout.of(), Console(file=out, width=200), key).run() == 0
    return out.getvalue()


def test_a_save_shows_at_once_what_is_wrong(work: Path) -> None:
    """The starter loads; half a line does not; put right again, it loads again."""
    path = work / "14_1_pool_configuration.py"

    def save(text: str, at: int) -> Callable[[], object]:
        return lambda: (path.write_text(text), os.utime(path, (at, at)))

    starter = (Layout.of().root / "exercises" / path.stem / "starter.py").read_text()
    said = watched(save("with DAG(:\n", 1), "", save(starter, 2), "")
    marks = re.findall(r"✓ the file loads|✗ \S+ is not Python", said)
    assert marks == ["✓ the file loads", f"✗ {path.name} is not Python", "✓ the file loads"]
    assert "0 of " in said


def test_next_waits_for_a_pass(work: Path) -> None:
    """The key n says so, until the exercise is passed; then it goes on with the next one."""
    assert "14.1 is not passed yet: l runs it" in watched("n")
    said = watched(lambda: Progress(work).change("14.1", status="passed"), "n")
    assert "14.2  Priority Weights" in said


def test_h_shows_a_hint_and_counts_it(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One at a time, as the command does."""
    watched("h")
    assert "Hint 1 of 3" in capsys.readouterr().out
    assert Progress(work)["14.1"].hints == 1


def test_without_a_terminal_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no keys."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(LabError, match="needs a terminal"):
        watching.watch()


def test_q_in_a_terminal_leaves_it_as_it_was(tmp_path: Path) -> None:
    """Keys need no Enter while it runs, and do again afterwards."""
    ours, theirs = pty.openpty()
    code = (
        "import sys, termios; from pathlib import Path; from backpressure_lab.stack.layout import Layout;"
        f"Layout.work = property(lambda _: Path({str(tmp_path)!r}));"
        "from backpressure_lab.cli import watching; watching.watch();"
        "print('canonical', bool(termios.tcgetattr(0)[3] & termios.ICANON))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            said += os.read(ours, 4096)
        except OSError:
            break
        if b"q quit" in said and b"canonical" not in said:
            os.write(ours, b"q")
    assert process.wait(30) == 0
    os.close(ours)
    assert b"canonical True" in said
