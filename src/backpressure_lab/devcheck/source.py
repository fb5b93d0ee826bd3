"""A DAG file read without running it: its DAGs, findings and imports, as far as they are written plainly."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# What stands for a value that only running the file would tell.
UNKNOWN = object()


@dataclass(frozen=True)
class Declaration:
    """One DAG of a file: the ``DAG(…)`` or ``@dag(…)`` call, and the name of the function that ``@dag`` decorates."""

    source: Source
    call: ast.Call
    function: str | None

    @property
    def line(self) -> int:
        """Where the DAG is declared."""
        return self.call.lineno

    @property
    def dag_id(self) -> Any:
        """The dag_id, or ``UNKNOWN``."""
        node = self.keyword("dag_id") or next(iter(self.call.args), None)
        return self.function if node is None else self.source.value(node)

    @property
    def known_start(self) -> str:
        """What the dag_id begins with, as far as the file tells without being run."""
        if isinstance(self.dag_id, str):
            return self.dag_id
        node = self.keyword("dag_id") or next(iter(self.call.args), None)
        return self.source.start(node) if node else ""

    def keyword(self, name: str) -> ast.expr | None:
        """The node of a keyword argument."""
        return _keyword(self.call, name)

    def param(self, name: str) -> ast.Call | None:
        """The ``Param(…)`` call of an entry of ``params``."""
        node = self.keyword("params")
        params = self.source.follow(node) if node else None
        if not isinstance(params, ast.Dict):
            return None
        for key, entry in zip(params.keys, params.values, strict=True):
            called = self.source.follow(entry)
            if key and self.source.value(key) == name and isinstance(called, ast.Call) and _name(called) == "Param":
                return called
        return None

    def param_values(self, param: ast.Call) -> tuple[Any, Any]:
        """The default and the ``enum`` of a ``Param``."""
        default = _keyword(param, "default") or next(iter(param.args), None)
        enum = _keyword(param, "enum")
        return (self.source.value(default) if default else UNKNOWN, self.source.value(enum) if enum else UNKNOWN)


class Source:
    """The syntax tree of a DAG file."""

    def __init__(self, text: str) -> None:
        """Parse ``text``.

        Raises:
            SyntaxError: It is not Python.
        """
        self.length = len(text.splitlines())
        self.tree = ast.parse(text)

    @property
    def docstring(self) -> str | None:
        """The module's docstring."""
        return ast.get_docstring(self.tree)

    @property
    def declarations(self) -> Iterator[Declaration]:
        """The file's DAGs."""
        decorators = {
            decorator: node.name
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef)
            for decorator in node.decorator_list
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and (_name(node) == "DAG" or getattr(node.func, "id", "") == "dag"):
                yield Declaration(self, node, decorators.get(node))

    @property
    def findings(self) -> Iterator[tuple[int, Any]]:
        """The line and the bullet of each ``finding(…)``; the bullet may be ``UNKNOWN``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and _name(node) == "finding":
                bullet = _keyword(node, "bullet") or next(iter(node.args), None)
                yield node.lineno, self.value(bullet) if bullet else UNKNOWN

    @property
    def imports(self) -> Iterator[tuple[int, str]]:
        """The line and the full name of everything imported, at whatever depth."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)

    def follow(self, node: ast.expr) -> ast.expr:
        """The expression behind a module's constant; any other expression itself."""
        return self._constants.get(node.id, node) if isinstance(node, ast.Name) else node

    def value(self, node: ast.expr) -> Any:
        """The value of an expression made of literals and the module's constants, else ``UNKNOWN``."""
        node = self.follow(node)
        if isinstance(node, ast.List | ast.Tuple):
            values = [self.value(element) for element in node.elts]
            return UNKNOWN if UNKNOWN in values else values
        if isinstance(node, ast.JoinedStr):
            parts = [self._part(part) for part in node.values]
            return UNKNOWN if UNKNOWN in parts else "".join(map(str, parts))
        return node.value if isinstance(node, ast.Constant) else UNKNOWN

    def start(self, node: ast.expr) -> str:
        """What a formatted string begins with, as far as it can be told."""
        node = self.follow(node)
        begun = ""
        for part in node.values if isinstance(node, ast.JoinedStr) else ():
            value = self._part(part)
            if value is UNKNOWN:
                break
            begun += str(value)
        return begun

    def _part(self, node: ast.expr) -> Any:
        """The value of one part of a formatted string; a format or conversion is not carried out."""
        if not isinstance(node, ast.FormattedValue):
            return self.value(node)
        return UNKNOWN if node.format_spec or node.conversion != -1 else self.value(node.value)

    @cached_property
    def _constants(self) -> dict[str, ast.expr]:
        """The module's names that are assigned once, at top level."""
        assigned: dict[str, list[ast.expr]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        assigned.setdefault(target.id, []).append(node.value)
            elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
                assigned.setdefault(node.target.id, []).append(node.value)
        return {name: values[0] for name, values in assigned.items() if len(values) == 1}


def _name(call: ast.Call) -> str:
    """What is called, without the module or object in front."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
