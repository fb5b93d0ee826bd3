"""Where each table, key and array element of a TOML document stands; the standard library's parser does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[\s,]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every table, key and array element of a document that ``tomllib`` has accepted.

    A path is spelled as one would index the parsed document: ``("items", 0, "tags", 2)``. What a document spells more
    than once (a table whose keys are given in several places) has the line of its first appearance.
    """
    return _Scanner(text).document()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it that the document spells out."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scanner:
    """Walks the text once; validity is taken for granted, so that only structure needs to be told apart."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._elements: dict[Path, int] = {}

    def document(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _header(self) -> Path:
        """A table's ``[header]``, or one more element of an ``[[array]]`` of tables."""
        start, element = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if element else 1
        *parents, last = self._dotted()
        self.at = self.text.index("]", self.at) + (2 if element else 1)
        path: Path = ()
        for parent in parents:
            path = self._current((*path, parent))
            self._record(path, start)
        path = (*path, last)
        if element:
            self._record(path, start)
            self._elements[path] = self._elements.get(path, -1) + 1
        path = self._current(path)
        self._record(path, start)
        return path

    def _current(self, path: Path) -> Path:
        """The latest element where ``path`` is an array of tables, else ``path``."""
        return (*path, self._elements[path]) if path in self._elements else path

    def _pair(self, table: Path) -> None:
        start, path = self.at, table
        for part in self._dotted():
            path = (*path, part)
            self._record(path, start)
        self.at = self.text.index("=", self.at) + 1
        self._skip(_BLANK)
        self._value(path)

    def _dotted(self) -> list[str]:
        parts = []
        while True:
            self._skip(_BLANK)
            raw = self._skip(_KEY)
            parts.append(tomllib.loads(f"key = {raw}")["key"] if raw[0] in "\"'" else raw)
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self._skip(_STRING)
        elif opening in "[{":
            self._container(path, "]" if opening == "[" else "}")
        else:
            self._skip(_BARE)

    def _container(self, path: Path, closing: str) -> None:
        self.at += 1
        self._skip(_BLANK)
        index = 0
        while not self.text.startswith(closing, self.at):
            if closing == "}":
                self._pair(path)
            else:
                self._record((*path, index), self.at)
                self._value((*path, index))
                index += 1
            self._skip(_BLANK)
        self.at += 1

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"text is not valid TOML at offset {self.at}; parse it with tomllib first")
        self.at = match.end()
        return match.group()

    def _record(self, path: Path, offset: int) -> None:
        self.lines.setdefault(path, bisect_left(self._ends, offset) + 1)
