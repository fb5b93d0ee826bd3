"""The learner's files and progress: nothing of theirs is ever lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from backpressure_lab import manifest
from backpressure_lab.cli import exercises as commands
from backpressure_lab.errors import LabError
from backpressure_lab.exercises import catalog, workspace
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.progress import Progress, Step
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

FILES = catalog.find(manifest.load(), "14.1")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder of the test's own, for commands, too."""
    folder = tmp_path / "work"
    monkeypatch.setattr(Layout, "work", property(lambda _self: folder))
    return folder


def test_start_gives_the_starter_and_never_a_second_one(work: Path) -> None:
    """A file that is there is the learner's, whatever is in it."""
    target, new = workspace.start(work, FILES)
    assert (new, target.read_text()) == (True, FILES.starter.read_text())
    target.write_text("mine")
    assert workspace.start(work, FILES) == (target, False)
    assert target.read_text() == "mine"


def test_reset_keeps_every_version_of_the_learners_file(work: Path) -> None:
    """Two resets keep two files; a file that is the starter is not kept."""
    target, _ = workspace.start(work, FILES)
    assert workspace.reset(work, FILES) == (target, None)
    kept = []
    for text in ("first", "second"):
        target.write_text(text)
        _, path = workspace.reset(work, FILES)
        assert path is not None
        kept.append(path)
    assert [path.read_text() for path in kept] == ["first", "second"]
    assert not any(path.suffix == ".py" for path in kept)
    assert target.read_text() == FILES.starter.read_text()


def test_progress_is_kept_and_read_again(work: Path) -> None:
    """What was noted is there for the next command."""
    Progress(work).change("14.1", status="started", checks=2)
    Progress(work).change("14.1", hints=1)
    assert Progress(work)["14.1"] == Step("started", checks=2, hints=1)
    assert Progress(work)["14.2"] == Step()


def test_damaged_progress_is_named_and_left_as_it_is(work: Path) -> None:
    """Half a file is the learner's still: the message says how to move it away."""
    path = Progress(work).path
    path.parent.mkdir()
    path.write_text('{"version": 1, "exer')
    with pytest.raises(LabError, match=r"is damaged.*\nMove it away.*mv "):
        Progress(work)
    assert path.read_text() == '{"version": 1, "exer'


def test_progress_of_a_newer_course_is_not_touched(work: Path) -> None:
    """An older checkout does not rewrite what it does not understand."""
    path = Progress(work).path
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 99, "exercises": {}}))
    with pytest.raises(LabError, match="of version 99; this course knows 1"):
        Progress(work)


def test_hints_come_one_by_one_and_are_counted(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last one stays the last one."""
    said = []
    for _ in range(4):
        assert commands.hint("14.1") == 0
        said.append(capsys.readouterr().out)
    assert [text.splitlines()[0] for text in said] == [f"Hint {number} of 3" for number in (1, 2, 3, 3)]
    assert Progress(work)["14.1"].hints == 3
    assert "./lab solution 14.1" in said[-1]


def test_a_solution_is_shown_when_asked_for_twice(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first time says so; a pass makes it unnecessary."""
    commands.solution("14.1")
    assert "You have not passed 14.1 yet" in capsys.readouterr().out
    commands.solution("14.1")
    assert capsys.readouterr().out == FILES.solution.read_text()
    Progress(work).change("14.2", status="passed")
    commands.solution("14.2")
    assert "DAG(" in capsys.readouterr().out


def test_next_is_the_first_that_is_not_passed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And starts it."""
    Progress(work).change("14.1", status="passed")
    commands.following()
    assert "14.2" in capsys.readouterr().out
    assert (work / "14_2_priority_weights.py").exists()


def test_a_check_that_ends_before_the_run_is_counted(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be loaded needs no lab; another's file does not count."""
    target, _ = workspace.start(work, FILES)
    target.write_text("with DAG(:\n")
    assert commands.check("14.1", file=None, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["tier"], told["messages"][0]["code"]) == ("fail", "static", "syntax_error")
    assert commands.check("14.1", file=target, as_json=False) == 1
    assert "in line 1: with DAG(:" in " ".join(capsys.readouterr().out.split())
    assert Progress(work)["14.1"].checks == 1


def test_a_check_here_removes_what_killed_ones_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none elsewhere, where another machine's check may run: whether its process lives cannot be seen from here."""
    here, elsewhere, unasked = object(), object(), cast("Any", object())
    swept: list[object] = []
    monkeypatch.setattr(Context, "load", lambda _layout: unasked)
    monkeypatch.setattr(Place, "here", lambda _context: here)
    monkeypatch.setattr(Place, "elsewhere", lambda _layout: elsewhere)
    monkeypatch.setattr(commands, "sweep", lambda place, _api: swept.append(place))
    assert commands._place(unasked, "http://elsewhere", unasked) is elsewhere
    assert swept == []
    assert commands._place(unasked, None, unasked) is here
    assert swept == [here]


def test_an_unknown_exercise_names_those_that_there_are(work: Path) -> None:
    """With the command that lists them."""
    starting: Callable[[str], int] = commands.start
    with pytest.raises(LabError, match=r"'14.9'; there are 14.1, .*\nSee them with: ./lab list"):
        starting("14.9")
    assert not work.exists()
