"""A new exercise is whole from the beginning: in the manifest, with all its parts, and under its own names."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest

from backpressure_lab import manifest
from backpressure_lab.devcheck import exercises as devcheck
from backpressure_lab.errors import LabError
from backpressure_lab.exercises import authoring, catalog, facts
from backpressure_lab.manifest import Course

ROOT = manifest.load().root


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A copy of the course, to be changed."""
    for name in ("exercises", "dags", "modules"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "course.toml", tmp_path)
    return manifest.load(tmp_path / "course.toml")


@pytest.mark.parametrize("like", ["14.1", "14.2", "106.4"])
def test_it_is_whole_and_has_its_own_names(course: Course, like: str) -> None:
    """Nothing of it is called like what it was copied from, and the author's check has nothing to say."""
    before = catalog.find(course, like)
    folder = authoring.new(course, "14.9", "Queues & Quotas", before)
    changed = manifest.load(course.root / "course.toml")
    files = catalog.find(changed, "14.9")
    assert (files.folder, files.dag_id) == (folder, "14_9_queues_quotas")
    assert list(devcheck.check(changed)) == []
    told = facts.describe(files.solution)
    assert [dag["dag_id"] for dag in told["dags"]] == ["14_9_queues_quotas"]
    assert len(files.wrong) == len(before.wrong)
    written = [path for path in folder.rglob("*.*") if path.parent.name != "__pycache__"]
    texts = [path.read_text(encoding="utf-8") for path in written]
    old = re.compile(rf"{like.replace('.', '_')}_|(exercise|lab \w+) {re.escape(like)}\b", re.IGNORECASE)
    assert not [found[0] for text in texts if (found := old.search(text))]


@pytest.mark.parametrize(
    ("number", "title"), [("14.1", "Again"), ("x", "Title"), ("14.9", "!!"), ("14.9", 'A "title"'), ("../1.1", "Title")]
)
def test_what_cannot_be_one_is_refused(course: Course, number: str, title: str) -> None:
    """Before anything is written."""
    before = (course.root / "course.toml").read_text(encoding="utf-8")
    with pytest.raises(LabError):
        authoring.new(course, number, title, catalog.find(course, "14.1"))
    assert (course.root / "course.toml").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("exercise", manifest.load().exercises, ids=lambda exercise: exercise.id)
def test_each_check_draws_other_work(exercise: manifest.Exercise) -> None:
    """Whatever its module defines, it loads; an answer that knows one check's work does not know the next one's."""
    files = catalog.Files(exercise, ROOT / exercise.folder)
    told = facts.Facts(facts.DagFacts(files.dag_id, 16, 16, ()), ())
    first, again, second = (files.draw(random.Random(seed), told) for seed in (1, 1, 2))  # noqa: S311 - no secret
    assert first == again
    assert (first.items, first.conf) != (second.items, second.conf)
