"""The author's check: a good checkout is silent, and each disagreement is named by file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backpressure_lab.devcheck import check

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """\
[[sections]]
id = "1"
title = "First"
overview = "The first section."
dags = "dags/one"
page = "modules/course/one.md"

[[items]]
id = "1.1"
section = "1"
title = "A lesson"
filename = "1_01_lesson.py"
tags = ["core", "success"]
purpose = "To be checked"
checklist = ["First bullet", "Second bullet"]
expected_behavior = "Nothing is found"
written = true
cost = 10
default_scenario = "good"
[items.scenarios.good]
state = "success"
holds = "all"
[items.scenarios.poor]
state = "success"
holds = []
"""
LESSON = (
    '''\
"""# 1.1 A lesson

What it is for.
"""

from __future__ import annotations

import time

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, dag, task
from backpressure.findings import finding

DAG_ID = "1_01_lesson"
SCENARIOS = ["good", "poor"]

# [workload]
with DAG(
    dag_id=DAG_ID,
    tags=["core", "success"],
    doc_md=__doc__,
    params={"scenario": Param("good", enum=SCENARIOS)},
):

    @task
    def judge():
        # [claim]
        yield finding("First bullet", 1)
        # [/claim]
        yield finding(bullet="Second bullet", measure=time.time())
# [/workload]


@dag(f"{DAG_ID}__helper", tags=["anything"])
def helper():
    EmptyOperator(task_id="nothing")


for number in range(2):
    DAG(f"{DAG_ID}__more_{number}")
'''
    + "#\n" * 25
)
PAGE = """\
# One lesson

