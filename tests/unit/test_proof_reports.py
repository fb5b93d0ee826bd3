"""What is written of proofs: the page that needs no network, and the documentation's table."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from backpressure.findings import Evidence, finding
from backpressure.measures import Measure

from backpressure_lab import manifest
from backpressure_lab.docs import proofs
from backpressure_lab.lessons import html
from backpressure_lab.lessons.result import Result
from backpressure_lab.stack.layout import Layout

ITEM = manifest.load().item("106.2.1")
RECORD = {
    "task_id": "a<b>",
    "dag_id": ITEM.dag_id,
    "dag_run_id": "r",
    "map_index": -1,
    "pool": "p",
    "pool_slots": 1,
    **dict.fromkeys(("scheduled_when", "queued_when", "start_date"), "2026-01-01T00:00:00Z"),
    "end_date": "2026-01-01T00:00:02Z",
    "state": "success",
    "priority_weight": 1,
}


def _result(scenario: str, value: Any, **options: Any) -> Result:
    measure = Measure(value, "peak <slots>", at=1.0, detail="call[1], call[2] overlapped")
    found = tuple(finding(bullet, "never more", measure == 3) for bullet in ITEM.checklist)
    return Result(ITEM, scenario, "r", "success", Evidence(scenario, found), 12.3, [RECORD], **options)


class _Page(HTMLParser):
    """Collects tags and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It closes what was opened last."""
        assert self.open.pop() == tag


def test_the_page_shows_every_run_and_needs_no_network() -> None:
    """Verdicts, findings with detail, pictures as data, nothing loaded from anywhere, and all tags closed."""
    text = html.document([_result("pooled", 3), _result("default_pool", 9, left=("pool x was left changed",))], "total")
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert [attributes["src"][:26] for tag, attributes in page.seen if tag == "img" and attributes["src"]] == [
        "data:image/svg+xml;base64,"
    ] * 2
    assert re.findall(r'(?:src|href)="(?!#|data:)', text) == []
    assert "peak &lt;slots&gt;: 9" in text
    assert text.count("call[1], call[2] overlapped") == 2 * len(ITEM.checklist)
    assert "pool x was left changed" in text
    links = {attributes["href"] for tag, attributes in page.seen if tag == "a"}
    assert links == {f"#{attributes['id']}" for tag, attributes in page.seen if tag == "h3"}


def test_the_page_holds_nothing_that_a_browser_chokes_on() -> None:
    """What an exception said is text, without control characters."""
    text = html.document([_result("pooled", None, trouble=("\x1b[31m<b>\x00",))], "total")
    assert "\N{REPLACEMENT CHARACTER}[31m&lt;b&gt;\N{REPLACEMENT CHARACTER}" in text


def test_a_finding_that_is_not_as_expected_says_what_was_expected() -> None:
    """Red is what the manifest wants otherwise: also a finding that holds in a contrast."""
    text = html.document([_result("default_pool", 3)], "total")
    assert text.count("expected not to hold") == len(ITEM.checklist)
    assert "expected to hold" not in text


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A checkout with one written lesson of its own."""
    root = tmp_path / "checkout"
    for path in (ITEM.file, "docs"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / "docs").mkdir()
    shutil.copy(Layout.of().root / ITEM.file, root / ITEM.file)
    return Layout(root, tmp_path / "home")


def test_the_table_tells_of_each_scenarios_last_run(layout: Layout) -> None:
    """What was run with its verdict, what was not as not run; an edited file's result does not count."""
    course = manifest.load()
    course = type(course)(**{**vars(course), "root": layout.root, "items": (ITEM,)})
    for held in (1, 3):
        _result("pooled", held).keep(layout)
    found = list(proofs.lines(layout, course))
    assert [(line.scenario, line.verdict, line.held) for line in found] == [
        ("pooled", "as expected", 5),
        ("default_pool", "not run", 0),
    ]
    text = proofs.page(found, 2)
    assert "**1 of 2 scenarios as expected**, 5 findings held" in text
    assert f"| 106.2.1 {ITEM.title} | `pooled` | as expected | 5 of 5 | 12 | 1 of 2 |" in text
    assert "1 of 2 came out so" in text
    (layout.root / ITEM.file).write_text("# edited\n", encoding="utf-8")
    assert [line.verdict for line in proofs.lines(layout, course)] == ["not run", "not run"]


def test_the_live_tests_are_summed_up_as_pytest_reports_them(tmp_path: Path) -> None:
    """Passed ones and answers are counted apart; without a report there is nothing to say."""
    cases = [
        '<testcase name="test_an_answer_gets_the_verdict[a]" time="60"/>',
        '<testcase name="test_an_answer_gets_the_verdict[b]" time="60"><failure/></testcase>',
        '<testcase name="test_other" time="60"/>',
    ]
    (tmp_path / "tests.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    said = proofs.live_tests(tmp_path / "tests.xml")
    assert "2 of 3 live tests passed, in 3 minutes; 1 of 2 answers" in said
    assert said in proofs.page([], 2, said)
    assert proofs.live_tests(tmp_path / "missing.xml") == ""
