"""Files that are rendered from the manifest and the code: they are what would be rendered now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure_lab.cluster import compose, edit, helm
from backpressure_lab.files import write_text
from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backpressure_lab.manifest import Course

RENDERED = {compose.FILE: compose.render, edit.FILE: edit.render, helm.FILE: helm.render}


def check(course: Course, *, fix: bool) -> Iterator[Problem]:
    """Whether the cluster's files, of a course that has an image, are in step; with ``fix`` they are rendered anew."""
    if (course.root / "Dockerfile").exists():
        for name, render in RENDERED.items():
            yield from _check(course, name, render(course), fix=fix)


def _check(course: Course, name: str, wanted: str, *, fix: bool) -> Iterator[Problem]:
    path = course.root / name
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == wanted:
        return
    if fix:
        write_text(path, wanted)
        return
    pairs = zip(found.splitlines(), wanted.splitlines(), strict=False)
    line = next((number for number, (old, new) in enumerate(pairs, 1) if old != new), 1)
    yield Problem(name, line, "is not what the code and course.toml say; run ./lab dev check --fix")
