"""Markdown pages: every relative link leads somewhere, and every written lesson has its page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markdown_it import MarkdownIt

from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from markdown_it.token import Token

    from backpressure_lab.manifest import Course

_FOLDERS = ("docs", "modules", "exercises")
_HTML_LINK = re.compile(r"""<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_HTML_ANCHOR = re.compile(r"""\b(?:id|name)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


@dataclass(frozen=True)
class Document:
    """A Markdown page; ``name`` is its path relative to the root."""

    path: Path
    name: str
    text: str

    @property
    def undecodable(self) -> int | None:
        """The first line that holds a byte that is not UTF-8."""
        match = re.search("[\udc80-\udcff]", self.text)
        return self.text.count("\n", 0, match.start()) + 1 if match else None

    @cached_property
    def tokens(self) -> list[Token]:
        """The page as CommonMark, with tables."""
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """The line and the target of each link and image, in Markdown or HTML."""
        return [link for token in self.tokens for link in _links(token)]

    @cached_property
    def anchors(self) -> set[str]:
        """What ``#…`` may name: headings as GitHub spells them, and HTML anchors."""
        found: set[str] = set()
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type == "heading_open":
                slug = _slug(token)
                repeats = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
                found.add(f"{slug}-{repeats}" if slug in found else slug)
        for token in self.tokens:
            for html in (token, *(token.children or ())):
                if html.type.startswith("html"):
                    found.update(_HTML_ANCHOR.findall(html.content))
        return found


def documents(root: Path) -> list[Document]:
    """The pages at the root and in the folders that hold documentation."""
    paths = [*root.glob("*.md"), *(path for folder in _FOLDERS for path in (root / folder).rglob("*.md"))]
    return [
        Document(path, path.relative_to(root).as_posix(), path.read_text(encoding="utf-8", errors="surrogateescape"))
        for path in sorted(paths)
    ]


def check_links(root: Path, found: Iterable[Document]) -> Iterator[Problem]:
    """Every relative link that leads to no file, outside the repository, or to no heading."""
    known = {document.path.resolve(): document for document in found}
    for document in known.values():
        if document.undecodable:
            yield Problem(document.name, document.undecodable, "not UTF-8; save the page as UTF-8")
        for line, target in document.links:
            if not _ELSEWHERE.match(target):
                reason = _broken(root.resolve(), document, target, known)
                if reason:
                    yield Problem(document.name, line, f"the link {target} {reason}")


def check_lessons(course: Course, found: Iterable[Document]) -> Iterator[Problem]:
    """Every section with a written item has its page, which links to the DAG file of each."""
    known = {document.name: document for document in found}
    missing: set[str] = set()
    for item in course.written:
        name = course.section(item.section).page
        if name not in known:
            if name not in missing:
                yield Problem(
                    "course.toml", item.line, f"item {item.id} is written, but its page {name} is missing; write it"
                )
            missing.add(name)
            continue
        page = known[name]
        targets = {(page.path.parent / unquote(target.partition("#")[0])).resolve() for _, target in page.links}
        if (course.root / item.file).resolve() not in targets:
            yield Problem(name, 1, f"the page does not link to {item.file}, the DAG file of {item.id}; add the link")


def _broken(root: Path, document: Document, target: str, known: dict[Path, Document]) -> str | None:
    """Why a link leads nowhere, or None."""
    name, _, anchor = target.partition("#")
    if name.startswith("/"):
        return "is absolute; write it relative to this page"
    path = (document.path.parent / unquote(name)).resolve() if name else document.path.resolve()
    if not path.is_relative_to(root):
        return "leads out of the repository; link to something in it"
    if not path.exists():
        return f"leads to no file: {path.relative_to(root)} is missing; correct or remove it"
    if anchor and path in known and unquote(anchor) not in known[path].anchors:
        return f"names no heading of {known[path].name}; correct what follows the #"
    return None


def _links(token: Token) -> Iterator[tuple[int, str]]:
    line = token.map[0] + 1 if token.map else 1
    if token.type == "html_block":
        for match in _HTML_LINK.finditer(token.content):
            yield line + token.content.count("\n", 0, match.start()), match[1]
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            line += 1
        elif child.type in ("link_open", "image"):
            yield line, str(child.attrs["href" if child.type == "link_open" else "src"])
        elif child.type == "html_inline":
            yield from ((line, target) for target in _HTML_LINK.findall(child.content))


def _slug(heading: Token) -> str:
    """A heading's anchor, as GitHub makes it."""
    text = "".join(child.content for child in heading.children or () if child.type in ("text", "code_inline"))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
