"""Pictures as SVG: well-formed, self-contained, escaped, accessible, and true to what they show."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from backpressure.timeline import Timeline

from backpressure_lab.render import Limit, Load, Picture, svg

T0 = 1_790_000_000.0
NAME = "{http://www.w3.org/2000/svg}"


def work(count: int = 6, **more: Any) -> Timeline:
    """Calls that wait two seconds longer each, and run for three."""
    begins = T0 + np.arange(count) * 2.0
    return Timeline.from_arrays(
        scheduled=T0,
        queued=begins + 0.5,
        start=begins + 1,
        end=begins + 4,
        map_index=np.arange(count),
        **({"task_id": "call"} | more),
    )


def drawn(picture: Picture, **more: Any) -> ET.Element:
    """The parsed document."""
    return ET.fromstring(svg(picture, **({"title": "A run", "zone": UTC} | more)))  # noqa: S314 - our own output


def boxes(root: ET.Element, kind: str) -> list[ET.Element]:
    """The rectangles of a kind that belong to task instances."""
    return [
        rect for rect in root.iter(f"{NAME}rect") if rect.get("class") == kind and rect.find(f"{NAME}title") is not None
    ]


def test_it_names_itself_to_those_who_do_not_see_it() -> None:
    """Title and description are the document's first children, and what its label points at."""
    root = drawn(Picture.of(work(), limit=3), title="Pools & <limits>")
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title description")
    assert [child.get("id") for child in root][:2] == ["title", "description"]
    assert root[0].text == "Pools & <limits>"
    assert "6 task instances over 14s" in str(root[1].text)
    assert "2 at most, limit 3" in str(root[1].text)


def test_it_needs_nothing_from_elsewhere() -> None:
    """No link, no font, no script, no image: it is legible wherever it is put."""
    text = svg(Picture.of(work(), limit=3), title="A run")
    assert not re.search(r"href|@import|@font-face|<script|<image|url\((?!#)", text)
    assert text.count("http") == 1
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 12_000


def test_names_are_escaped() -> None:
    """Whatever a task or a title is called, the document stays well-formed and says it as text."""
    evil = '</text><script>alert("x")</script>&amp;'
    load = Load(work().concurrency(), (), evil)
    root = drawn(Picture.of(work(1, task_id=evil), load=load), title=evil)
    assert not list(root.iter(f"{NAME}script"))
    assert evil in {text.text for text in root.iter(f"{NAME}text")}


def test_bars_are_in_proportion() -> None:
    """Every instance has its three segments, as long as its times are, and each tells its length."""
    root = drawn(Picture.of(work()))
    running, queued = boxes(root, "running"), boxes(root, "queued")
    assert len(running) == len(queued) == 6
    assert {float(bar.get("width", 0)) for bar in running} == {float(running[0].get("width", 0))}
    assert float(running[0].get("width", 0)) == pytest.approx(6 * float(queued[0].get("width", 0)), rel=0.02)
    assert running[0].findtext(f"{NAME}title") == "call[0] running for 3.00 s"


def test_a_failed_instance_is_told_by_word_and_colour() -> None:
    """Its bar is of another kind, and its state stands at the right."""
    root = drawn(Picture.of(work(2, state=["failed", "success"])))
    assert (len(boxes(root, "broken")), len(boxes(root, "running"))) == (1, 1)
    assert [text.text for text in root.iter(f"{NAME}text") if text.get("class") == "failed"] == ["failed"]


def test_limits_are_lines_over_the_load() -> None:
    """Each limit has a line from when to when it was one, and the last has its value beside it."""
    limits = (Limit(2, finish=T0 + 7), Limit(3, begin=T0 + 7))
    root = drawn(Picture.of(work(), load=Load(work().concurrency(), limits, "calls")))
    lines = [str(path.get("d")) for path in root.iter(f"{NAME}path") if path.get("class") == "limit"]
    assert len(lines) == 2
    assert lines[0].split("H")[1] == lines[1].split(" ")[0][1:]
    assert "limit 3" in {text.text for text in root.iter(f"{NAME}text")}
    assert "limit 2 then 3." in str(root[1].text)


def test_the_load_is_an_area_on_its_base() -> None:
    """The area begins and ends on the base line, also where the load is there from the first instant on."""
    picture = Picture.of(Timeline.from_arrays(start=[T0, T0 + 1], end=[T0 + 2, T0 + 2], task_id="call"))
    (area,) = (str(path.get("d")) for path in drawn(picture).iter(f"{NAME}path") if path.get("class") == "load")
    base = area[1:].split("V")[0].split(" ")[1]
    assert area.endswith(f"V{base}Z")
    heights = [float(height) for height in re.findall(r"V([\d.]+)", area)]
    assert heights[:2] == sorted(heights[:2], reverse=True)
    assert float(base) == max(heights)


def test_many_rows_are_cut_with_a_note() -> None:
    """A picture stays of readable height, and says what is missing."""
    root = drawn(Picture.of(work(100)), max_rows=10)
    assert len(boxes(root, "running")) == 10
    assert "90 more not shown" in {text.text for text in root.iter(f"{NAME}text")}
    assert float(root.get("height", 0)) < 420


def test_the_same_run_gives_the_same_document() -> None:
    """Documents can be compared and committed: nothing in them depends on when or where they were drawn."""
    assert svg(Picture.of(work(), limit=3), title="A", zone=UTC) == svg(
        Picture.of(work(), limit=3), title="A", zone=UTC
    )
    assert drawn(Picture.of(Timeline.from_arrays(start=[]))).get("width") == "860"
