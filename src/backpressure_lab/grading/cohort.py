"""A folder of students' files: what was handed in by whom, read once, without trusting a name or a link in it."""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backpressure_lab.errors import LabError
from backpressure_lab.exercises.catalog import Files
from backpressure_lab.exercises.messages import Message
from backpressure_lab.grading.template import LONGEST_NAME, TEMPLATE, Closed, called, closed, is_name, pattern, shown

LARGEST = 1 << 18
"""Bytes of a file that is still read."""
_MOST_FILES = 50_000
_SKIPPED = {".git", "__pycache__", ".venv", "node_modules"}


@dataclass(frozen=True)
class Submission:
    """What a student handed in for an exercise.

    Attributes:
        name: the file's path below the folder; empty where there is none.
        text: its content, None where it cannot be graded; ``trouble`` then says why.
    """

    student: str
    exercise: Files
    name: str = ""
    text: str | None = None
    trouble: Message | None = None


@dataclass(frozen=True)
class Cohort:
    """Everybody's submissions, by student and exercise; ``left_out`` says which files are nobody's, and why."""

    submissions: tuple[Submission, ...]
    left_out: tuple[str, ...]


def gather(folder: Path, exercises: Sequence[Files], template: str = TEMPLATE, students: Path | None = None) -> Cohort:
    """Read what was handed in.

    Args:
        folder: holds it.
        exercises: those that are graded.
        template: of the files' paths below the folder, with ``{student}``, ``{exercise}`` (id or folder name) and, for
            what does not matter, ``{any}``.
        students: a file with a name a line, who are all to have a grade.

    Raises:
        LabError: the folder, the template or the list of students cannot be used.
    """
    wanted = pattern(template, exercises)
    roster = _roster(students) if students else []
    found: dict[tuple[str, str], list[Submission]] = {}
    left_out: list[str] = []
    names = dict.fromkeys(roster)
    refused: list[tuple[str, str]] = []
    for path, handle in _files(folder, refused):
        match = wanted.fullmatch(path)
        if match is None:
            if path.endswith(".py"):
                left_out.append(f"{shown(path)}: its path names no student and exercise as {template} does")
            continue
        student = match["student"].strip()
        if not is_name(student):
            left_out.append(f"{shown(path)}: {shown(student)!r} is no student's name")
            continue
        exercise = called(match["exercise"], exercises)
        names[student] = None
        found.setdefault((student, exercise.dag_id), []).append(_read(student, exercise, path, handle))
    hiding: list[Closed] = []
    for path, why in refused:
        place = closed(path, why, template, exercises)
        if place is None:
            left_out.append(f"{shown(path)} cannot be read: {why}")
        else:
            hiding.append(place)
            names |= {place.student: None} if place.student else {}
    if template.startswith("{student}/"):
        names |= dict.fromkeys(name for name in _folders(folder) if is_name(name))
    if not names:
        raise LabError(f"{folder} holds no file called like {template}.\nSay how they are called: --template '…'")
    every = [
        _one(found.get((student, exercise.dag_id), []), student, exercise, hiding)
        for student in sorted(names)
        for exercise in exercises
    ]
    return Cohort(tuple(_unlike(every)), tuple(sorted(left_out)))


def _roster(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}.\nIt should hold a student's name a line, in UTF-8.") from error
    names = [line for line in lines if line and not line.startswith("#")]
    for number, line in enumerate(lines, 1):
        if line and not is_name(line):
            raise LabError(f"{path}, line {number}: {shown(line)!r} is no name; up to {LONGEST_NAME} characters are.")
        if line in lines[: number - 1] and line:
            raise LabError(f"{path}, line {number}: {line} is listed twice.\nGive each student a name of their own.")
    if not names:
        raise LabError(f"{path} names no student.\nIt should hold a name a line.")
    return names


Opened = tuple[str, int]  # a name, and the folder that it is in


def _files(folder: Path, refused: list[tuple[str, str]]) -> Iterator[tuple[str, Opened]]:
    """All paths below the folder but those of folders that hold others; nothing is followed.

    A folder that cannot be read is put into ``refused``, with the reason: it may hold somebody's work.
    """
    if not folder.is_dir():
        raise LabError(f"{folder} is no folder.\nGive the folder that the submissions are in.")
    count = 0
    for place, folders, files, handle in os.fwalk(folder, follow_symlinks=False):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        near = Path(place).relative_to(folder).as_posix()
        for name in [*folders, *sorted(files)]:
            count += 1
            if count > _MOST_FILES:
                raise LabError(f"{folder} holds more than {_MOST_FILES} files.\nGive the submissions' own folder.")
            path = name if near == "." else f"{near}/{name}"
            if name in folders and (why := _refused(name, handle)):
                refused.append((path, why))
            yield path, (name, handle)


def _refused(name: str, folder: int) -> str | None:
    """Why a folder cannot be read; None where it can, or is a link."""
    try:
        os.close(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder))
    except OSError as error:
        return None if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
    return None


def _folders(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir() if one.is_dir() and not one.is_symlink() and one.name not in _SKIPPED]


def _read(student: str, exercise: Files, path: str, place: Opened) -> Submission:
    """One file, if it is a file: not a folder, a link, a pipe, or too large."""
    name, folder = place
    empty = Submission(student, exercise, path)
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return _troubled(empty, "symbolic_link", "is a symbolic link, which is not followed")
        return _troubled(empty, "unreadable", f"cannot be read: {error.strerror}")
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder; one Python file is asked for" if stat.S_ISDIR(mode) else "no ordinary file"
        return _troubled(empty, "no_file", f"is {what}")
    with os.fdopen(handle, "rb") as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        return _troubled(empty, "too_large", f"has more than {LARGEST // 1024} kB")
    try:
        return replace(empty, text=data.decode())
    except UnicodeDecodeError as error:
        return _troubled(empty, "not_text", f"is not UTF-8: byte {error.start} is {data[error.start]:#x}")


def _troubled(submission: Submission, code: str, why: str) -> Submission:
    return replace(submission, trouble=Message(code, f"{shown(submission.name)} {why}"))


def _one(found: Sequence[Submission], student: str, exercise: Files, hiding: Sequence[Closed]) -> Submission:
    if not found:
        for place in hiding:
            if place.may_hold(student, exercise):
                return Submission(student, exercise, trouble=Message("unreadable", place.text))
        text = f"nothing was handed in for {exercise.exercise.id}"
        return Submission(student, exercise, trouble=Message("missing", text))
    if len(found) > 1:
        names = " and ".join(shown(one.name) for one in found)
        text = f"handed in {len(found)} times, as {names}; which one counts?"
        return Submission(student, exercise, found[0].name, trouble=Message("duplicate", text))
    return found[0]


def _unlike(submissions: Sequence[Submission]) -> Iterator[Submission]:
    """Nobody is taken for another: names that one reads as the same get no grade, with a message."""
    alike: dict[str, set[str]] = {}
    for one in submissions:
        alike.setdefault(_folded(one.student), set()).add(one.student)
    for one in submissions:
        names = alike[_folded(one.student)]
        if len(names) > 1:
            text = f"{' and '.join(sorted(names))} are the same name but for its writing; who is who?"
            yield replace(one, text=None, trouble=Message("duplicate_student", text))
        else:
            yield one


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
