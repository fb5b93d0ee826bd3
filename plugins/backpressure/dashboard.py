"""A small dashboard as one SVG: panels of a figure over time, above each other, that share the axis of time.

What was drawn can be read back from the picture itself (:func:`read`), so that a test, or a lesson, judges what people
see and not what the program meant to show. It needs the standard library only, and no network to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

__all__ = ["Panel", "draw", "read"]

Points = Sequence[tuple[float, float]]

_WIDTH, _LEFT, _RIGHT = 760, 64, 20
_HEAD, _PANEL, _GAP, _FOOT = 46, 84, 40, 38
_STEPS = 4  # into which the axis of time is divided
_STYLE = """
text{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;fill:#1f2328}
.title{font-size:13px;font-weight:600}.quiet{fill:#59636e}.page{fill:#fff;stroke:#d1d9e0}
.axis{stroke:#d1d9e0;fill:none}.line{stroke:#0969da;fill:none}.point{fill:#0969da}
.limit{stroke:#cf222e;stroke-dasharray:5 3;fill:none}.mark{stroke:#9a6700;fill:none}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}.page{fill:#0d1117;stroke:#3d444d}
.axis{stroke:#3d444d}.line{stroke:#4493f8}.point{fill:#4493f8}.limit{stroke:#f85149}.mark{stroke:#d29922}}
"""


@dataclass(frozen=True)
class Panel:
    """One figure over time.

    Attributes:
        title: what it is; no two panels of a dashboard have the same.
        points: instants (seconds since the epoch) in ascending order, and the figure at each.
        unit: of the figure.
        limit: a line that the figure should stay below; None for none.
    """

    title: str
    points: Points
    unit: str = ""
    limit: float | None = None


class _Frame:
    """Where a panel lies and what its edges mean."""

    def __init__(self, top: float, edges: tuple[float, float], span: tuple[float, float]) -> None:
        self.top = top
        self.begin, self.finish = edges
        self.low, self.high = span

    def x(self, at: float) -> float:
        return _LEFT + (at - self.begin) / (self.finish - self.begin) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self.top + _PANEL - (value - self.low) / (self.high - self.low) * _PANEL

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The instant and the figure that are drawn at a place."""
        share = (x - _LEFT) / (_WIDTH - _LEFT - _RIGHT)
        value = self.low + (self.top + _PANEL - y) / _PANEL * (self.high - self.low)
        return self.begin + share * (self.finish - self.begin), value


def draw(panels: Sequence[Panel], *, title: str, marks: Iterable[tuple[float, str]] = ()) -> str:
    """Draw panels as an SVG document.

    Args:
        panels: from top to bottom; one without points is drawn empty.
        title: of the whole.
        marks: instants that a line across all panels shows, with a word for each, an alert say.

    Raises:
        ValueError: two panels have the same title, a figure is not finite, or there is no point at all.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - not while a DAG file is parsed
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - the same

    titles = [panel.title for panel in panels]
    if len(set(titles)) < len(titles):
        raise ValueError(f"panels have the titles {titles}: give each its own")
    values = [number for panel in panels for point in panel.points for number in point]
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("panels must have at least one point, and only finite figures")
    marked = list(marks)
    instants = [at for panel in panels for at, _ in panel.points] + [at for at, _ in marked]
    begin, finish = min(instants), max(*instants, min(instants) + 1.0)
    height = _HEAD + len(panels) * (_PANEL + _GAP) + _FOOT - _GAP
    root = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", role="img", viewBox=f"0 0 {_WIDTH} {height}")
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "style").text = _STYLE
    ET.SubElement(root, "rect", {"class": "page", "width": f"{_WIDTH}", "height": f"{height}", "rx": "6"})
    _text(root, (16, 22), title, "title")
    since = datetime.fromtimestamp(begin, UTC)
    _text(root, (_WIDTH - _RIGHT, 22), f"from {since:%H:%M:%S} UTC", "quiet", "end")
    for number, panel in enumerate(panels):
        _draw_panel(root, panel, _Frame(_HEAD + number * (_PANEL + _GAP), (begin, finish), _range(panel)))
    bottom = height - _FOOT
    across = _Frame(_HEAD, (begin, finish), (0, 1))
    for at, word in marked:
        _path(root, "mark", f"M{across.x(at):.2f} {_HEAD}V{bottom}")
        _text(root, (across.x(at), bottom + 30), word, "quiet", "middle")
    for step in range(_STEPS + 1):
        at = begin + step / _STEPS * (finish - begin)
        _text(root, (across.x(at), bottom + 15), f"{at - begin:.0f} s", "quiet", "end" if step == _STEPS else "middle")
    return ET.tostring(root, encoding="unicode") + "\n"


def read(svg: str) -> dict[str, Panel]:
    """The panels of a picture that :func:`draw` made, by title: each figure where its dot lies.

    Raises:
        ValueError: it is no such picture.
    """
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - not while a DAG file is parsed

    try:
        root = ET.fromstring(svg)  # noqa: S314 - the picture is the caller's own
    except ET.ParseError as error:
        raise ValueError(f"not a dashboard: {error}") from error
    found = {}
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        data = {name.removeprefix("data-"): value for name, value in group.attrib.items()}
        top, begin, finish, low, high = (float(data[edge]) for edge in ("top", "begin", "finish", "low", "high"))
        frame = _Frame(top, (begin, finish), (low, high))
        dots = group.iter("{http://www.w3.org/2000/svg}circle")
        points = tuple(frame.point(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in dots)
        limit = float(data["limit"]) if data["limit"] else None
        found[data["title"]] = Panel(data["title"], points, data["unit"], limit)
    if not found:
        raise ValueError("not a dashboard: it has no panels")
    return found


def _draw_panel(root: ET.Element, panel: Panel, frame: _Frame) -> None:
    edges = {"top": frame.top, "begin": frame.begin, "finish": frame.finish, "low": frame.low, "high": frame.high}
    data = {f"data-{name}": repr(value) for name, value in edges.items()}
    data |= {"data-title": panel.title, "data-unit": panel.unit}
    group = _add(root, "g", data | {"data-limit": "" if panel.limit is None else repr(panel.limit)})
    _text(group, (_LEFT, frame.top - 7), panel.title + (f", {panel.unit}" if panel.unit else ""))
    for value in (frame.low, frame.high):
        _text(group, (_LEFT - 8, frame.y(value) + 4), f"{value:.3g}", "quiet", "end")
    floor = frame.y(min(max(0.0, frame.low), frame.high))
    _path(group, "axis", f"M{_LEFT} {frame.top}V{frame.top + _PANEL}M{_LEFT} {floor:.2f}H{_WIDTH - _RIGHT}")
    if panel.limit is not None:
        _path(group, "limit", f"M{_LEFT} {frame.y(panel.limit):.2f}H{_WIDTH - _RIGHT}")
    # A gauge says what is so from then on, until the next: steps, and a dot for what was really received.
    steps = "".join(
        f"{'H' if number else 'M'}{frame.x(at):.2f}{'V' if number else ' '}{frame.y(value):.2f}"
        for number, (at, value) in enumerate(panel.points)
    )
    if steps:
        _path(group, "line", steps)
    for at, value in panel.points:
        place = {"cx": f"{frame.x(at):.4f}", "cy": f"{frame.y(value):.4f}", "r": "2.5"}
        _add(group, "circle", {"class": "point"} | place)


def _range(panel: Panel) -> tuple[float, float]:
    """From the lowest figure to the highest, 0 and the limit included."""
    values = [0.0, *(value for _, value in panel.points), *([] if panel.limit is None else [panel.limit])]
    low, high = float(min(values)), float(max(values))
    return low, high if high > low else low + 1.0


def _text(parent: ET.Element, at: tuple[float, float], words: str, kind: str = "", anchor: str = "start") -> None:
    place = {"x": f"{at[0]:.2f}", "y": f"{at[1]:.2f}", "text-anchor": anchor}
    _add(parent, "text", place | ({"class": kind} if kind else {})).text = words


def _path(parent: ET.Element, kind: str, data: str) -> None:
    _add(parent, "path", {"class": kind, "d": data})


def _add(parent: ET.Element, tag: str, attributes: dict[str, str]) -> ET.Element:
    child = parent.makeelement(tag, attributes)
    parent.append(child)
    return child
