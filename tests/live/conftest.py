"""Live tests share one lab, or bring up one of their own that they may harm."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import Lab


def _ended(lab: Lab) -> None:
    lab("down")
    for process in lab.processes():
        process.send_signal(signal.SIGKILL)


@pytest.fixture
def fresh_lab() -> Iterator[Lab]:
    """A lab that is not started yet, in a folder whose path is long and has spaces."""
    with tempfile.TemporaryDirectory(prefix="lab of a learner with a long name ") as folder:
        lab = Lab(Path(folder) / ("course work " * 6).strip() / "lab")
        try:
            yield lab
        finally:
            _ended(lab)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A running lab, shared by the tests that do not harm it."""
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        running = Lab(Path(folder) / "lab")
        try:
            started = running("up", "--detach")
            assert started.returncode == 0, started.stderr
            yield running
        finally:
            _ended(running)
