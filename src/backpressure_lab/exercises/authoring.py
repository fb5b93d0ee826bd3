"""A new exercise, as a whole that already works: a copy of the one that it is most like, under a name of its own."""

from __future__ import annotations

import re
from pathlib import Path

from backpressure_lab.errors import LabError
from backpressure_lab.exercises.catalog import Files
from backpressure_lab.files import write_text
from backpressure_lab.manifest import Course

_ID = re.compile(r"\d+(\.\d+)+")
_KEPT = (".py", ".md")


def new(course: Course, number: str, title: str, like: Files) -> Path:
    """Write the folder, and an entry in the manifest; returns the folder.

    Args:
        course: gets the exercise.
        number: its id, such as 14.4.
        title: in a few words; the folder is called after it.
        like: what it is a copy of.

    Raises:
        LabError: there is one of this id or name, or the id or title cannot be one.
    """
    slug = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    if not _ID.fullmatch(number) or not slug or '"' in title or "\\" in title or not title.isprintable():
        raise LabError(f"{number!r} {title!r}: say an id such as 14.4, and a title of letters and digits.")
    dag_id = f"{number.replace('.', '_')}_{slug}"
    folder = course.root / "exercises" / dag_id
    if folder.exists() or any(exercise.id == number for exercise in course.exercises):
        raise LabError(f"There is an exercise {number}, or a folder {folder}.\nChoose another id: ./lab list")
    for path in sorted(like.folder.rglob("*")):
        if path.suffix in _KEPT:
            text = _renamed(path.read_text(encoding="utf-8"), like, number, title, dag_id)
            write_text(folder / path.relative_to(like.folder), text)
    manifest = course.root / "course.toml"
    entry = {"id": number, "section": like.exercise.section, "title": title, "folder": f"exercises/{dag_id}"}
    lines = "".join(f'{name} = "{value}"\n' for name, value in entry.items())
    write_text(manifest, f"{manifest.read_text(encoding='utf-8').rstrip()}\n\n[[exercises]]\n{lines}")
    return folder


def _renamed(text: str, like: Files, number: str, title: str, dag_id: str) -> str:
    """Its own names for the other's: DAG, folder, id, title, and what begins with the id, such as upstream lanes."""
    old = like.exercise.id
    text = re.sub(rf"\b{old.replace('.', '_')}_", f"{number.replace('.', '_')}_", text.replace(like.dag_id, "\0"))
    text = text.replace("\0", dag_id)
    text = re.sub(rf"(?i)(exercise |lab \w+ ){re.escape(old)}(?!\d)", lambda found: f"{found[1]}{number}", text)
    return re.sub(re.escape(like.exercise.title), lambda _: title, text, flags=re.IGNORECASE)
