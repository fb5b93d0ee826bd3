"""Code excerpts in Markdown pages are the text of the files that they quote.

A page writes ``<!-- excerpt: dags/…/file.py#name -->`` and a Python code fence after it; the file marks the quoted
lines with ``# [name]`` before and ``# [/name]`` after them.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backpressure_lab.files import write_text
from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from backpressure_lab.devcheck.pages import Document

_COMMENT = re.compile(r"\s*<!--\s*excerpt:(.*?)-->\s*", re.DOTALL)
_QUOTED = re.compile(r"\s*(?P<file>[^#\s]+\.py)#(?P<name>[a-z0-9][a-z0-9_-]*)\s*")
_MARKER = re.compile(r"\s*# \[(?P<end>/?)(?P<name>[a-z0-9][a-z0-9_-]*)\]\s*")
_REMEDY = "rewrite it with: ./lab dev check --fix"


class ExcerptError(Exception):
    """A quoted region cannot be found; the message says why and what to do."""


@dataclass(frozen=True)
class Excerpt:
    """One place of a page that quotes a file; ``fence`` holds the lines of its code fence, none if it is missing."""

    document: Document
    line: int
    quotes: str
    fence: range
    code: str | None

    def source(self, root: Path) -> str:
        """The text that the page must show.

        Raises:
            ExcerptError: The comment, the file or its markers are not right.
        """
        match = _QUOTED.fullmatch(self.quotes)
        if match is None:
            raise ExcerptError(f"excerpt: {self.quotes.strip()} must read FILE.py#NAME")
        path = (root / match["file"]).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            raise ExcerptError(f"excerpt: there is no file {match['file']} in the repository; correct the path")
        try:
            return region(path.read_text(encoding="utf-8"), match["name"], match["file"])
        except UnicodeDecodeError as error:
            raise ExcerptError(f"excerpt: {match['file']} is not UTF-8; save it as UTF-8") from error


def region(text: str, name: str, file: str) -> str:
    """The lines between the markers of a region, without other regions' markers and without common indentation.

    Raises:
        ExcerptError: The markers are missing, doubled or in the wrong order.
    """
    lines = text.splitlines()
    starts: list[int] = []
    ends: list[int] = []
    markers = [_MARKER.fullmatch(line) for line in lines]
    for number, marker in enumerate(markers):
        if marker and marker["name"] == name:
            (ends if marker["end"] else starts).append(number)
    if len(starts) != 1 or len(ends) != 1 or starts > ends:
        counted = f"{len(starts)} and {len(ends)} were found"
        raise ExcerptError(f"{file} must have one line # [{name}] and one line # [/{name}] after it; {counted}")
    kept = [lines[number] for number in range(starts[0] + 1, ends[0]) if not markers[number]]
    return textwrap.dedent("\n".join(kept)).strip("\n") + "\n"


def find(document: Document) -> Iterator[Excerpt]:
    """The excerpts of a page, outside lists and quotations."""
    tokens = document.tokens
    for index, token in enumerate(tokens):
        comment = _COMMENT.fullmatch(token.content) if token.type == "html_block" else None
        if comment is None or token.map is None:
            continue
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        if after and after.type == "fence" and after.info.strip() == "python" and after.map and not after.level:
            yield Excerpt(document, token.map[0] + 1, comment[1], range(*after.map), after.content)
        else:
            yield Excerpt(document, token.map[0] + 1, comment[1], range(token.map[1], token.map[1]), None)


def check(root: Path, documents: Iterable[Document]) -> Iterator[Problem]:
    """Every excerpt that quotes nothing, or shows something else than it quotes."""
    for document in documents:
        for excerpt in find(document):
            try:
                source = excerpt.source(root)
            except ExcerptError as error:
                yield Problem(document.name, excerpt.line, str(error))
                continue
            if excerpt.code is None:
                yield Problem(
                    document.name, excerpt.line, f"no ```python fence follows the excerpt's comment; {_REMEDY}"
                )
            elif excerpt.code != source:
                yield Problem(
                    document.name, excerpt.fence[0] + 1, f"the code differs from {excerpt.quotes.strip()}; {_REMEDY}"
                )


def rewrite(root: Path, documents: Iterable[Document]) -> None:
    """Make every excerpt show what it quotes; those that quote nothing are left as they are."""
    for document in documents:
        lines = document.text.splitlines()
        for excerpt in reversed(list(find(document))):
            try:
                source = excerpt.source(root)
            except ExcerptError:
                continue
            if excerpt.code != source:
                fence = slice(excerpt.fence.start, excerpt.fence.stop)
                lines[fence] = ["```python", *source.splitlines(), "```"]
        text = "\n".join(lines) + "\n"
        if text.splitlines() != document.text.splitlines() and not document.undecodable:
            write_text(document.path, text)
