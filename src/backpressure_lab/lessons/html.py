"""Results as one HTML file that needs no network: verdicts, findings, and a picture of each run."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from backpressure.findings import Finding

from backpressure_lab.lessons.result import AS_EXPECTED, Result
from backpressure_lab.printable import printable
from backpressure_lab.render import lesson_picture, svg

_STYLE = """
:root{color-scheme:light dark;--text:#1f2328;--quiet:#59636e;--line:#d1d9e0;--page:#fff}
:root{--good:#1a7f37;--bad:#cf222e;--none:#9a6700}
@media(prefers-color-scheme:dark){
:root{--text:#f0f6fc;--quiet:#9198a1;--line:#3d444d;--page:#0d1117;--good:#3fb950;--bad:#f85149;--none:#d29922}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page)}
body{max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}th{text-align:left;font-weight:600}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
.number,th.number{text-align:right}
.quiet{color:var(--quiet)}.good{color:var(--good)}.bad{color:var(--bad)}.none{color:var(--none)}
.verdict{font-weight:600;white-space:nowrap}img{max-width:100%;height:auto;display:block;margin:.5rem 0}
a{color:inherit}h2{margin:2.5rem 0 .2rem;border-top:1px solid var(--line);padding-top:1rem}h3{margin:1.2rem 0 .2rem}
td p{margin:0}
"""
_KINDS = {AS_EXPECTED: "good", "not as expected": "bad", "not measured": "none"}
_HOLDS = {True: "holds", False: "does not hold", None: "not measured"}


def document(results: Sequence[Result], total: str) -> str:
    """The page of all results; ``total`` sums them up in a sentence."""
    root, body = begin("What the lessons proved", f"{total}. {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC.")
    _summary(body, results)
    item = None
    for number, result in enumerate(results):
        if result.item is not item:
            item = result.item
            add(body, "h2", f"{item.id} {item.title}")
            add(body, "p", item.purpose, **{"class": "quiet"})
        _scenario(body, result, number)
    return "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _summary(body: ET.Element, results: Sequence[Result]) -> None:
    table = add(body, "table")
    row = add(table, "tr")
    for name in ("Lesson", "Scenario", "Verdict"):
        add(row, "th", name)
    for name in ("Findings that hold", "Seconds"):
        add(row, "th", name, **{"class": "number"})
    for number, result in enumerate(results):
        row = add(table, "tr")
        add(row, "td", f"{result.item.id} {result.item.title}")
        add(add(row, "td"), "a", result.scenario, href=f"#run-{number}")
        add(row, "td", result.verdict, **{"class": f"verdict {_KINDS[result.verdict]}"})
        add(row, "td", f"{result.held} of {len(result.evidence)}", **{"class": "number"})
        add(row, "td", f"{result.seconds:.0f}", **{"class": "number"})


def _scenario(body: ET.Element, result: Result, number: int) -> None:
    heading = add(body, "h3", f"Scenario {result.scenario}: ", id=f"run-{number}")
    add(heading, "span", result.verdict, **{"class": f"verdict {_KINDS[result.verdict]}"})
    ended = f"run {result.state or 'never ended'}, expected {result.expected_state}"
    about = f"{ended}; {result.seconds:.1f} s; {result.run_id}"
    add(body, "p", about, **{"class": "quiet"})
    for reason in result.reasons:
        add(body, "p", reason, **{"class": "bad"})
    if result.records:
        title = f"{result.item.title}: scenario {result.scenario}"
        picture = svg(lesson_picture(result.records, result.evidence), title=title, zone=dt.UTC)
        # As an image, so that one picture's styles and names are not another's.
        data = base64.b64encode(picture.encode()).decode("ascii")
        add(body, "img", src=f"data:image/svg+xml;base64,{data}", alt=title, loading="lazy")
    if not len(result.evidence):
        return
    table = add(body, "table")
    row = add(table, "tr")
    for name in ("Finding", "Measured", "Required", "Verdict"):
        add(row, "th", name)
    expected = result.item.scenarios[result.scenario].holds
    for finding in result.evidence:
        _finding(add(table, "tr"), finding, must_hold=finding.bullet in expected)


def _finding(row: ET.Element, finding: Finding, *, must_hold: bool) -> None:
    cell = add(row, "td")
    add(add(cell, "p"), "strong", finding.bullet)
    add(cell, "p", finding.claim, **{"class": "quiet"})
    measured, required = add(row, "td"), add(row, "td")
    for part in finding.comparison.parts:
        add(measured, "p", f"{part.measure}: {part.seen}")
        add(required, "p", part.limited)
        if part.detail:
            add(measured, "p", part.detail, **{"class": "quiet"})
    kind = "none" if finding.holds is None else "good" if finding.holds == must_hold else "bad"
    cell = add(row, "td")
    add(cell, "p", _HOLDS[finding.holds], **{"class": f"verdict {kind}"})
    if kind == "bad":
        add(cell, "p", "expected to hold" if must_hold else "expected not to hold", **{"class": "bad"})
    if finding.at:
        add(cell, "p", f"at {finding.at[11:23]}", **{"class": "quiet"})


def begin(title: str, lead: str) -> tuple[ET.Element, ET.Element]:
    """A page that needs no network, with its title and a quiet first paragraph; returns its root and its body."""
    root = ET.Element("html", lang="en")
    head = add(root, "head")
    add(head, "meta", charset="utf-8")
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "title", title)
    add(head, "style", _STYLE)
    body = add(root, "body")
    add(body, "h1", title)
    add(body, "p", lead, **{"class": "quiet"})
    return root, body


def add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    """Append an element with this text and these attributes."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = printable(text) or None
    return element
