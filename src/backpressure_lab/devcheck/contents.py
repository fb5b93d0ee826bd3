"""Tables of what the manifest has: the README's of lessons and exercises, the cluster's of what is left out there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backpressure_lab.files import write_text
from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from backpressure_lab.devcheck.pages import Document
    from backpressure_lab.manifest import Course, Item, Section

_CLUSTER = "docs/cluster.md"


def check(course: Course, documents: Iterable[Document], *, fix: bool) -> Iterator[Problem]:
    """Whether the tables between ``<!-- lessons -->`` and the like are in step; with ``fix`` they are rewritten."""
    known = {document.name: document for document in documents}
    tables: dict[tuple[str, str], Callable[[], str]] = {
        ("README.md", "lessons"): lambda: _lessons(course, known),
        ("README.md", "exercises"): lambda: _exercises(course),
        (_CLUSTER, "lessons left out"): lambda: _left_out(course),
    }
    texts = {page: known[page].text for page, _ in tables if page in known}
    for (page, name), render in tables.items():
        text = texts.get(page, "")
        region = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", text, re.DOTALL)
        if region is None or region[0] == (wanted := f"\n{render()}\n"):
            continue
        if fix:
            texts[page] = text[: region.start()] + wanted + text[region.end() :]
            write_text(known[page].path, texts[page])
        else:
            line = text.count("\n", 0, region.start()) + 1
            yield Problem(page, line, f"the table of {name} is not what course.toml says; run ./lab dev check --fix")


def _lessons(course: Course, documents: dict[str, Document]) -> str:
    rows = ["| Section | Lessons |", "|---|---|"]
    for section in course.sections:
        items = [item for item in course.items if item.section == section.id]
        if items:
            listed = "<br>".join(_lesson(item, section, documents.get(section.page)) for item in items)
            rows.append(f"| {_title(section, documents)} | {listed} |")
    return "\n".join(rows) + "\n"


def _title(section: Section, documents: dict[str, Document]) -> str:
    words = _named(section.id, section.title)
    return f"[{words}]({section.page})" if section.page in documents else words


def _lesson(item: Item, section: Section, page: Document | None) -> str:
    words = _named(item.id, item.title)
    if not item.written:
        return f"{words}: not written yet"
    number = item.id.replace(".", "")
    anchor = next((name for name in sorted(page.anchors if page else ()) if name.startswith(f"{number}-")), "")
    return f"[{words}]({section.page}{'#' if anchor else ''}{anchor}) ([DAG]({item.file}))"


def _named(number: str, title: str) -> str:
    return f"{number} {title}" if number[0].isdigit() else title


def _exercises(course: Course) -> str:
    rows = ["| Exercise | |", "|---|---|"]
    rows += [f"| {one.id} | [{one.title}]({one.folder}/README.md) |" for one in course.exercises]
    return "\n".join(rows) + "\n"


def _left_out(course: Course) -> str:
    rows = ["| Lesson | What it needs of the local lab |", "|---|---|"]
    rows += [f"| {_named(item.id, item.title)} | {item.local} |" for item in course.written if item.local]
    return "\n".join(rows) + "\n"
