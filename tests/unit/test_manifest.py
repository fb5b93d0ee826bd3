"""Loading the manifest: what it gives, and how each defect is reported."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from backpressure_lab.manifest import Course, Item, ManifestError, UnknownItemError, load

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
[[pools]]
name = "control"
slots = 8
description = "Control tasks."

[[queues]]
name = "default"
description = "Ordinary tasks."

[[workers]]
name = "a"
queues = ["default"]
concurrency = 2

[[sections]]
id = "1"
title = "First"
overview = "The first section."
dags = "dags/one"
page = "modules/one.md"

[[items]]
id = "1.1"
section = "1"
title = "Written"
filename = "one_a.py"
tags = ["core", "success"]
purpose = "To be loaded"
checklist = [
    "First bullet",
    "Second bullet",
]
expected_behavior = "It loads"
written = true
cost = 20
exclusive = true
default_scenario = "good"
creates_pools = ["one_a"]

[items.scenarios.good]
state = "success"
holds = "all"

[items.scenarios.poor]
state = "failed"
holds = []

[[items]]
id = "1.2"
section = "1"
title = "Unwritten"
filename = "one_b.py"
tags = ["core"]
purpose = "To be listed"
checklist = ["Third bullet"]
expected_behavior = "It is listed"

[[exercises]]
id = "e1"
section = "1"
title = "Do it"
folder = "exercises/e1_do"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course's folder with the files that ``GOOD`` speaks of."""
    (tmp_path / "dags/one").mkdir(parents=True)
    (tmp_path / "dags/one/one_a.py").touch()
    (tmp_path / "exercises/e1_do").mkdir(parents=True)
    return tmp_path


def loaded(root: Path, text: str) -> Course:
    """The course of a manifest with this text."""
    path = root / "course.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


def problems(root: Path, text: str) -> list[str]:
    """The lines that loading this text prints."""
    with pytest.raises(ManifestError) as caught:
        loaded(root, text)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return [str(problem) for problem in caught.value.problems]


def line_with(text: str, part: str) -> int:
    """The first line that holds ``part``."""
    return text[: text.index(part)].count("\n") + 1


def test_a_good_manifest_becomes_a_course(root: Path) -> None:
    """Every table and key arrives, in the manifest's order, with defaults where a key is absent."""
    course = loaded(root, GOOD)
    written, unwritten = course.items
    assert course.root == root
    assert [(pool.name, pool.slots, pool.include_deferred) for pool in course.pools] == [("control", 8, False)]
    assert [queue.name for queue in course.queues] == ["default"]
    assert [(worker.name, worker.queues, worker.concurrency) for worker in course.workers] == [("a", ("default",), 2)]
    assert course.section("1").page == "modules/one.md"
    assert course.exercises[0].as_json("open") == {
        "id": "e1",
        "title": "Do it",
        "folder": "exercises/e1_do",
        "status": "open",
    }
    assert (written.dag_id, written.cost, written.exclusive, written.creates_pools) == ("one_a", 20.0, True, ("one_a",))
    assert (unwritten.written, unwritten.cost, unwritten.exclusive, unwritten.default_scenario) == (
        False,
        None,
        False,
        None,
    )
    assert course.written == (written,)
    assert written.line == line_with(GOOD, "[[items]]")


def test_an_item_is_shown_as_the_contract_says(root: Path) -> None:
    """``./lab list --json`` has exactly these keys, and "all" is spelled out as the bullets."""
    assert loaded(root, GOOD).items[0].as_json() == {
        "id": "1.1",
        "section": "1",
        "title": "Written",
        "dag_id": "one_a",
        "file": "dags/one/one_a.py",
        "tags": ["core", "success"],
        "purpose": "To be loaded",
        "checklist": ["First bullet", "Second bullet"],
        "expected_behavior": "It loads",
        "default_scenario": "good",
        "scenarios": {
            "good": {"state": "success", "holds": ["First bullet", "Second bullet"]},
            "poor": {"state": "failed", "holds": []},
        },
        "exclusive": True,
        "written": True,
    }


