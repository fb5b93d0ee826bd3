"""Results as JUnit XML: a test suite for each scenario, a test case for each finding."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from backpressure_lab.lessons.result import Result


def document(results: Sequence[Result]) -> str:
    """The XML of all results."""
    root = ET.Element("testsuites", name="lab prove")
    for result in results:
        suite = ET.SubElement(
            root, "testsuite", name=f"{result.item.id} {result.scenario}", time=f"{result.seconds:.1f}"
        )
        _add_verdict(suite, result)
        expected = result.item.scenarios[result.scenario].holds
        for finding in result.evidence.findings:
            case = ET.SubElement(suite, "testcase", classname=result.item.dag_id, name=finding.bullet)
            if finding.holds is None:
                ET.SubElement(case, "skipped", message="not measured")
            elif finding.holds != (finding.bullet in expected):
                ET.SubElement(case, "failure", message=f"observed {finding.observed}, limit {finding.limit}")
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_verdict(suite: ET.Element, result: Result) -> None:
    case = ET.SubElement(suite, "testcase", classname=result.item.dag_id, name="run ends as expected")
    if result.state != result.expected_state:
        message = f"the run ended {result.state or 'nowhere'}, expected {result.expected_state}"
        ET.SubElement(case, "failure", message=message)
    for line in result.trouble:
        ET.SubElement(case, "failure", message=line)
