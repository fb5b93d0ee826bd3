"""Live tests share one lab, or bring up one of their own that they may harm."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import rotation
from support.lab import Lab
from support.workdag import remove_left_over

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.stack.layout import Layout


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--rotate``, of the tests of single lessons and exercises keep those whose turn it is."""
    if not config.getoption("--rotate"):
        return
    course, root = manifest.load(), Layout.of().root
    lessons, exercises = rotation.units(course, root)
    kept = rotation.taken(lessons, root) | rotation.taken(exercises, root)
    unit = {item: _unit(item) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if unit[item] and unit[item] not in kept])
    items[:] = [item for item in items if not unit[item] or unit[item] in kept]


def _unit(item: pytest.Item) -> str | None:
    """The lesson or exercise that a test is of; none for a test of something else."""
    asked = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    files, found = asked.get("files"), asked.get("item")
    if isinstance(files, catalog.Files):
        return files.exercise.id
    return found if isinstance(found, str) else None


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
        remove_left_over(Layout.of().work)
        try:
            started = running("up", "--detach")
            assert started.returncode == 0, started.stderr
            yield running
        finally:
            _ended(running)
