"""The author's command that writes ``docs/proofs.md``: what came of each scenario's last run, as the lab kept it.

``./lab prove --all`` and then ``python -m backpressure_lab.docs.proofs``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from backpressure_lab import manifest
from backpressure_lab.files import write_text
from backpressure_lab.lessons.result import AS_EXPECTED, is_current, load_kept
from backpressure_lab.manifest import Course, Item
from backpressure_lab.stack.layout import Layout

PAGE = "docs/proofs.md"
_HEAD = """\
# What the last full proof showed

Written by `python -m backpressure_lab.docs.proofs` from the results that `./lab prove --all` keeps in `.lab/results/`.
Each scenario's verdict compares the run's state and the finding of each bullet with [the manifest](../course.toml):
in a contrast scenario, findings that do not hold are what is expected. `./lab dev accept` finds dishonest proofs.
"""


@dataclass(frozen=True)
class Line:
    """One scenario's last run; ``verdict`` says so where there is none of the lesson's file as it is."""

    item: Item
    scenario: str
    verdict: str
    held: int = 0
    findings: int = 0
    seconds: float = 0.0
    at: str = ""


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
            yield Line(item, scenario, data["verdict"], held, len(kept.evidence), data["seconds"], data["at"][:10])


def page(found: list[Line], cores: int) -> str:
    """The page: a total, and a table with a row for each scenario."""
    good = sum(line.verdict == AS_EXPECTED for line in found)
    dates = sorted({line.at for line in found if line.at})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "never"
    total = f"**{good} of {len(found)} scenarios as expected**, {sum(line.held for line in found)} findings held; "
    total += f"run {when} on {cores} cores."
    table = ["| Lesson | Scenario | Verdict | Findings that hold | Seconds |", "|---|---|---|---|---|"]
    for line in found:
        seconds = f"{line.seconds:.0f}" if line.findings else ""
        held = f"{line.held} of {line.findings}" if line.findings else ""
        table.append(f"| {line.item.id} {line.item.title} | `{line.scenario}` | {line.verdict} | {held} | {seconds} |")
    return "\n".join([_HEAD, total, "", *table]) + "\n"


def main(layout: Layout | None = None) -> int:
    """Write the page; 1 when a scenario is missing from it or was not as expected."""
    layout = layout or Layout.of()
    found = list(lines(layout, manifest.load(layout.root / "course.toml")))
    write_text(layout.root / PAGE, page(found, os.cpu_count() or 1))
    bad = [line for line in found if line.verdict != AS_EXPECTED]
    for line in bad:
        print(f"lab: {line.item.id} {line.scenario}: {line.verdict}", file=sys.stderr)  # noqa: T201 - a command's message
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
