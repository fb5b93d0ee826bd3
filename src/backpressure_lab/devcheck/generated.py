"""Files that are rendered from the manifest and the code: they are what would be rendered now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure_lab.cluster import compose
from backpressure_lab.files import write_text
from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backpressure_lab.manifest import Course


def check(course: Course, *, fix: bool) -> Iterator[Problem]:
    """Whether ``docker-compose.yml``, of a course that has an image, is in step; with ``fix`` it is rendered anew."""
    if not (course.root / "Dockerfile").exists():
        return
    path, wanted = course.root / compose.FILE, compose.render(course)
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    if found == wanted:
        return
    if fix:
        write_text(path, wanted)
        return
    pairs = zip(found.splitlines(), wanted.splitlines(), strict=False)
    line = next((number for number, (old, new) in enumerate(pairs, 1) if old != new), 1)
    yield Problem(compose.FILE, line, "is not what the code and course.toml say; run ./lab dev check --fix")
