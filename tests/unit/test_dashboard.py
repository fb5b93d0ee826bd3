"""The dashboard: what is drawn can be read from the picture, and a picture that would mislead is refused."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from backpressure.dashboard import Panel, draw, read
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0
DEPTH = Panel("Queue depth", [(NOW, 0.0), (NOW + 5, 9.0), (NOW + 10.5, 4.0)], "tasks", limit=4.0)
TREND = Panel("Trend", [(NOW + 5, 1.8), (NOW + 10.5, -0.9)], "tasks/s")


def test_the_dots_lie_where_the_figures_are() -> None:
    """Read from the picture alone, each figure and instant is what was drawn."""
    found = read(draw([DEPTH, TREND], title="A run"))
    assert list(found) == ["Queue depth", "Trend"]
    for panel in (DEPTH, TREND):
        for drawn, (at, value) in zip(found[panel.title].points, panel.points, strict=True):
            assert drawn == (pytest.approx(at, abs=0.01), pytest.approx(value, abs=0.001))
        assert (found[panel.title].unit, found[panel.title].limit) == (panel.unit, panel.limit)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_any_figures_can_be_read_back(values: list[float]) -> None:
    """Large, small, equal or negative: to a thousandth of what the panel spans."""
    points = [(NOW + number, value) for number, value in enumerate(values)]
    found = read(draw([Panel("Any", points)], title="A run"))["Any"].points
    span = max([*values, 0.0]) - min([*values, 0.0]) or 1.0
    assert all(abs(drawn[1] - value) <= span / 1000 for drawn, value in zip(found, values, strict=True))


def test_a_dot_that_is_moved_shows_another_figure() -> None:
    """Reading looks at the drawing and not at a copy of the figures beside it."""
    root = ET.fromstring(draw([DEPTH], title="A run"))  # noqa: S314 - made here
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    dots[0].attrib["cy"] = dots[1].attrib["cy"]
    assert read(ET.tostring(root, encoding="unicode"))["Queue depth"].points[0][1] == pytest.approx(9.0, abs=0.01)


def test_an_empty_panel_stays_empty() -> None:
    """A metric that nobody sends leaves its panel blank instead of failing the others."""
    found = read(draw([DEPTH, Panel("Silent", [])], title="A run"))
    assert found["Silent"].points == ()


def test_marks_and_titles_are_text() -> None:
    """Words with signs of markup are shown as they are."""
    picture = draw([Panel("a < b & c", DEPTH.points)], title="<run>", marks=[(NOW + 5, "alert <1>")])
    assert "a < b & c" in read(picture)
    words = [text.text for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
    assert {"<run>", "alert <1>"} <= set(words)


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        ([DEPTH, DEPTH], "titles"),
        ([], "at least one point"),
        ([Panel("Silent", [])], "at least one point"),
        ([Panel("Odd", [(NOW, math.nan)])], "finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(panels: list[Panel], said: str) -> None:
    """Two panels of one name, nothing at all, or a figure without a place."""
    with pytest.raises(ValueError, match=said):
        draw(panels, title="A run")


@pytest.mark.parametrize("text", ["", "<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"])
def test_another_file_is_no_dashboard(text: str) -> None:
    """The error says that it is none, whatever it is."""
    with pytest.raises(ValueError, match="not a dashboard"):
        read(text)
