"""A folder of submissions: whose is what, and a message for whatever is not as it should be."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from backpressure_lab import manifest
from backpressure_lab.errors import LabError
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.messages import Message
from backpressure_lab.grading import cohort
from backpressure_lab.grading.grade import without_running

COURSE = manifest.load()
EXERCISES = [catalog.find(COURSE, name) for name in ("14.1", "14.2")]
ONE = EXERCISES[:1]
NAME = "14_1_pool_configuration.py"


def put(folder: Path, path: str, text: str | bytes = "x = 1\n") -> Path:
    """A file of a student."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.encode() if isinstance(text, str) else text)
    return target


def codes(found: cohort.Cohort) -> dict[tuple[str, str], str]:
    """Student and exercise → what is wrong, empty where nothing is."""
    return {
        (one.student, one.exercise.exercise.id): one.trouble.code if one.trouble else "" for one in found.submissions
    }


def test_every_student_gets_every_exercise(tmp_path: Path) -> None:
    """By folder name or id; what is not there is missing, also of who handed in nothing at all."""
    put(tmp_path, f"ada/{NAME}")
    put(tmp_path, "ada/14.2.py")
    put(tmp_path, f"ben/{NAME}")
    (tmp_path / "cleo").mkdir()
    found = cohort.gather(tmp_path, EXERCISES)
    assert codes(found) == {
        ("ada", "14.1"): "",
        ("ada", "14.2"): "",
        ("ben", "14.1"): "",
        ("ben", "14.2"): "missing",
        ("cleo", "14.1"): "missing",
        ("cleo", "14.2"): "missing",
    }
    assert found.left_out == ()


def test_a_template_names_files_in_other_places(tmp_path: Path) -> None:
    """Such as a class's repositories, one for each student."""
    put(tmp_path, f"pools-ada/work/{NAME}")
    put(tmp_path, f"pools-ben/work/{NAME}")
    found = cohort.gather(tmp_path, ONE, "{any}-{student}/work/{exercise}.py")
    assert codes(found) == {("ada", "14.1"): "", ("ben", "14.1"): ""}


def test_a_list_says_who_is_to_have_a_grade(tmp_path: Path) -> None:
    """Who is on it and handed in nothing is missing; comments and empty lines are nobody."""
    put(tmp_path, f"ada/{NAME}")
    roster = put(tmp_path, "class.txt", "# the class\nada\n\nZoë Ångström\n")
    assert codes(cohort.gather(tmp_path, ONE, students=roster)) == {
        ("ada", "14.1"): "",
        ("Zoë Ångström", "14.1"): "missing",
    }


def test_a_file_without_a_student_is_told(tmp_path: Path) -> None:
    """It is nobody's, and named, so that nothing gets lost."""
    put(tmp_path, f"ada/{NAME}")
    put(tmp_path, NAME)
    put(tmp_path, f"ada/old/{NAME}")
    put(tmp_path, "ada/notes.txt")
    found = cohort.gather(tmp_path, ONE)
    assert [line.partition(":")[0] for line in found.left_out] == [NAME, f"ada/old/{NAME}"]


def test_a_submission_that_is_there_twice_gets_no_grade(tmp_path: Path) -> None:
    """Nobody guesses which one counts."""
    put(tmp_path, f"ada/{NAME}")
    put(tmp_path, "ada/14.1.py")
    (one,) = cohort.gather(tmp_path, ONE).submissions
    assert one.text is None
    assert one.trouble is not None
    assert (one.trouble.code, "14.1.py" in one.trouble.text, NAME in one.trouble.text) == ("duplicate", True, True)


def test_names_that_read_the_same_are_told_apart_or_refused(tmp_path: Path) -> None:
    """Two students whose names differ in writing only would get each other's grades."""
    for name in ("Ada", "ada", "ben"):
        put(tmp_path, f"{name}/{NAME}")
    assert codes(cohort.gather(tmp_path, ONE)) == {
        ("Ada", "14.1"): "duplicate_student",
        ("ada", "14.1"): "duplicate_student",
        ("ben", "14.1"): "",
    }


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither to a solution nor to another's folder."""
    put(tmp_path, f"ada/{NAME}")
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / NAME).symlink_to(EXERCISES[0].solution)
    (tmp_path / "mallory").symlink_to(tmp_path / "ada")
    found = cohort.gather(tmp_path, ONE)
    assert codes(found) == {("ada", "14.1"): "", ("eve", "14.1"): "symbolic_link"}