See [the DAG](../../dags/one/1_01_lesson.py), [above](#one-lesson), [the front](../../README.md#the-course)
and ![a picture](picture%20one.svg).

<!-- excerpt: dags/one/1_01_lesson.py#claim -->
```python
yield finding("First bullet", 1)
```

```md
A fence is text: [nowhere](missing.md) <!-- excerpt: nothing.py#here -->
```
"""
README = '# The *course*\n\n<a id="mark"></a> [Mark](#mark), [lesson](modules/course/one.md), [web](https://example.org/x.md)\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout in which everything agrees."""
    for name, text in {
        "course.toml": MANIFEST,
        "dags/one/1_01_lesson.py": LESSON,
        "modules/course/one.md": PAGE,
        "modules/course/picture one.svg": "<svg/>",
        "README.md": README,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def edited(root: Path, name: str, before: str, after: str) -> list[str]:
    """What the check prints after one edit."""
    path = root / name
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    return [str(problem) for problem in check(root)]


def test_a_checkout_in_which_everything_agrees_is_silent(root: Path) -> None:
    """Constants, formatted names, decorated helpers, fences and encoded links are all understood."""
    assert check(root) == []


FILE = "dags/one/1_01_lesson.py"
LESSON_DEFECTS = {
    "no docstring": ('"""# 1.1 A lesson', 'x = """# 1.1', 1, "there is no module docstring"),
    "too long": ("#\n" * 25, "#\n" * 90, 130, "the file has 130 lines; a lesson has 60 to 120"),
    "too short": ("#\n" * 25, "", 40, "the file has 40 lines; a lesson has 60 to 120"),
    "dag_id": (
        'DAG_ID = "1_01_lesson"',
        'DAG_ID = "lesson"',
        1,
        '0 DAGs have the dag_id "1_01_lesson"; exactly one must',
    ),
    "dag_id twice": ('f"{DAG_ID}__helper"', "DAG_ID", 1, '2 DAGs have the dag_id "1_01_lesson"'),
    "helper's name": ('f"{DAG_ID}__helper"', '"helper"', 34, 'dag_id is "helper"; it must be "1_01_lesson", or'),
    "helper's default name": ('f"{DAG_ID}__helper", ', "", 34, 'dag_id is "helper"; it must be'),
    "unreadable name": ('f"{DAG_ID}__helper"', "str(DAG_ID)", 34, "dag_id is not a plain text; it must be"),
    "tags": ('["core", "success"]', '["success", "core"]', 18, "but the manifest says ['core', 'success']; copy them"),
    "doc_md": ("doc_md=__doc__,", 'doc_md="text",', 18, "the module docstring is not the DAG's documentation"),
    "no scenario": ('"scenario"', '"scene"', 18, 'there is no param "scenario"; add params='),
    "default scenario": (
        'Param("good"',
        'Param("poor"',
        22,
        'the default scenario is "poor", but the manifest says "good"',
    ),
    "scenarios": (
        'SCENARIOS = ["good", "poor"]',
        'SCENARIOS = ["good"]',
        22,
        "enum of scenarios is ['good'], but the manifest",
    ),
    "no enum": (", enum=SCENARIOS", "", 22, "the enum of scenarios is missing or not plain texts"),
    "bullet missing": ('yield finding("First bullet", 1)', "pass", 1, 'no finding for the bullet "First bullet"; add'),
    "bullet twice": ('bullet="Second', 'bullet="First', 30, '"First bullet" has a finding in line 28 already'),
    "bullet misspelt": ('finding("First bullet"', 'finding("First bulet"', 28, 'did you mean "First bullet"?'),
    "bullet computed": ('finding("First bullet"', "finding(str(1)", 28, "the bullet of a finding is not a plain text"),
    "import": (
        "import time",
        "import numpy",
        8,
        "imports numpy; a DAG file imports airflow.sdk, airflow.providers, back",
    ),
    "import of the lab": ("import time", "import backpressure_lab.x", 8, "imports backpressure_lab.x; a DAG file"),
    "import of the core": ("import time", "from airflow.models import Pool", 8, "imports airflow.models.Pool; a DAG"),
    "relative import": ("import time", "from . import other", 8, "imports ..other; a DAG file"),
    "syntax": ("SCENARIOS = [", "SCENARIOS = [[", 15, "not valid Python: "),
}


@pytest.mark.parametrize("name", LESSON_DEFECTS)
def test_a_lesson_that_breaks_the_rules_is_named(root: Path, name: str) -> None:
    """Each rule about a DAG file has its message, with the line and the remedy."""
    before, after, line, message = LESSON_DEFECTS[name]
    found = [problem for problem in edited(root, FILE, before, after) if message in problem]
    assert [problem.split(": ")[0] for problem in found] == [f"{FILE}:{line}"]


def test_what_only_looks_like_a_dag_is_none(root: Path) -> None:
    """A client's method called ``dag`` declares nothing."""
    assert edited(root, FILE, "yield finding(bullet=", 'run.api.dag("other"); yield finding(bullet=') == []


def test_a_file_without_an_item_is_named(root: Path) -> None:
    """A stray DAG file would be loaded, but neither listed nor proved."""
    (root / "dags/one/stray.py").write_text("", encoding="utf-8")
    assert [str(problem) for problem in check(root)] == [
        "dags/one/stray.py:1: no item of course.toml has this file; add one, or remove the file"
    ]


def test_a_file_of_an_unwritten_item_is_named(root: Path) -> None:
    """It would be loaded, but counted nowhere: the author's check says so, and no other command stops for it."""
    assert edited(root, "course.toml", "written = true", "written = false") == [
        f"course.toml:8: {FILE} is there, but item 1.1 is not marked as written; set written = true"
    ]


def test_a_lesson_that_is_not_text_is_named(root: Path) -> None:
    """A wrong encoding is a message, not a traceback."""
    (root / FILE).write_bytes(b"\xff")
    assert [str(problem) for problem in check(root)] == [
        f"{FILE}:1: not UTF-8 (invalid start byte at byte 0); save it as UTF-8",
        f"{ONE}:6: excerpt: {FILE} is not UTF-8; save it as UTF-8",
    ]


def test_a_page_that_is_not_text_is_named_and_left_alone(root: Path) -> None:
    """A page in another encoding is reported with its line; a fix does not touch it."""
    page = PAGE.replace('"First bullet", 1', '"First bullet", 2').encode().replace(b"See ", b"Voil\xe0 ")
    (root / ONE).write_bytes(page)
    assert [str(problem).split(";")[0] for problem in check(root, fix=True)] == [
        f"{ONE}:3: not UTF-8",
        f"{ONE}:7: the code differs from dags/one/1_01_lesson.py#claim",
    ]
    assert (root / ONE).read_bytes() == page


def test_a_manifest_that_does_not_load_is_reported_beside_broken_links(root: Path) -> None:
    """The loader's problems do not hide those of the pages."""
    (root / "modules/course/picture one.svg").unlink()
    found = edited(root, "course.toml", "cost = 10", "cost = -1")
    assert [problem.split(": ")[0] for problem in found] == ["course.toml:18", "modules/course/one.md:4"]


ONE = "modules/course/one.md"
LINK_DEFECTS = {
    "missing file": ("picture%20one.svg", "picture%20two.svg", 4, "leads to no file: modules/course/picture two.svg"),
    "missing heading": ("#one-lesson", "#two-lessons", 3, "names no heading of modules/course/one.md"),
    "missing heading elsewhere": ("#the-course", "#course", 3, "names no heading of README.md; correct what follows"),
    "outside": ("../../README.md#the-course", "../../../x.md", 3, "leads out of the repository"),
    "absolute": ("../../README.md#the-course", "/README.md", 3, "is absolute; write it relative to this page"),
    "in a table": ("```md", "| a |\n|---|\n| [x](y.md) |\n\n```md", 13, "leads to no file: modules/course/y.md"),
    "html": ("```md", '<p>\n<img alt="" src="y.png">\n</p>\n\n```md', 12, "leads to no file: modules/course/y.png"),
    "inline html": ("See ", 'See <a href="y.md">y</a>, ', 3, "leads to no file: modules/course/y.md"),
    "by reference": ("See ", "See [y], ", 3, "leads to no file: modules/course/y.md"),
    "no link to the lesson": (
        "dags/one/1_01_lesson.py)",
        "dags/one)",
        1,
        "does not link to dags/one/1_01_lesson.py, the",
    ),
}


@pytest.mark.parametrize("name", LINK_DEFECTS)
def test_a_link_that_leads_nowhere_is_named(root: Path, name: str) -> None:
    """Links, images, HTML and references are followed; the line is that of the link."""
    before, after, line, message = LINK_DEFECTS[name]
    (root / ONE).write_text(PAGE + "\n[y]: y.md\n" if name == "by reference" else PAGE, encoding="utf-8")
    found = [problem for problem in edited(root, ONE, before, after) if message in problem]
    assert [problem.split(": ")[0] for problem in found] == [f"{ONE}:{line}"]


def test_a_repeated_heading_has_a_numbered_anchor(root: Path) -> None:
    """The second heading of the same text is reached as GitHub spells it, a third is missed."""
    assert edited(root, ONE, "See ", "# One lesson\n\nSee [it](#one-lesson-1), ") == []
    assert len(edited(root, ONE, "#one-lesson-1", "#one-lesson-2")) == 1


def test_a_written_section_without_a_page_is_named(root: Path) -> None:
    """The manifest's line is shown, since the page itself is missing."""
    (root / ONE).unlink()
    (root / "README.md").write_text("# The course\n", encoding="utf-8")
    assert [str(problem) for problem in check(root)] == [
        f"course.toml:8: item 1.1 is written, but its page {ONE} is missing; write it"
    ]


COMMENT = "<!-- excerpt: dags/one/1_01_lesson.py#claim -->"
EXCERPT_DEFECTS = {
    "other code": (
        ONE,
        '"First bullet", 1',
        '"First bullet", 2',
        f"{ONE}:7: the code differs from dags/one/1_01_lesson.py#claim",
    ),
    "no fence": (ONE, "```python", "```", f"{ONE}:6: no ```python fence follows the excerpt's comment"),
    "no file": (ONE, "1_01_lesson.py#claim", "1_02.py#claim", f"{ONE}:6: excerpt: there is no file dags/one/1_02.py"),
    "outside": (ONE, "dags/one/1_01_lesson.py#claim", "../x.py#claim", f"{ONE}:6: excerpt: there is no file ../x.py"),
    "no name": (
        ONE,
        "1_01_lesson.py#claim",
        "1_01_lesson.py",
        f"{ONE}:6: excerpt: dags/one/1_01_lesson.py must read FILE.py#NAME",
    ),
    "no marker": (
        ONE,
        "#claim",
        "#clam",
        f"{ONE}:6: {FILE} must have one line # [clam] and one line # [/clam] after it; 0 and 0",
    ),
    "open marker": (FILE, "# [/claim]", "#", f"{ONE}:6: {FILE} must have one line # [claim] and one line # [/claim]"),
    "doubled marker": (FILE, "# [workload]", "# [claim]", f"{ONE}:6: {FILE} must have one line # [claim] and one line"),
    "changed code": (FILE, '"First bullet", 1', '"First bullet", 3', f"{ONE}:7: the code differs from"),
}


@pytest.mark.parametrize("name", EXCERPT_DEFECTS)
def test_an_excerpt_that_does_not_show_what_it_quotes_is_named(root: Path, name: str) -> None:
    """A page's code and the file's marked lines cannot drift apart unnoticed, whichever is changed."""
    path, before, after, message = EXCERPT_DEFECTS[name]
    found = edited(root, path, before, after)
    assert [problem for problem in found if problem.startswith(message)], found


@pytest.mark.parametrize("name", ["other code", "no fence", "changed code"])
def test_fix_rewrites_the_excerpt_and_nothing_else(root: Path, name: str) -> None:
    """After a fix the check is silent, the quoted file is untouched, and a second fix changes nothing."""
    path, before, after, _ = EXCERPT_DEFECTS[name]
    (root / ONE).write_text(PAGE.partition("\n```md")[0], encoding="utf-8")
    if name == "no fence":
        before, after = '```python\nyield finding("First bullet", 1)\n```\n', ""
    edited(root, path, before, after)
    lesson = (root / FILE).read_text(encoding="utf-8")
    assert check(root, fix=True) == []
    page = (root / ONE).read_text(encoding="utf-8")
    assert (root / FILE).read_text(encoding="utf-8") == lesson
    assert page == PAGE.partition("\n```md")[0].replace("1)", "3)" if name == "changed code" else "1)")
    assert check(root, fix=True) == []
    assert (root / ONE).read_text(encoding="utf-8") == page


def test_fix_renders_a_region_without_inner_markers_and_indentation(root: Path) -> None:
    """A large region may hold a small one; the reader sees neither marker."""
    edited(root, ONE, "#claim", "#workload")
    assert check(root, fix=True) == []
    page = (root / ONE).read_text(encoding="utf-8")
    assert "# [" not in page
    assert "with DAG(\n    dag_id=DAG_ID," in page


def test_fix_leaves_a_page_alone_whose_excerpt_quotes_nothing(root: Path) -> None:
    """What cannot be fixed is reported, not emptied."""
    edited(root, ONE, "#claim", "#clam")
    before = (root / ONE).read_text(encoding="utf-8")
    assert len(check(root, fix=True)) == 1
    assert (root / ONE).read_text(encoding="utf-8") == before


def test_the_readmes_table_of_lessons_is_rendered(root: Path) -> None:
    """A table that is out of step is named, and rewritten with links to the page's heading and the DAG file."""
    marks = "\n<!-- lessons -->\n<!-- /lessons -->\n"
    page = root / ONE
    page.write_text(page.read_text(encoding="utf-8") + "\n## 1.1 A lesson\n", encoding="utf-8")
    assert edited(root, "README.md", "\n\n", f"\n{marks}\n") == [
        "README.md:4: the table of lessons is not what course.toml says; run ./lab dev check --fix"
    ]
    assert check(root, fix=True) == []
    lesson = f"[1.1 A lesson]({ONE}#11-a-lesson) ([DAG](dags/one/1_01_lesson.py))"
    assert f"| [1 First]({ONE}) | {lesson} |\n" in (root / "README.md").read_text(encoding="utf-8")
    assert check(root) == []


def test_the_clusters_table_says_what_is_left_out_there(root: Path) -> None:
    """Lessons that need the local lab's machine, each with the manifest's reason; others are not in it."""
    page = root / "docs" / "cluster.md"
    page.parent.mkdir()
    page.write_text("# Cluster\n\n<!-- lessons left out -->\n<!-- /lessons left out -->\n", encoding="utf-8")
    assert [str(problem) for problem in check(root)] == [
        "docs/cluster.md:4: the table of lessons left out is not what course.toml says; run ./lab dev check --fix"
    ]
    assert check(root, fix=True) == []
    assert "A lesson" not in page.read_text(encoding="utf-8")
    manifest = root / "course.toml"
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace('title = "A lesson"', 'title = "A lesson"\nlocal = "a processor"'),
        encoding="utf-8",
    )
    assert check(root, fix=True) == []
    assert "| 1.1 A lesson | a processor |\n" in page.read_text(encoding="utf-8")
    assert check(root) == []


def test_an_exercise_without_its_parts_is_named(root: Path) -> None:
    """Files, hints, wrong answers and something to do: each that is missing is said by path."""
    folder = root / "exercises" / "one"
    folder.mkdir(parents=True)
    entry = '\n[[exercises]]\nid = "1.e"\nsection = "1"\ntitle = "Try"\nfolder = "exercises/one"\n'
    path = root / "course.toml"
    path.write_text(path.read_text(encoding="utf-8") + entry, encoding="utf-8")
    parts = ("README.md", "check.py", "hints.md", "solution.py", "starter.py")
    assert [problem.file for problem in check(root)] == [f"exercises/one/{part}" for part in parts]
    for part in parts:
        (folder / part).write_text("# Hints\n\n## 1\n\nLook.\n\n## 2\n", encoding="utf-8")
    said = {problem.file.rpartition("/")[2]: problem.message for problem in check(root) if "one/" in problem.file}
    assert "there are 1 hints with a text" in said["hints.md"]
    assert "there are 0 wrong answers" in said["wrong"]
    assert "TODO" in said["starter.py"]
    assert any("it is the solution" in problem.message for problem in check(root))


def test_a_folder_of_an_exercise_that_no_manifest_names_is_named(root: Path) -> None:
    """It would never be checked."""
    (root / "exercises" / "two").mkdir(parents=True)
    (root / "exercises" / "two" / "starter.py").write_text("", encoding="utf-8")
    assert [str(problem) for problem in check(root)] == [
        "exercises/two:1: no exercise of course.toml has this folder; add one, or remove the folder"
    ]
