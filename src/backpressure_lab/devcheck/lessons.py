"""The DAG files of written items, against the manifest: what can be told without running them."""

from __future__ import annotations

import ast
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING

from backpressure_lab.devcheck.source import UNKNOWN, Declaration, Source
from backpressure_lab.manifest import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from backpressure_lab.manifest import Course, Item

SHORTEST, LONGEST = 60, 120
_PACKAGES = ("airflow.sdk", "airflow.providers", "backpressure")


def check(course: Course) -> Iterator[Problem]:
    """Every disagreement between the manifest and the files below ``dags/``."""
    items = {item.file: item for item in course.items}
    for path in sorted((course.root / "dags").rglob("*.py")):
        name = path.relative_to(course.root).as_posix()
        item = items.get(name)
        if item is None:
            yield Problem(name, 1, "no item of course.toml has this file; add one, or remove the file")
        elif not item.written:
            message = f"{name} is there, but item {item.id} is not marked as written; set written = true"
            yield Problem("course.toml", item.line, message)
    for item in course.written:
        try:
            text = (course.root / item.file).read_text(encoding="utf-8")
            source = Source(text)
        except SyntaxError as error:
            yield Problem(item.file, error.lineno or 1, f"not valid Python: {error.msg}; correct this line")
        except UnicodeDecodeError as error:
            yield Problem(item.file, 1, f"not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8")
        else:
            for line, message in sorted(_file(item, source)):
                yield Problem(item.file, line, message)


def _file(item: Item, source: Source) -> Iterator[tuple[int, str]]:
    if not source.docstring:
        yield 1, "there is no module docstring; say the purpose, what to watch and the expected behaviour"
    if not SHORTEST <= source.length <= LONGEST:
        yield source.length, f"the file has {source.length} lines; a lesson has {SHORTEST} to {LONGEST}: cut or explain"
    yield from _imports(source.imports)
    yield from _dags(item, list(source.declarations))
    yield from _findings(item, list(source.findings))


def _imports(imports: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """A lesson stands on Airflow's public interface, the package and the standard library."""
    for line, name in imports:
        allowed = any(name == package or name.startswith(f"{package}.") for package in _PACKAGES)
        if not allowed and name.partition(".")[0] not in sys.stdlib_module_names:
            yield line, f"imports {name}; a DAG file imports {', '.join(_PACKAGES)} and the standard library only"


def _dags(item: Item, dags: list[Declaration]) -> Iterator[tuple[int, str]]:
    """One DAG has the file's stem as its dag_id, the others begin with it and two underscores."""
    main = [dag for dag in dags if dag.dag_id == item.dag_id]
    for dag in dags:
        if dag not in main and not dag.known_start.startswith(f"{item.dag_id}__"):
            shown = "not a plain text" if dag.dag_id is UNKNOWN else f'"{dag.dag_id}"'
            yield dag.line, f'dag_id is {shown}; it must be "{item.dag_id}", or "{item.dag_id}__NAME" for a helper'
    if len(main) != 1:
        yield 1, f'{len(main)} DAGs have the dag_id "{item.dag_id}"; exactly one must'
        return
    yield from _main_dag(item, main[0])


def _main_dag(item: Item, dag: Declaration) -> Iterator[tuple[int, str]]:
    """The lesson's own DAG: tags, documentation and scenarios are the manifest's."""
    tags = dag.keyword("tags")
    found = dag.source.value(tags) if tags else None
    if found != list(item.tags):
        shown = "not plain texts" if found is UNKNOWN else found
        yield dag.line, f"tags are {shown}, but the manifest says {list(item.tags)}; copy them"
    doc = dag.keyword("doc_md")
    if not (isinstance(doc, ast.Name) and doc.id == "__doc__"):
        yield dag.line, "the module docstring is not the DAG's documentation; add doc_md=__doc__"
    param = dag.param("scenario")
    if param is None:
        yield dag.line, 'there is no param "scenario"; add params={"scenario": Param(DEFAULT, enum=[…])}'
        return
    default, enum = dag.param_values(param)
    if default != item.default_scenario:
        shown = "not a plain text" if default is UNKNOWN else f'"{default}"'
        yield param.lineno, f'the default scenario is {shown}, but the manifest says "{item.default_scenario}"'
    if not isinstance(enum, list) or sorted(map(str, enum)) != sorted(item.scenarios):
        shown = enum if isinstance(enum, list) else "missing or not plain texts"
        yield (
            param.lineno,
            f"the enum of scenarios is {shown}, but the manifest has {list(item.scenarios)}; make them agree",
        )


def _findings(item: Item, findings: list[tuple[int, object]]) -> Iterator[tuple[int, str]]:
    """Each bullet is the text of exactly one finding, and each finding is about a bullet."""
    lines: dict[object, int] = {}
    for line, bullet in findings:
        if bullet is UNKNOWN:
            yield line, 'the bullet of a finding is not a plain text; write finding("BULLET", …)'
        elif bullet not in item.checklist:
            near = get_close_matches(str(bullet), item.checklist, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; its bullets are {list(item.checklist)}"
            yield line, f'finding "{bullet}" is not a bullet of {item.id}{hint}'
        elif bullet in lines:
            yield line, f'the bullet "{bullet}" has a finding in line {lines[bullet]} already; a bullet has exactly one'
        lines.setdefault(bullet, line)
    for bullet in item.checklist:
        if bullet not in lines:
            yield 1, f'no finding for the bullet "{bullet}"; add finding("{bullet}", …)'