@pytest.mark.parametrize(
    ("make", "code", "part"),
    [
        (Path.mkdir, "no_file", "is a folder; one Python file is asked for"),
        (os.mkfifo, "no_file", "is no ordinary file"),
        (lambda path: path.write_bytes(b"x = '\xe9'"), "not_text", "is not UTF-8: byte 5 is 0xe9"),
        (lambda path: path.write_bytes(b"#" * (cohort.LARGEST + 1)), "too_large", "has more than 256 kB"),
    ],
    ids=["folder", "pipe", "Latin-1", "huge"],
)
def test_what_is_no_text_file_gets_a_message(tmp_path: Path, make: object, code: str, part: str) -> None:
    """And is never waited for."""
    (tmp_path / "ada").mkdir()
    make(tmp_path / "ada" / NAME)  # type: ignore[operator]  # each makes something at a path
    (one,) = cohort.gather(tmp_path, ONE).submissions
    assert one.trouble is not None
    assert one.trouble.code == code
    assert part in one.trouble.text


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of folders and files that nobody may open, whoever runs the test; empty at first."""
    names: set[str] = set()
    ordinary = os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> int:
        if path in names:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return ordinary(path, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)
    return names


UNREADABLE = ("unreadable", "not gradable")


def decided(found: cohort.Cohort) -> dict[tuple[str, str], tuple[str, str]]:
    """Student and exercise → what is wrong, and the verdict; of those only that get one without being run."""
    return {
        (one.student, one.exercise.exercise.id): (grade.code, grade.verdict)
        for one in found.submissions
        if (grade := without_running(one))
    }


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path, shut: set[str]) -> None:
    """Its student is told why, and has not missed anything; nobody else is concerned."""
    put(tmp_path, f"ada/{NAME}")
    put(tmp_path, f"eve/{NAME}")
    (tmp_path / "cleo").mkdir()
    shut.add("ada")
    found = cohort.gather(tmp_path, ONE)
    assert decided(found) == {("ada", "14.1"): UNREADABLE, ("cleo", "14.1"): ("missing", "missing")}
    assert found.submissions[0].trouble == Message("unreadable", "ada cannot be read: Permission denied")


def test_whose_folder_it_is_is_seen_by_as_much_of_the_template(tmp_path: Path, shut: set[str]) -> None:
    """A folder above all students may hold anybody's work, one of an exercise only what is for that."""
    put(tmp_path, "pools-ada/work/14.1.py")
    put(tmp_path, "pools-ben/work/14.1.py")
    put(tmp_path, "other-eve/14.1.py")
    shut |= {"pools-ada", "other-eve"}
    found = cohort.gather(tmp_path, ONE, "pools-{student}/work/{exercise}.py")
    assert decided(found) == {("ada", "14.1"): UNREADABLE}
    assert found.left_out == ("other-eve cannot be read: Permission denied",)

    shut.clear()
    shut.add("work")
    roster = put(tmp_path, "class.txt", "ada\nben\n")
    assert set(decided(cohort.gather(tmp_path, ONE, "{any}/work/{student}/{exercise}.py", roster)).values()) == {
        UNREADABLE
    }
    per_exercise = tmp_path / "by exercise"
    put(per_exercise, "14.1/ada.py")
    put(per_exercise, "14.2/ben.py")
    shut |= {"14.1"}
    found = cohort.gather(per_exercise, EXERCISES, "{exercise}/{student}.py", roster)
    assert decided(found) == {
        ("ada", "14.1"): UNREADABLE,
        ("ben", "14.1"): UNREADABLE,
        ("ada", "14.2"): ("missing", "missing"),
    }


def test_a_file_that_cannot_be_read_is_not_a_wrong_one(tmp_path: Path, shut: set[str]) -> None:
    """As where a folder may be listed and nothing in it be opened."""
    put(tmp_path, f"ada/{NAME}")
    shut.add(NAME)
    assert decided(cohort.gather(tmp_path, ONE)) == {("ada", "14.1"): UNREADABLE}


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"a\x1b[31m", "a\u202eb".encode(), b"x" * 100])
def test_a_name_that_plays_tricks_is_no_students(tmp_path: Path, name: bytes) -> None:
    """It is shown without what would lead a terminal or a reader astray, and gets no grade."""
    put(tmp_path, f"ada/{NAME}")
    folder = os.fsencode(tmp_path) + b"/" + name
    os.mkdir(folder)  # noqa: PTH102 - a name that no Path can be made of
    Path(os.fsdecode(folder), NAME).write_text("x = 1\n")
    found = cohort.gather(tmp_path, ONE)
    assert codes(found) == {("ada", "14.1"): ""}
    assert len(found.left_out) == 1
    assert found.left_out[0].isprintable()


@pytest.mark.parametrize(
    ("template", "part"),
    [("{exercise}.py", "must have {student} once"), ("{student}/x.py", "must have {exercise} once")],
)
def test_a_template_without_a_part_is_wrong_usage(tmp_path: Path, template: str, part: str) -> None:
    """It says which one it needs."""
    with pytest.raises(LabError, match=part):
        cohort.gather(tmp_path, ONE, template)


@pytest.mark.parametrize(
    ("text", "part"),
    [("", "names no student"), ("ada\nada\n", "line 2: ada is listed twice"), (b"\xff", "cannot be read")],
)
def test_a_list_that_cannot_be_used_is_wrong_usage(tmp_path: Path, text: str | bytes, part: str) -> None:
    """With its line."""
    put(tmp_path, f"ada/{NAME}")
    with pytest.raises(LabError, match=part):
        cohort.gather(tmp_path, ONE, students=put(tmp_path, "class.txt", text))


def test_a_folder_without_submissions_is_wrong_usage(tmp_path: Path) -> None:
    """So is one that is not there."""
    with pytest.raises(LabError, match="--template"):
        cohort.gather(tmp_path, ONE)
    with pytest.raises(LabError, match="is no folder"):
        cohort.gather(tmp_path / "none", ONE)
