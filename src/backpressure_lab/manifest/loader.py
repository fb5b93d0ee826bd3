"""From the text of ``course.toml`` to a checked ``Course``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import MappingProxyType

from backpressure_lab.manifest import rules
from backpressure_lab.manifest.model import Course, Exercise, Item, Pool, Queue, Scenario, Section, Worker
from backpressure_lab.manifest.problems import ManifestError, Problem
from backpressure_lab.manifest.reader import Document, Table

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_A_NAME = "letters, digits, and _ . - between them"
_FOLDER = r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"
_SCENARIO = r"[a-z][a-z0-9_]*"


def load(path: Path | None = None) -> Course:
    """The course that a manifest describes: this checkout's ``course.toml``, or the file at ``path``.

    Files that the manifest names are looked for beside it.

    Raises:
        ManifestError: The manifest cannot be read, or is not right; it names every defect with file and line.
    """
    source = path or Path(__file__).resolve().parents[3] / "course.toml"
    document = _document(source)
    course = _course(document, source.resolve().parent)
    if document.problems:
        raise ManifestError(document.problems)
    return course


def _document(source: Path) -> Document:
    """The parsed manifest; what cannot be parsed at all is a problem with a line, too."""
    try:
        raw = source.read_bytes()
    except OSError as error:
        reason = (
            f"cannot be read: {error.strerror}; run this from a full clone, or restore it: git checkout course.toml"
        )
        raise ManifestError([Problem(str(source), 1, reason)]) from error
    try:
        text = raw.decode("utf-8").replace("\r\n", "\n")
        return Document(source.name, text, tomllib.loads(text))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        reason = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ManifestError([Problem(source.name, line, reason)]) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", str(error))
        line = int(place[1]) if place and place[1] else text.rstrip().count("\n") + 1
        reason = str(error).removesuffix(place[0] if place else "")
        raise ManifestError([Problem(source.name, line, f"not valid TOML: {reason}; correct this line")]) from error


def _course(document: Document, root: Path) -> Course:
    """Everything that can be read, with the problems noted in the document."""
    top = document.root
    pools = [(table, _pool(table)) for table in top.tables("pools", "pool")]
    queues = [(table, _queue(table)) for table in top.tables("queues", "queue")]
    workers = [(table, _worker(table)) for table in top.tables("workers", "worker")]
    sections = [(table, _section(table)) for table in top.tables("sections", "section", required=True)]
    folders = {section.id: section.dags for _, section in sections}
    items = [(table, _item(table, folders)) for table in top.tables("items", "item", required=True)]
    exercises = [(table, _exercise(table)) for table in top.tables("exercises", "exercise")]
    top.close()
    rules.check_lab(pools, queues, workers)
    rules.check_sections(sections)
    rules.check_items(items, sections, pools, root)
    rules.check_exercises(exercises, sections, root)
    return Course(
        root=root,
        pools=tuple(pool for _, pool in pools),
        queues=tuple(queue for _, queue in queues),
        workers=tuple(worker for _, worker in workers),
        sections=tuple(section for _, section in sections),
        items=tuple(item for _, item in items),
        exercises=tuple(exercise for _, exercise in exercises),
    )


def _pool(table: Table) -> Pool:
    pool = Pool(
        name=table.text("name", pattern=_NAME, what=_A_NAME),
        slots=table.integer("slots", at_least=-1),
        description=table.text("description"),
        include_deferred=table.flag("include_deferred", default=False),
    )
    table.close()
    return pool


def _queue(table: Table) -> Queue:
    queue = Queue(name=table.text("name", pattern=_NAME, what=_A_NAME), description=table.text("description"))
    table.close()
    return queue


def _worker(table: Table) -> Worker:
    worker = Worker(
        name=table.text("name", pattern=_NAME, what=_A_NAME),
        queues=table.texts("queues"),
        concurrency=table.integer("concurrency", at_least=1),
    )
    table.close()
    return worker


def _section(table: Table) -> Section:
    section = Section(
        id=table.text("id", pattern=_NAME, what=_A_NAME),
        title=table.text("title"),
        overview=table.text("overview"),
        dags=table.text("dags", pattern=f"dags/{_FOLDER}", what="a folder below dags/"),
        page=table.text("page", pattern=rf"modules/{_FOLDER}\.md", what="a Markdown file below modules/"),
    )
    table.close()
    return section


def _item(table: Table, folders: dict[str, str]) -> Item:
    section = table.text("section")
    filename = table.text("filename", pattern=r"[A-Za-z0-9_]+\.py", what="a Python file's name, without a folder")
    checklist = table.texts("checklist")
    scenarios = [_scenario(name, below, checklist) for name, below in table.named_tables("scenarios", "scenario")]
    item = Item(
        id=table.text("id", pattern=_NAME, what=_A_NAME),
        section=section,
        title=table.text("title"),
        file=f"{folders.get(section, 'dags')}/{filename}",
        tags=table.texts("tags"),
        purpose=table.text("purpose"),
        checklist=checklist,
        expected_behavior=table.text("expected_behavior"),
        default_scenario=table.text("default_scenario", default=None),
        scenarios=MappingProxyType({scenario.name: scenario for scenario in scenarios}),
        exclusive=table.flag("exclusive", default=False),
        cost=table.seconds("cost"),
        written=table.flag("written", default=False),
        creates_pools=table.texts("creates_pools", default=()),
        reserves=table.texts("reserves", default=()),
        local=table.text("local", default=""),
        negative_controls=MappingProxyType(table.named_texts("negative_controls")),
        line=table.line,
    )
    table.close()
    return item


def _scenario(name: str, table: Table, checklist: tuple[str, ...]) -> Scenario:
    if not re.fullmatch(_SCENARIO, name):
        table.problem("the name must be lower-case letters, digits and _, a letter first; rename it")
    scenario = Scenario(
        name=name,
        state=table.choice("state", ("success", "failed")),
        holds=table.texts("holds", empty=True, everything=checklist),
    )
    table.close()
    return scenario


def _exercise(table: Table) -> Exercise:
    exercise = Exercise(
        id=table.text("id", pattern=_NAME, what=_A_NAME),
        section=table.text("section"),
        title=table.text("title"),
        folder=table.text("folder", pattern=f"exercises/{_FOLDER}", what="a folder below exercises/"),
    )
    table.close()
    return exercise
