"""Typed reading of TOML tables: every value is checked, and every defect is collected with its line."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from backpressure_lab.manifest import lines
from backpressure_lab.manifest.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A default that makes a key mandatory.
REQUIRED: Any = object()


class Document:
    """A parsed TOML document, the lines of its parts, and the problems found in it so far."""

    def __init__(self, name: str, text: str, data: dict[str, Any]) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._lines = lines.locate(text)
        self.root = Table(self, (), data, "the manifest")

    def line(self, path: lines.Path) -> int:
        """The line of a path, or of the nearest thing around it."""
        return lines.line_of(self._lines, path)

    def problem(self, path: lines.Path, message: str) -> None:
        """Note a defect at a path."""
        self.problems.append(Problem(self.name, self.line(path), message))


class Table:
    """One table. Reading a key marks it as known; ``close`` reports the rest. A bad value reads as a harmless one."""

    def __init__(self, document: Document, path: lines.Path, data: dict[str, Any], label: str) -> None:
        self.path = path
        self.label = label
        self.sound = True
        self._document = document
        self._data = data
        self._known: list[str] = []

    @property
    def line(self) -> int:
        """Where the table stands."""
        return self._document.line(self.path)

    def problem(self, message: str, *path: str | int) -> None:
        """Note a defect of this table, or of a path below it."""
        self.sound = False
        self._document.problem((*self.path, *path), f"{self.label}: {message}")

    def text(self, key: str, default: Any = REQUIRED, pattern: str = r".*\S.*", what: str = "a text, not empty") -> Any:
        """A string that matches ``pattern`` as a whole; ``what`` says in words which strings do."""

        def accept(value: object) -> bool:
            return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None

        return self._take(key, default, accept, what, "")

    def texts(
        self, key: str, default: Any = REQUIRED, *, empty: bool = False, everything: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        """A list of strings, none blank, no two the same. ``everything`` is what the single word "all" stands for."""
        if everything is not None and self._data.get(key) == "all":
            self._known.append(key)
            return everything
        what = "a list of texts" if everything is None else 'a list of texts, or "all"'
        found = self._take(key, default, lambda value: isinstance(value, list), what, None)
        if found == [] and not empty:
            self.problem(f"{key} is empty; list at least one text", key)
        taken: list[str] = []
        for index, value in enumerate(found or ()):
            if not isinstance(value, str) or not value.strip():
                self.problem(f"{key} holds {show(value)}, which must be a text, not empty", key, index)
            elif value in taken:
                self.problem(f"{key} holds {show(value)} twice; remove one", key, index)
            taken.append(value if isinstance(value, str) else "")
        return tuple(taken)

    def flag(self, key: str, default: bool) -> bool:  # noqa: FBT001 - the manifest's own default for a boolean
        """A boolean."""
        return bool(self._take(key, default, lambda value: isinstance(value, bool), "true or false", default))

    def integer(self, key: str, at_least: int) -> int:
        """A whole number."""

        def accept(value: object) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and value >= at_least

        return int(self._take(key, REQUIRED, accept, f"a whole number, at least {at_least}", at_least))

    def seconds(self, key: str) -> float | None:
        """A number of seconds above 0, or None where the key is absent."""

        def accept(value: object) -> bool:
            return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")

        found = self._take(key, None, accept, "a number of seconds above 0", 0.0)
        return None if found is None else float(found)

    def choice(self, key: str, values: tuple[str, ...]) -> Any:
        """One of a few strings."""
        return self._take(key, REQUIRED, lambda value: value in values, " or ".join(map(show, values)), "")

    def tables(self, key: str, kind: str, *, required: bool = False) -> Iterator[Table]:
        """The elements of an array of tables, each labelled by its kind and its id or name."""

        def accept(value: object) -> bool:
            return isinstance(value, list) and all(isinstance(element, dict) for element in value)

        default = REQUIRED if required else []
        found = self._take(key, default, accept, f"an array of tables, each written [[{key}]]", [])
        for index, data in enumerate(found):
            name = data.get("id", data.get("name"))
            label = f"{kind} {show(name)}" if isinstance(name, str) else f"{kind} number {index + 1}"
            yield Table(self._document, (*self.path, key, index), data, label)

    def named_tables(self, key: str, kind: str) -> Iterator[tuple[str, Table]]:
        """The tables of a table, with their names."""

        def accept(value: object) -> bool:
            return isinstance(value, dict) and all(isinstance(element, dict) for element in value.values())

        for name, data in self._take(key, {}, accept, f"tables, each with a name: [items.{key}.NAME]", {}).items():
            yield name, Table(self._document, (*self.path, key, name), data, f"{self.label}, {kind} {show(name)}")

    def named_texts(self, key: str) -> dict[str, str]:
        """The texts of a table, with their names; none where the key is absent."""

        def accept(value: object) -> bool:
            return isinstance(value, dict) and all(isinstance(one, str) and one.strip() for one in value.values())

        return dict(self._take(key, {}, accept, f"texts, each with a name: [items.{key}]", {}))

    def close(self) -> None:
        """Report every key that nothing has read."""
        for key in self._data:
            if key not in self._known:
                near = get_close_matches(key, self._known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(self._known)}"
                self.problem(f"unknown key {show(key)}; {hint}", key)

    def _take(self, key: str, default: Any, accept: Callable[[object], bool], what: str, fallback: Any) -> Any:
        self._known.append(key)
        if key not in self._data:
            if default is REQUIRED:
                self.problem(f"{key} is missing; it must be {what}")
                return fallback
            return default
        value = self._data[key]
        if not accept(value):
            self.problem(f"{key} is {show(value)}, but must be {what}", key)
            return fallback
        return value


def show(value: object) -> str:
    """A value as a message quotes it: one line, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - what fits beside the rest of a message
