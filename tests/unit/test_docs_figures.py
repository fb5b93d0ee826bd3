"""Figures and tables of the pages: made from kept results, named by the pages, and from runs as expected only."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from backpressure.findings import Evidence, finding
from backpressure.measures import Measure, peak
from backpressure.timeline import Timeline

from backpressure_lab import manifest
from backpressure_lab.docs import figures
from backpressure_lab.errors import LabError
from backpressure_lab.stack.layout import Layout

DAG, SCENARIO, BULLET = "one_a", "pooled", "Set pool slot limits"
PAGE = "modules/one.md"
MANIFEST = f"""
[[sections]]
id = "1"
title = "First"
overview = "The first section."
dags = "dags/one"
page = "{PAGE}"

[[items]]
id = "1.1"
section = "1"
title = "A Lesson"
filename = "{DAG}.py"
tags = ["core", "success"]
purpose = "To be drawn"
checklist = ["{BULLET}"]
expected_behavior = "It is drawn"
written = true
cost = 20
default_scenario = "{SCENARIO}"
[items.scenarios.{SCENARIO}]
state = "success"
holds = "all"
[items.scenarios.free]
state = "success"
holds = []

[[items]]
id = "1.2"
section = "1"
title = "Another"
filename = "one_b.py"
tags = ["core"]
purpose = "To be left alone"
checklist = ["Bullet"]
expected_behavior = "It is left alone"
"""
T0 = 1_790_000_000.0


def record(begin: float, task: str = "call", run: str = "pooled-1", pool: str = "some_pool") -> dict[str, Any]:
    """A task instance as Airflow lists it: a second in scheduled, then three of running."""
    stamps = {"scheduled_when": 0.0, "queued_when": 0.5, "start_date": 1.0, "end_date": 4.0}
    return {
        "dag_id": DAG,
        "dag_run_id": run,
        "task_id": task,
        "map_index": -1,
        "state": "success",
        "pool": pool,
        "pool_slots": 1,
        "priority_weight": 1,
        "try_number": 1,
    } | {name: datetime.fromtimestamp(T0 + begin + offset, UTC).isoformat() for name, offset in stamps.items()}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """The layout of a course with one written lesson and no results."""
    (tmp_path / "dags/one").mkdir(parents=True)
    (tmp_path / f"dags/one/{DAG}.py").touch()
    (tmp_path / "modules").mkdir()
    (tmp_path / "course.toml").write_text(MANIFEST, encoding="utf-8")
    return Layout.of(tmp_path, tmp_path / ".lab")


def results_of(layout: Layout) -> Path:
    """Where the lab keeps its results."""
    return layout.home / "results"


def keep(layout: Layout, records: list[dict[str, Any]], limit: int = 2, **more: Any) -> None:
    """Keep a result as the lab does, with one finding: a limit on the peak of ``call``."""
    work = Timeline.from_records(records).select(task_id="call")
    evidence = Evidence(SCENARIO, (finding(BULLET, "never more", peak(work) == limit),))
    kept = {"verdict": "as expected", "findings": evidence.to_dict()["findings"], "records": records} | more
    results_of(layout).mkdir(parents=True, exist_ok=True)
    (results_of(layout) / f"{DAG}.{SCENARIO}.json").write_text(json.dumps(kept), encoding="utf-8")


def shown(layout: Layout) -> figures.Shown:
    """What was kept, read back."""
    return figures.load_shown(manifest.load(layout.root / "course.toml"), results_of(layout), DAG, SCENARIO)


def words(picture: str) -> list[str]:
    """The texts of an SVG document."""
    return [text.text or "" for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own output


def test_a_figure_has_a_row_for_each_task_instance_and_the_limit(layout: Layout) -> None:
    """The run is drawn with its scenario in the title, without control tasks, and with the finding's limit."""
    keep(layout, [record(0), record(1), record(2, "watch", pool="lab_control")])
    texts = words(figures.draw(shown(layout)))
    assert texts[0] == "A Lesson: scenario pooled"
    assert texts.count("call") == 2
    assert "watch" not in texts
    assert "limit 2" in texts


def test_a_figure_may_show_some_helper_runs_alone(layout: Layout) -> None:
    """Only the runs whose label begins so get rows; beneath is the curve that the finding was measured on."""
    runs = [record(begin, run=f"pooled-1__{label}") for begin, label in enumerate(["batch-0", "batch-1", "plain-0"])]
    keep(layout, runs, limit=3)
    picture = figures.draw(shown(layout), "batch")
    assert {text for text in words(picture) if "/" in text} == {"batch-0/call", "batch-1/call"}
    assert "limit 3" in words(picture)


def test_a_figure_is_wide_enough_for_what_is_counted(layout: Layout) -> None:
    """What is counted may begin before the first row and end after the last one; it is drawn from 0 on all the same."""
    runs = [record(begin, run=f"pooled-1__{label}") for begin, label in ((0, "early"), (10, "mid"), (20, "late"))]
    keep(layout, runs, limit=1)
    picture = figures.draw(shown(layout), "mid")
    assert "1 task instances over 23.05s" in picture
    load = ET.fromstring(picture).find("{http://www.w3.org/2000/svg}path[@class='load']")  # noqa: S314 - our own output
    assert load is not None
    start, end = load.attrib["d"].removeprefix("M").split("H")[0].split()[1], load.attrib["d"].split("V")[-1]
    assert start == end.removesuffix("Z")


