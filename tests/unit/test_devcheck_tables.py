"""The author's check of what is rendered from the manifest, and of exercises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.checkout import ONE, edited

from backpressure_lab.devcheck import check

if TYPE_CHECKING:
    from pathlib import Path


def test_the_readmes_table_of_lessons_is_rendered(checkout: Path) -> None:
    """A table that is out of step is named, and rewritten with links to the page's heading and the DAG file."""
    marks = "\n<!-- lessons -->\n<!-- /lessons -->\n"
    page = checkout / ONE
    page.write_text(page.read_text(encoding="utf-8") + "\n## 1.1 A lesson\n", encoding="utf-8")
    assert edited(checkout, "README.md", "\n\n", f"\n{marks}\n") == [
        "README.md:4: the table of lessons is not what course.toml says; run ./lab dev check --fix"
    ]
    assert check(checkout, fix=True) == []
    lesson = f"[1.1 A lesson]({ONE}#11-a-lesson) ([DAG](dags/one/1_01_lesson.py))"
    assert f"| [1 First]({ONE}) | {lesson} |\n" in (checkout / "README.md").read_text(encoding="utf-8")
    assert check(checkout) == []


def test_the_clusters_table_says_what_is_left_out_there(checkout: Path) -> None:
    """Lessons that need the local lab's machine, each with the manifest's reason; others are not in it."""
    page = checkout / "docs" / "cluster.md"
    page.parent.mkdir()
    page.write_text("# Cluster\n\n<!-- lessons left out -->\n<!-- /lessons left out -->\n", encoding="utf-8")
    assert [str(problem) for problem in check(checkout)] == [
        "docs/cluster.md:4: the table of lessons left out is not what course.toml says; run ./lab dev check --fix"
    ]
    assert check(checkout, fix=True) == []
    assert "A lesson" not in page.read_text(encoding="utf-8")
    manifest = checkout / "course.toml"
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace('title = "A lesson"', 'title = "A lesson"\nlocal = "a processor"'),
        encoding="utf-8",
    )
    assert check(checkout, fix=True) == []
    assert "| 1.1 A lesson | a processor |\n" in page.read_text(encoding="utf-8")
    assert check(checkout) == []


def test_an_exercise_without_its_parts_is_named(checkout: Path) -> None:
    """Files, hints, wrong answers and something to do: each that is missing is said by path."""
    folder = checkout / "exercises" / "one"
    folder.mkdir(parents=True)
    entry = '\n[[exercises]]\nid = "1.e"\nsection = "1"\ntitle = "Try"\nfolder = "exercises/one"\n'
    path = checkout / "course.toml"
    path.write_text(path.read_text(encoding="utf-8") + entry, encoding="utf-8")
    parts = ("README.md", "check.py", "hints.md", "solution.py", "starter.py")
    assert [problem.file for problem in check(checkout)] == [f"exercises/one/{part}" for part in parts]
    for part in parts:
        (folder / part).write_text("# Hints\n\n## 1\n\nLook.\n\n## 2\n", encoding="utf-8")
    said = {problem.file.rpartition("/")[2]: problem.message for problem in check(checkout) if "one/" in problem.file}
    assert "there are 1 hints with a text" in said["hints.md"]
    assert "there are 0 wrong answers" in said["wrong"]
    assert "TODO" in said["starter.py"]
    assert any("it is the solution" in problem.message for problem in check(checkout))


def test_a_folder_of_an_exercise_that_no_manifest_names_is_named(checkout: Path) -> None:
    """It would never be checked."""
    (checkout / "exercises" / "two").mkdir(parents=True)
    (checkout / "exercises" / "two" / "starter.py").write_text("", encoding="utf-8")
    assert [str(problem) for problem in check(checkout)] == [
        "exercises/two:1: no exercise of course.toml has this folder; add one, or remove the folder"
    ]