def test_the_course_cannot_be_changed(root: Path) -> None:
    """Items and their scenarios are frozen, and items can be kept in sets."""
    item = loaded(root, GOOD).items[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.written = False  # type: ignore[misc]
    with pytest.raises(TypeError):
        item.scenarios["more"] = item.scenarios["good"]  # type: ignore[index]
    assert len({item, item}) == 1


@pytest.mark.parametrize("ref", ["1.1", "one_a"])
def test_an_item_answers_to_id_and_dag_id(root: Path, ref: str) -> None:
    """Either name finds the item, whatever else begins with it."""
    assert loaded(root, GOOD).item(ref).id == "1.1"


def test_a_unique_prefix_finds_an_item_and_a_shared_one_does_not(root: Path) -> None:
    """A prefix of id or dag_id will do while only one item begins with it; else the candidates are named."""
    course = loaded(root, GOOD.replace("one_b.py", "other.py"))
    assert course.item("on").id == "1.1"
    assert course.item("ot").id == "1.2"
    with pytest.raises(UnknownItemError, match=r"2 items begin with '1'\. Did you mean 1\.1, 1\.2\?") as caught:
        course.item("1")
    assert (caught.value.ref, caught.value.nearest, caught.value.code) == ("1", ("1.1", "1.2"), 2)


@pytest.mark.parametrize(("ref", "nearest"), [("one_c", "one_a"), ("1.3", "1.1"), ("", None), ("zzz", None)])
def test_an_unknown_item_is_answered_with_the_nearest_names(root: Path, ref: str, nearest: str | None) -> None:
    """A slip of the pen gets a suggestion, anything else only the command that lists the items."""
    with pytest.raises(UnknownItemError, match=r"\./lab list") as caught:
        loaded(root, GOOD).item(ref)
    assert (nearest in caught.value.nearest) if nearest else (caught.value.nearest == ())


DEFECTS = {
    "unknown key": ("cost = 20", "costs = 20", 'item "1.1": unknown key "costs"; did you mean cost?'),
    "unknown key unlike any": (
        "slots = 8",
        "slots = 8\nzz = 1",
        'pool "control": unknown key "zz"; known keys are name',
    ),
    "unknown table": ("[[exercises]]", "[[exercise]]", 'unknown key "exercise"; did you mean exercises?'),
    "missing key": (
        "[[sections]]\nid",
        "[[sections]]\n#id",
        "section number 1: id is missing; it must be letters, digits",
    ),
    "text for number": (
        "slots = 8",
        'slots = "8"',
        'pool "control": slots is "8", but must be a whole number, at least -1',
    ),
    "boolean for number": ("concurrency = 2", "concurrency = true", "concurrency is true, but must be a whole number"),
    "number too small": ("slots = 8", "slots = -2", "slots is -2, but must be a whole number, at least -1"),
    "text for boolean": ("exclusive = true", 'exclusive = "yes"', 'exclusive is "yes", but must be true or false'),
    "no seconds": ("cost = 20", "cost = 0", "cost is 0, but must be a number of seconds above 0"),
    "endless seconds": ("cost = 20", "cost = inf", "cost is Infinity, but must be a number of seconds above 0"),
    "empty text": ('title = "Written"', 'title = " "', 'title is " ", but must be a text, not empty'),
    "text for list": ('tags = ["core"]', 'tags = "core"', 'item "1.2": tags is "core", but must be a list of texts'),
    "empty list": ('tags = ["core"]', "tags = []", "tags is empty; list at least one text"),
    "number in list": ('    "Second bullet",', "    2,", "checklist holds 2, which must be a text, not empty"),
    "bullet twice": ('    "Second bullet",', '    "First bullet",', 'checklist holds "First bullet" twice; remove one'),
    "date for text": ('purpose = "To be listed"', "purpose = 2026-01-01", "purpose is 2026-01-01, but must be a text"),
    "table for array": ("[[pools]]", "[pools]", "the manifest: pools is {"),
    "value for table": ("[items.scenarios.good]", "[items.scenarios]\nx = 1\n[items.scenarios.good]", "scenarios is {"),
    "unknown state": ('state = "failed"', 'state = "skipped"', 'state is "skipped", but must be "success" or "failed"'),
    "word for holds": ('holds = "all"', 'holds = "most"', 'holds is "most", but must be a list of texts, or "all"'),
    "scenario's name": (
        "[items.scenarios.poor]",
        '[items.scenarios."a b"]',
        'scenario "a b": the name must be lower-case',
    ),
    "unknown bullet": (
        "holds = []",
        'holds = [\n"First bullet",\n"Nth"]',
        'holds "Nth", not a bullet of the checklist',
    ),
    "negative control of no bullet": (
        "exclusive = true",
        'negative_controls = {"Nth" = "a sibling"}',
        'negative_controls names "Nth", not a bullet of the checklist',
    ),
    "negative control without a reason": (
        "exclusive = true",
        'negative_controls = {"First bullet" = ""}',
        "negative_controls is",
    ),
    "bullet in no scenario": ('holds = "all"', 'holds = ["First bullet"]', '"Second bullet" holds in no scenario'),
    "bullet in every scenario": ("holds = []", 'holds = ["First bullet"]', '"First bullet" holds in every scenario'),
    "default not a scenario": ('"good"', '"goood"', 'default_scenario is "goood", but the scenarios are good, poor'),
    "no default": ('default_scenario = "good"\n', "", "default_scenario is null, but the scenarios are good, poor"),
    "default against tag": (
        '"core", "success"',
        '"failure"',
        'the tag "failure" says that the default scenario ends in',
    ),
    "written without cost": ("cost = 20\n", "", "cost is missing; a written item states the seconds"),
    "one scenario only": (
        '[items.scenarios.poor]\nstate = "failed"\nholds = []\n',
        "",
        "has at least 2 scenarios, this one 1",
    ),
    "unknown section": ('section = "1"', 'section = "2"', 'section is "2", but the sections are 1; add [[sections]]'),
    "unknown queue": (
        'queues = ["default"]',
        'queues = ["default",\n"gpu"]',
        'queues holds "gpu", but the queues are default',
    ),
    "unserved queue": (
        "[[workers]]",
        '[[queues]]\nname = "gpu"\ndescription = "Mine."\n[[workers]]',
        "no worker serves",
    ),
    "folder in filename": (
        '"one_b.py"',
        '"../one_b.py"',
        'filename is "../one_b.py", but must be a Python file\'s name',
    ),
    "dags elsewhere": ('"dags/one"', '"dags/../one"', 'dags is "dags/../one", but must be a folder below dags/'),
    "page elsewhere": ('"modules/one.md"', '"one.md"', 'page is "one.md", but must be a Markdown file below modules/'),
    "same id": ('id = "1.2"', 'id = "1.1"', 'item "1.1": id is "1.1", as in line 22; give each its own'),
    "same filename": ('"one_b.py"', '"one_a.py"', 'filename is "one_a.py", as in line 22; give each its own'),
    "the lab's pool": ('["one_a"]', '["one_a",\n"control"]', 'creates_pools holds "control", which belongs to the lab'),
    "written but missing": (
        '"one_a.py"',
        '"one_c.py"',
        "written is true, but dags/one/one_c.py is missing; write it, or",
    ),
    "exercise without folder": ('"exercises/e1_do"', '"exercises/e2"', "the folder exercises/e2 is missing; make it"),
}
# Where the defect is not in the line that was changed: a part of the line that shows it.
ELSEWHERE = {
    "missing key": "[[sections]]",
    "bullet twice": '    "First bullet",\n]',
    "same id": 'id = "1.1"\nsection = "1"\ntitle = "Unwritten"',
    "same filename": 'filename = "one_a.py"\ntags = ["core"]',
    "unknown bullet": '"Nth"',
    "bullet in no scenario": '    "Second bullet"',
    "bullet in every scenario": '    "First bullet"',
    "default not a scenario": "default_scenario =",
    "no default": "[[items]]",
    "default against tag": 'state = "success"',
    "written without cost": "[[items]]",
    "one scenario only": "[[items]]",
    "unknown queue": '"gpu"',
    "the lab's pool": '"control"]',
    "unknown key unlike any": "zz = 1",
    "value for table": "[items.scenarios]",
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_reported_with_its_line_value_and_remedy(root: Path, name: str) -> None:
    """Whatever is wrong, one printed line names file and line, the value, what is right, and what to do."""
    before, after, message = DEFECTS[name]
    text = GOOD.replace(before, after, 1)
    assert text != GOOD
    line = line_with(text, ELSEWHERE.get(name, after))
    found = [problem for problem in problems(root, text) if message in problem]
    assert [problem.split(": ")[0] for problem in found] == [f"course.toml:{line}"]


def test_all_problems_are_reported_at_once_in_the_order_of_lines(root: Path) -> None:
    """Three defects of three kinds in three tables need one look, not three."""
    text = GOOD.replace("slots = 8", "slots = 8.5").replace(
        'section = "1"\ntitle = "Unw', 'section = "9"\ntitle = "Unw'
    )
    found = problems(root, text.replace("concurrency", "concurency"))
    assert [problem.split(": ")[1] for problem in found] == ['pool "control"', 'worker "a"', 'worker "a"', 'item "1.2"']


def test_a_file_that_is_being_written_stops_nothing(root: Path) -> None:
    """Other lessons run while the file of an unwritten one is there already; the author's check names it."""
    assert loaded(root, GOOD.replace("written = true", "written = false", 1)).written == ()
    assert (root / "dags/one/one_a.py").exists()


def test_one_defect_is_one_problem(root: Path) -> None:
    """A value that cannot be read draws no further complaints about what depends on it."""
    for name in ("text for list", "empty text", "folder in filename", "unknown state", "written but missing"):
        before, after, _ = DEFECTS[name]
        assert len(problems(root, GOOD.replace(before, after, 1))) == 1, name


@pytest.mark.parametrize(
    ("before", "after", "line", "message"),
    [
        ("slots = 8", "slots = = 8", 3, "not valid TOML: Invalid value; correct this line"),
        ("slots = 8", "slots = 8\nslots = 9", 4, "not valid TOML: Cannot overwrite a value"),
        ('folder = "exercises/e1_do"\n', 'folder = """exercises\n\n', 62, "not valid TOML: Unterminated"),
    ],
)
def test_a_syntax_error_is_reported_with_its_line(root: Path, before: str, after: str, line: int, message: str) -> None:
    """A text that is not TOML at all is a problem like any other, also when it breaks off at the end."""
    (problem,) = problems(root, GOOD.replace(before, after, 1))
    assert problem.startswith(f"course.toml:{line}: {message}")


def test_a_file_that_is_not_utf8_is_reported_with_its_line(root: Path) -> None:
    """The byte and its line are named, instead of a decoder's traceback."""
    (root / "course.toml").write_bytes(GOOD.encode().replace(b"Control tasks", b"Contr\xf4le"))
    with pytest.raises(ManifestError, match=r"^course\.toml:4: byte 0xf4 is not UTF-8; save the file as UTF-8$"):
        load(root / "course.toml")


def test_windows_line_ends_change_nothing(root: Path) -> None:
    """A checkout with CRLF loads, and its lines are counted alike."""
    (root / "course.toml").write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert load(root / "course.toml").items[0].line == line_with(GOOD, "[[items]]")


def test_a_missing_manifest_says_how_to_get_it_back(tmp_path: Path) -> None:
    """The whole path is named, with the command that restores the file."""
    with pytest.raises(
        ManifestError, match=r"nothing\.toml:1: cannot be read: No such file.*git checkout course\.toml"
    ):
        load(tmp_path / "nothing.toml")


def test_what_is_empty_is_not_a_course(root: Path) -> None:
    """An empty manifest lacks sections and items, and says so."""
    assert [problem.split(";")[0] for problem in problems(root, "")] == [
        "course.toml:1: the manifest: items is missing",
        "course.toml:1: the manifest: sections is missing",
    ]


def test_a_long_value_is_cut(root: Path) -> None:
    """A message stays one readable line, whatever it quotes."""
    (problem,) = problems(root, GOOD.replace('"modules/one.md"', f'"{"x" * 500}"'))
    assert len(problem) < 200


def fields_of(value: Any) -> set[str]:
    """The field names of a record."""
    return {field.name for field in dataclasses.fields(value)}


def test_every_field_of_an_item_but_the_internal_ones_is_in_the_contract(root: Path) -> None:
    """What is added to an item later is added to the list's JSON, or is left out on purpose."""
    item: Item = loaded(root, GOOD).items[0]
    internal = {"cost", "creates_pools", "reserves", "local", "negative_controls", "line"}
    assert fields_of(item) - set(item.as_json()) == internal


def test_reserves_and_negative_controls_are_read(root: Path) -> None:
    """What an item needs to itself, and which findings have a control of their own in the same run."""
    item = loaded(root, GOOD).items[0]
    assert (item.reserves, item.negative_controls) == ((), {})
    own = 'reserves = ["celery"]\n[items.negative_controls]\n"First bullet" = "an unlimited sibling"\n\n'
    item = loaded(root, GOOD.replace("[items.scenarios.good]", own + "[items.scenarios.good]")).items[0]
    assert item.reserves == ("celery",)
    assert item.negative_controls == {"First bullet": "an unlimited sibling"}
