"""The author's check behind ``./lab dev check``: manifest, DAG files, lesson pages and links agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure_lab import manifest
from backpressure_lab.devcheck import contents, excerpts, exercises, generated, lessons, pages
from backpressure_lab.manifest import ManifestError, Problem

if TYPE_CHECKING:
    from pathlib import Path


def check(root: Path, *, fix: bool = False) -> list[Problem]:
    """Every disagreement found in the checkout at ``root``, in the order of files and lines.

    With ``fix``, code excerpts in Markdown pages are first rewritten from the files that they quote, and the cluster's
    files and the tables of what the manifest has are rendered; nothing else is changed.
    """
    documents = pages.documents(root)
    if fix:
        excerpts.rewrite(root, documents)
        documents = pages.documents(root)
    found = [*excerpts.check(root, documents), *pages.check_links(root, documents)]
    try:
        course = manifest.load(root / "course.toml")
    except ManifestError as error:
        found += error.problems
    else:
        found += [*lessons.check(course), *pages.check_lessons(course, documents), *exercises.check(course)]
        found += [*generated.check(course, fix=fix), *contents.check(course, documents, fix=fix)]
    return sorted(found)


__all__ = ["Problem", "check"]
