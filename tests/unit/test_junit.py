"""The JUnit report: as red as the command's exit code, whatever the reason, and always XML."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from backpressure.findings import Evidence, finding
from backpressure.measures import Measure

from backpressure_lab import manifest
from backpressure_lab.lessons import junit
from backpressure_lab.lessons.result import Result

ITEM = manifest.load().item("106.2.1")
CASES = len(ITEM.checklist) + 1


def result(
    state: str = "success", *, holds: bool | None = True, bullets: tuple[str, ...] = ITEM.checklist, **more: Any
) -> Result:
    """A run of the scenario in which every bullet holds."""
    value = {True: 3, False: 5, None: None}[holds]
    found = tuple(finding(bullet, "claim", Measure(value, "peak", at=1.0) == 3) for bullet in bullets)
    return Result(ITEM, "pooled", "r", state, Evidence("pooled", found), 1.0, **more)


def suite_of(one: Result) -> ET.Element:
    """Its suite, as an XML parser reads it."""
    suite = ET.fromstring(junit.document([one])).find("testsuite")  # noqa: S314 - our own document
    assert suite is not None
    return suite


@pytest.mark.parametrize(
    ("one", "code", "failures", "errors"),
    [
        (result(), 0, 0, 0),
        (result(left=("pool x was left changed",)), 1, 1, 0),
        (result(holds=False), 1, 5, 0),
        (result("failed"), 1, 1, 0),
        (result("failed", left=("one", "two"), trouble=("three",)), 1, 1, 0),
        (result(bullets=(*ITEM.checklist, "of no manifest")), 1, 1, 0),
        (result(holds=None), 4, 0, 5),
        (result(bullets=ITEM.checklist[1:]), 4, 0, 1),
        (result("", bullets=(), trouble=("the proof ended before",)), 4, 0, CASES),
        (result("failed", bullets=(), trouble=("the judge broke",)), 1, 1, CASES - 1),
    ],
)
def test_a_suite_is_as_red_as_the_command(one: Result, code: int, failures: int, errors: int) -> None:
    """Red when the exit code is not 0, failures when it is 1; each case counts once, and each bullet has one."""
    assert one.code == code
    suite = suite_of(one)
    cases = suite.findall("testcase")
    assert (suite.get("failures"), suite.get("errors")) == (str(failures), str(errors))
    assert suite.get("tests") == str(len(cases))
    assert max(len(case) for case in cases) <= 1
    assert {case.get("name") for case in cases} >= set(ITEM.checklist)
    assert suite.findall("testcase/skipped") == []


def test_every_reason_is_told() -> None:
    """What was left changed, where the run ended and what kept it from evidence are in one message."""
    message = suite_of(result("failed", left=("pool x was left changed",), trouble=("it broke",)))[0][0].get("message")
    assert message == "the run ended failed, expected success; pool x was left changed; it broke"
    wrong = suite_of(result(holds=False))[1][0].get("message") or ""
    assert wrong.startswith("does not hold, expected otherwise, peak: 5 = 3")


def test_what_an_exception_says_is_xml_whatever_it_holds() -> None:
    """Colours of a terminal, a null or half a character would make the whole report unreadable."""
    suite = suite_of(result("", bullets=(), trouble=("\x1b[31mred\x00 \ud800 & <b>",)))
    message = suite[0][0].get("message") or ""
    assert message.startswith(
        "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER} & <b>"
    )
