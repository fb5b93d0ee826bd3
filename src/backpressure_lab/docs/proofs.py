"""The author's command that writes ``docs/proofs.md``: what came of each scenario's last run, as the lab kept it.

``./lab prove --all``, for the exercises ``./lab test --full``, and then ``python -m backpressure_lab.docs.proofs``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from backpressure_lab import manifest
from backpressure_lab.files import write_text
from backpressure_lab.lessons.result import AS_EXPECTED, REMEMBERED, is_current, load_kept
from backpressure_lab.manifest import Course, Item
from backpressure_lab.stack.layout import Layout

PAGE = "docs/proofs.md"
LIVE_REPORT = "tests.xml"  # in the lab's home, of the last full run of the live tests
_ANSWER = "test_an_answer_gets"
_HEAD = """\
# What the last full proof showed

Written by `python -m backpressure_lab.docs.proofs` from the results that `./lab prove --all` keeps in `.lab/results/`.
Each scenario's verdict compares the run's state and the finding of each bullet with [the manifest](../course.toml):
in a contrast scenario, findings that do not hold are what is expected. `./lab dev accept` finds dishonest proofs.
"""


@dataclass(frozen=True)
class Line:
    """One scenario's last run; ``verdict`` says so where there is none of the lesson's file as it is.

    ``runs`` are how many of the last ones came out as expected, and how many are remembered.
    """

    item: Item
    scenario: str
    verdict: str
    held: int = 0
    findings: int = 0
    seconds: float = 0.0
    at: str = ""
    runs: tuple[int, int] = (0, 0)


def lines(layout: Layout, course: Course) -> Iterator[Line]:
    """A line for each scenario of each written lesson, in the manifest's order."""
    for item in course.written:
        for scenario in item.scenarios:
            kept = load_kept(layout, item, scenario)
            if kept is None or not is_current(layout, item, kept):
                yield Line(item, scenario, "not run")
                continue
            held = sum(finding.holds is True for finding in kept.evidence)
            data = kept.data
            good = sum(run["verdict"] == AS_EXPECTED for run in data["runs"])
            runs = good, len(data["runs"])
            yield Line(
                item, scenario, data["verdict"], held, len(kept.evidence), data["seconds"], data["at"][:10], runs
            )


def live_tests(report: Path) -> str:
    """A sentence on the last full run of the live tests; nothing when there was none."""
    if not report.is_file():
        return ""
    suites = ET.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest wrote it for us
    cases = [case for suite in suites for case in suite.iter("testcase")]
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    answers = [case for case in cases if case.get("name", "").startswith(_ANSWER)]
    right = len([case for case in answers if case not in bad])
    minutes = sum(float(case.get("time", 0)) for case in cases) / 60
    text = f"`./lab test --full`: {len(cases) - len(bad)} of {len(cases)} live tests passed, in {minutes:.0f} minutes; "
    return text + f"{right} of {len(answers)} answers of the exercises got the verdict that their author says.\n"


def page(found: list[Line], cores: int, tested: str = "") -> str:
    """The page: a total, what became of the live tests, and a table with a row for each scenario."""
    good = sum(line.verdict == AS_EXPECTED for line in found)
    dates = sorted({line.at for line in found if line.at})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "never"
    total = f"**{good} of {len(found)} scenarios as expected**, {sum(line.held for line in found)} findings held; "
    total += f"run {when} on {cores} cores.\n\n"
    total += f"Of all runs that are remembered (the last {REMEMBERED} of each, while its file stays as it is) "
    total += f"{sum(line.runs[0] for line in found)} of {sum(line.runs[1] for line in found)} came out so."
    heads = ("Lesson", "Scenario", "Verdict", "Findings that hold", "Seconds", "Runs as expected")
    table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for line in found:
        seconds = f"{line.seconds:.0f}" if line.findings else ""
        held = f"{line.held} of {line.findings}" if line.findings else ""
        runs = f"{line.runs[0]} of {line.runs[1]}" if line.runs[1] else ""
        cells = (f"{line.item.id} {line.item.title}", f"`{line.scenario}`", line.verdict, held, seconds, runs)
        table.append(f"| {' | '.join(cells)} |")
    return "\n".join([_HEAD, total, "", *([tested] if tested else []), *table]) + "\n"


def main(layout: Layout | None = None) -> int:
    """Write the page; 1 when a scenario is missing from it or was not as expected."""
    layout = layout or Layout.of()
    found = list(lines(layout, manifest.load(layout.root / "course.toml")))
    write_text(layout.root / PAGE, page(found, os.cpu_count() or 1, live_tests(layout.home / LIVE_REPORT)))
    bad = [line for line in found if line.verdict != AS_EXPECTED]
    for line in bad:
        print(f"lab: {line.item.id} {line.scenario}: {line.verdict}", file=sys.stderr)  # noqa: T201 - a command's message
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
