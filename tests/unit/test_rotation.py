"""Which lessons and exercises a run of the live tests takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import rotation

from backpressure_lab import manifest
from backpressure_lab.docs.proofs import PAGE

_COMMIT = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "commit", "--quiet", "-am")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with twelve lessons; they share a module, and the first two have one more."""
    for folder in ("dags", "docs", "plugins/backpressure"):
        (tmp_path / folder).mkdir(parents=True)
    for module in ("run", "rare"):
        (tmp_path / f"plugins/backpressure/{module}.py").touch()
    for number in range(12):
        rare = "from backpressure.rare import rare\n" if number < 2 else ""
        (tmp_path / f"dags/{number}.py").write_text(f"from backpressure.run import Run\n{rare}")
    (tmp_path / PAGE).touch()
    _git(tmp_path, "init", "--quiet")
    _commit(tmp_path)
    return tmp_path


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", root, *arguments], check=True)  # noqa: S607 - whichever git there is


def _commit(root: Path) -> None:
    _git(root, "add", ".")
    _git(root, *_COMMIT, "change")


def _units(root: Path) -> list[tuple[str, Path]]:
    return [(str(number), root / f"dags/{number}.py") for number in range(12)]


def test_a_share_is_a_third_and_the_next_commits_are_others(root: Path) -> None:
    """The same commit always gets the same; over a few commits every lesson has its turn."""
    seen = set()
    for turn in range(60):
        first, second = (rotation.taken(_units(root), root) for _ in range(2))
        assert first == second
        assert len(first) == 4
        seen |= first
        (root / "notes").write_text(str(turn))
        _commit(root)
        if len(seen) == 12:
            break
    assert len(seen) == 12


def test_what_a_change_touches_is_taken_whoever_s_turn_it_is(root: Path) -> None:
    """A lesson's file, or a module that few use; what all use is tried by those whose turn it is."""
    units = _units(root)
    assert rotation.touched(units, {root / "dags/7.py"}, root) == {"7"}
    assert rotation.touched(units, {root / "plugins/backpressure/rare.py"}, root) == {"0", "1"}
    assert rotation.touched(units, {root / "plugins/backpressure/run.py"}, root) == set()


def test_each_lesson_and_each_exercise_is_looked_for_where_it_is() -> None:
    """One whose place is not where its files are would never count as changed."""
    course = manifest.load()
    lessons, exercises = rotation.units(course, course.root)
    assert [name for name, path in lessons if not path.is_file()] == []
    assert [name for name, path in exercises if not (path / "check.py").is_file()] == []


def test_a_change_counts_until_the_page_of_the_last_full_run_is_written(root: Path) -> None:
    """Committed or not, it is one of those taken; afterwards its turn comes as others' do."""
    for number in range(12):
        (root / f"dags/{number}.py").write_text("# changed\n")
    assert len(rotation.taken(_units(root), root)) == 12
    _commit(root)
    assert len(rotation.taken(_units(root), root)) == 12
    (root / PAGE).write_text("twelve of twelve")
    _commit(root)
    assert len(rotation.taken(_units(root), root)) == 4


def test_an_exercise_is_its_folder(tmp_path: Path) -> None:
    """Any of its files counts."""
    folder = tmp_path / "exercises" / "one"
    folder.mkdir(parents=True)
    (folder / "README.md").touch()
    assert rotation.touched([("one", folder)], {folder / "README.md"}, tmp_path) == {"one"}
    assert rotation.touched([("one", folder)], {tmp_path / "README.md"}, tmp_path) == set()


def test_without_history_everything_is_taken(tmp_path: Path) -> None:
    """An archive without git can't tell what changed."""
    (tmp_path / "dags").mkdir()
    for number in range(12):
        (tmp_path / f"dags/{number}.py").touch()
    assert len(rotation.taken(_units(tmp_path), tmp_path)) == 12