def test_a_figure_counts_nothing_where_no_finding_is_about_a_peak(layout: Layout) -> None:
    """Deferred task instances have started and do not run, so that a count of all would say too much."""
    found = finding(BULLET, "something else", Measure(3, "weights", source="here") == 3)
    keep(layout, [record(0)], findings=[found.to_dict()])
    texts = words(figures.draw(shown(layout)))
    assert "call" in texts
    assert not [text for text in texts if "at once" in text or "peak" in text]


def test_an_unknown_run_is_told(layout: Layout) -> None:
    """The message names what was asked for, and the runs that there are."""
    keep(layout, [record(0, run="pooled-1__batch-0")])
    with pytest.raises(LabError, match=r"no helper run begins with 'other'; there are batch-0"):
        figures.draw(shown(layout), "other")


@pytest.mark.parametrize("verdict", ["not as expected", "not measured"])
def test_a_run_that_was_not_as_expected_illustrates_nothing(layout: Layout, verdict: str) -> None:
    """The message says what the verdict was, and how to run it again."""
    keep(layout, [record(0)], verdict=verdict)
    with pytest.raises(LabError, match=rf"was {verdict}.\nRun it: ./lab run 1.1 --scenario pooled"):
        shown(layout)


def test_a_missing_or_damaged_result_is_told(layout: Layout) -> None:
    """Both messages end in the command that makes a new one."""
    with pytest.raises(LabError, match=r"there is no result .*\nRun it: ./lab run 1.1"):
        shown(layout)
    results_of(layout).mkdir(parents=True)
    (results_of(layout) / f"{DAG}.{SCENARIO}.json").write_text("{", encoding="utf-8")
    with pytest.raises(LabError, match=r"cannot be read: .*\nRun it: ./lab run 1.1"):
        shown(layout)


def test_the_table_has_a_row_for_each_finding() -> None:
    """Each measure stands beside its limit; a bar in a name does not break the table; what is unmeasured says so."""
    held = Measure(3, "a|b", unit="slots", source="here")
    missing = Measure(None, "nothing", source="here")
    findings = [finding("First", "c", (held == 3) & (held < 5)), finding("Second", "c", missing > 1)]
    assert figures.findings_table(findings).splitlines() == [
        "| Finding | Measured | Required | Holds |",
        "|---|---|---|---|",
        r"| First | a\|b: 3<br>a\|b: 3 | = 3 slots<br>< 5 slots | yes |",
        "| Second | nothing: - | > 1 | not measured |",
    ]


def test_the_command_draws_and_rewrites_what_pages_name(layout: Layout) -> None:
    """The figure is where the page looks for it, the table is the new one, and all other text is left alone."""
    text = (
        f"a\n\n<!-- figure: {DAG} {SCENARIO} -->\n\n<!-- findings: {DAG} {SCENARIO} -->\nold\n<!-- /findings -->\n\nz\n"
    )
    path = layout.root / PAGE
    path.write_text(text, encoding="utf-8")
    keep(layout, [record(0), record(1)])
    assert figures.main([], layout) == 0
    before, table, after = path.read_text(encoding="utf-8").partition(
        figures.findings_table(shown(layout).evidence.findings)
    )
    assert (before[:1], bool(table), after[-3:]) == ("a", True, "\nz\n")
    assert "old" not in before + after
    assert "limit 2" in words((layout.root / f"docs/figures/{DAG}.{SCENARIO}.svg").read_text(encoding="utf-8"))
    rewritten = path.read_text(encoding="utf-8")
    assert figures.main(["1.1"], layout) == 0
    assert path.read_text(encoding="utf-8") == rewritten


def test_the_command_says_what_it_could_not_do(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario that was never run is told once, the page stays as it is, and the exit code is 1."""
    text = f"<!-- figure: {DAG} {SCENARIO} -->\n<!-- findings: {DAG} {SCENARIO} -->\nold\n<!-- /findings -->\n"
    path = layout.root / PAGE
    path.write_text(text, encoding="utf-8")
    assert figures.main([], layout) == 1
    assert capsys.readouterr().err.count("there is no result of") == 1
    assert path.read_text(encoding="utf-8") == text


def test_the_command_leaves_other_items_alone(layout: Layout) -> None:
    """With items named, pages of others need no result."""
    text = f"<!-- figure: {DAG} {SCENARIO} -->\n"
    path = layout.root / PAGE
    path.write_text(text, encoding="utf-8")
    assert figures.main(["1.2"], layout) == 0
    assert path.read_text(encoding="utf-8") == text


def test_an_unknown_item_is_wrong_usage(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest items are suggested, as in every command."""
    assert figures.main(["1.9"], layout) == 2
    assert "Did you mean" in capsys.readouterr().err
