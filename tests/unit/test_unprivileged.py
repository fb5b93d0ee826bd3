"""A command that refuses to be root still reaches a checkout in root's own home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backpressure_lab.stack import unprivileged

PROGRAM = "import os, sys; print(os.geteuid(), *(os.access(path, os.R_OK | os.X_OK) for path in sys.argv[1:]))"


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root gives up being root")
def test_folders_that_are_closed_to_others_are_passed(tmp_path: Path) -> None:
    """The command runs as another user, and access(2), which initdb asks about its programs, says yes."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.touch(mode=0o755)
    command = [*unprivileged.prefix(), sys.executable, "-c", PROGRAM, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(unprivileged.user()[0]), "True"], done.stderr


def test_an_ordinary_user_needs_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root runs the command as it is."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged.prefix() == []
