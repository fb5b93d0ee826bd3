"""Results as JUnit XML: a test suite for each scenario, a test case for its run and one for each bullet.

A suite is red exactly when the command's verdict is not ``as expected``. What contradicts the manifest is a failure;
what could not be measured is an error and not ``skipped``, which is green.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from xml.etree import ElementTree as ET

from backpressure.findings import Finding, told

from backpressure_lab.lessons.result import Result
from backpressure_lab.printable import printable

_KINDS = {"failures": "failure", "errors": "error"}


def document(results: Sequence[Result]) -> str:
    """The XML of all results."""
    root = ET.Element("testsuites", name="lab prove")
    for result in results:
        name = f"{result.item.id} {result.scenario}"
        suite = ET.SubElement(root, "testsuite", name=name, time=f"{result.seconds:.1f}")
        _add(suite, result, "run ends as expected", *_run(result))
        bullets, expected = result.item.checklist, result.item.scenarios[result.scenario].holds
        found = {finding.bullet: finding for finding in result.evidence}
        for bullet in dict.fromkeys((*bullets, *found)):
            _add(suite, result, bullet, *_bullet(bullet, found.get(bullet), bullets, expected))
        suite.set("tests", str(len(suite)))
        for counted, kind in _KINDS.items():
            suite.set(counted, str(len(suite.findall(f"testcase/{kind}"))))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(suite: ET.Element, result: Result, name: str, kind: str = "", message: str = "") -> None:
    """Append a test case, with an element of this kind if there is one: no case counts twice."""
    case = ET.SubElement(suite, "testcase", classname=result.item.dag_id, name=printable(name))
    if kind:
        ET.SubElement(case, kind, message=printable(message))


def _run(result: Result) -> tuple[str, str] | tuple[()]:
    wrong = list(result.left)
    if result.state and result.state != result.expected_state:
        wrong.insert(0, f"the run ended {result.state}, expected {result.expected_state}")
    unknown = [*result.trouble]
    if not result.state:
        unknown.append(f"the run ended nowhere, expected {result.expected_state}")
    if wrong or unknown:
        return "failure" if wrong else "error", "; ".join((*wrong, *unknown))
    return ()


def _bullet(
    bullet: str, finding: Finding | None, bullets: Collection[str], expected: Collection[str]
) -> tuple[str, str] | tuple[()]:
    if finding is None:
        return "error", "no finding"
    if bullet not in bullets:
        return "failure", "the manifest has no such bullet"
    if finding.holds is None:
        return "error", f"not measured, {told(finding)}"
    if finding.holds != (bullet in expected):
        return "failure", f"{'holds' if finding.holds else 'does not hold'}, expected otherwise, {told(finding)}"
    return ()
