"""The author's check of DAG files and the manifest: a good checkout is silent, each disagreement is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.checkout import FILE, ONE, edited

from backpressure_lab.devcheck import check

if TYPE_CHECKING:
    from pathlib import Path


def test_a_checkout_in_which_everything_agrees_is_silent(checkout: Path) -> None:
    """Constants, formatted names, decorated helpers, fences and encoded links are all understood."""
    assert check(checkout) == []


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
def test_a_lesson_that_breaks_the_rules_is_named(checkout: Path, name: str) -> None:
    """Each rule about a DAG file has its message, with the line and the remedy."""
    before, after, line, message = LESSON_DEFECTS[name]
    found = [problem for problem in edited(checkout, FILE, before, after) if message in problem]
    assert [problem.split(": ")[0] for problem in found] == [f"{FILE}:{line}"]


def test_what_only_looks_like_a_dag_is_none(checkout: Path) -> None:
    """A client's method called ``dag`` declares nothing."""
    assert edited(checkout, FILE, "yield finding(bullet=", 'run.api.dag("other"); yield finding(bullet=') == []


def test_a_file_without_an_item_is_named(checkout: Path) -> None:
    """A stray DAG file would be loaded, but neither listed nor proved."""
    (checkout / "dags/one/stray.py").write_text("", encoding="utf-8")
    assert [str(problem) for problem in check(checkout)] == [
        "dags/one/stray.py:1: no item of course.toml has this file; add one, or remove the file"
    ]


def test_a_file_of_an_unwritten_item_is_named(checkout: Path) -> None:
    """It would be loaded, but counted nowhere: the author's check says so, and no other command stops for it."""
    assert edited(checkout, "course.toml", "written = true", "written = false") == [
        f"course.toml:8: {FILE} is there, but item 1.1 is not marked as written; set written = true"
    ]


def test_a_lesson_that_is_not_text_is_named(checkout: Path) -> None:
    """A wrong encoding is a message, not a traceback."""
    (checkout / FILE).write_bytes(b"\xff")
    assert [str(problem) for problem in check(checkout)] == [
        f"{FILE}:1: not UTF-8 (invalid start byte at byte 0); save it as UTF-8",
        f"{ONE}:6: excerpt: {FILE} is not UTF-8; save it as UTF-8",
    ]
