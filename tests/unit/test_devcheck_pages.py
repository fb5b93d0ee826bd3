"""The author's check of pages: where links lead, and whether code is what it quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.checkout import FILE, ONE, PAGE, edited

from backpressure_lab.devcheck import check

if TYPE_CHECKING:
    from pathlib import Path


def test_a_page_that_is_not_text_is_named_and_left_alone(checkout: Path) -> None:
    """A page in another encoding is reported with its line; a fix does not touch it."""
    page = PAGE.replace('"First bullet", 1', '"First bullet", 2').encode().replace(b"See ", b"Voil\xe0 ")
    (checkout / ONE).write_bytes(page)
    assert [str(problem).split(";")[0] for problem in check(checkout, fix=True)] == [
        f"{ONE}:3: not UTF-8",
        f"{ONE}:7: the code differs from dags/one/1_01_lesson.py#claim",
    ]
    assert (checkout / ONE).read_bytes() == page


def test_a_manifest_that_does_not_load_is_reported_beside_broken_links(checkout: Path) -> None:
    """The loader's problems do not hide those of the pages."""
    (checkout / "modules/course/picture one.svg").unlink()
    found = edited(checkout, "course.toml", "cost = 10", "cost = -1")
    assert [problem.split(": ")[0] for problem in found] == ["course.toml:18", "modules/course/one.md:4"]


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
def test_a_link_that_leads_nowhere_is_named(checkout: Path, name: str) -> None:
    """Links, images, HTML and references are followed; the line is that of the link."""
    before, after, line, message = LINK_DEFECTS[name]
    (checkout / ONE).write_text(PAGE + "\n[y]: y.md\n" if name == "by reference" else PAGE, encoding="utf-8")
    found = [problem for problem in edited(checkout, ONE, before, after) if message in problem]
    assert [problem.split(": ")[0] for problem in found] == [f"{ONE}:{line}"]


def test_a_repeated_heading_has_a_numbered_anchor(checkout: Path) -> None:
    """The second heading of the same text is reached as GitHub spells it, a third is missed."""
    assert edited(checkout, ONE, "See ", "# One lesson\n\nSee [it](#one-lesson-1), ") == []
    assert len(edited(checkout, ONE, "#one-lesson-1", "#one-lesson-2")) == 1


def test_a_written_section_without_a_page_is_named(checkout: Path) -> None:
    """The manifest's line is shown, since the page itself is missing."""
    (checkout / ONE).unlink()
    (checkout / "README.md").write_text("# The course\n", encoding="utf-8")
    assert [str(problem) for problem in check(checkout)] == [
        f"course.toml:8: item 1.1 is written, but its page {ONE} is missing; write it"
    ]


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
def test_an_excerpt_that_does_not_show_what_it_quotes_is_named(checkout: Path, name: str) -> None:
    """A page's code and the file's marked lines cannot drift apart unnoticed, whichever is changed."""
    path, before, after, message = EXCERPT_DEFECTS[name]
    found = edited(checkout, path, before, after)
    assert [problem for problem in found if problem.startswith(message)], found


@pytest.mark.parametrize("name", ["other code", "no fence", "changed code"])
def test_fix_rewrites_the_excerpt_and_nothing_else(checkout: Path, name: str) -> None:
    """After a fix the check is silent, the quoted file is untouched, and a second fix changes nothing."""
    path, before, after, _ = EXCERPT_DEFECTS[name]
    (checkout / ONE).write_text(PAGE.partition("\n```md")[0], encoding="utf-8")
    if name == "no fence":
        before, after = '```python\nyield finding("First bullet", 1)\n```\n', ""
    edited(checkout, path, before, after)
    lesson = (checkout / FILE).read_text(encoding="utf-8")
    assert check(checkout, fix=True) == []
    page = (checkout / ONE).read_text(encoding="utf-8")
    assert (checkout / FILE).read_text(encoding="utf-8") == lesson
    assert page == PAGE.partition("\n```md")[0].replace("1)", "3)" if name == "changed code" else "1)")
    assert check(checkout, fix=True) == []
    assert (checkout / ONE).read_text(encoding="utf-8") == page


def test_fix_renders_a_region_without_inner_markers_and_indentation(checkout: Path) -> None:
    """A large region may hold a small one; the reader sees neither marker."""
    edited(checkout, ONE, "#claim", "#workload")
    assert check(checkout, fix=True) == []
    page = (checkout / ONE).read_text(encoding="utf-8")
    assert "# [" not in page
    assert "with DAG(\n    dag_id=DAG_ID," in page


def test_fix_leaves_a_page_alone_whose_excerpt_quotes_nothing(checkout: Path) -> None:
    """What cannot be fixed is reported, not emptied."""
    edited(checkout, ONE, "#claim", "#clam")
    before = (checkout / ONE).read_text(encoding="utf-8")
    assert len(check(checkout, fix=True)) == 1
    assert (checkout / ONE).read_text(encoding="utf-8") == before
