"""The same picture as SVG: small, self-contained, legible on light and dark pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from backpressure_lab.render.glyphs import shortened
from backpressure_lab.render.picture import KINDS, Load, Picture, Row, elapsed, steps
from backpressure_lab.render.times import clock

if TYPE_CHECKING:
    from datetime import tzinfo

    from backpressure.timeline import Curve

__all__ = ["svg"]

_WIDTH, _MARGIN, _NAMES, _STATES = 860, 16, 150, 84
_ROW, _BAR, _PANEL, _HEAD = 17, 11, 96, 44
_CHARACTER = 6.7  # the width of one at the font size below
_STYLE = """
text{font:11px ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;fill:#1f2328}
.title{font-size:13px;font-weight:600}.quiet{fill:#59636e}.failed{fill:#b3151f}
.page{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}.limit{stroke:#cf222e;stroke-width:2;fill:none}
.scheduled{fill:none;stroke:#9a6700}.queued{fill:url(#hatch);stroke:#0969da}
.running{fill:#1a7f37;stroke:#1a7f37}.broken{fill:#cf222e;stroke:#cf222e}
.deferred{fill:none;stroke:#8250df;stroke-dasharray:3 2}.load{fill:#1a7f37}.hatch{stroke:#0969da}
@media(prefers-color-scheme:dark){
text{fill:#f0f6fc}.quiet{fill:#9198a1}.failed{fill:#ff938a}
.page{fill:#0d1117;stroke:#3d444d}.grid{stroke:#3d444d}.limit{stroke:#f85149}
.scheduled{stroke:#d29922}.queued{stroke:#4493f8}.running{fill:#3fb950;stroke:#3fb950}
.broken{fill:#f85149;stroke:#f85149}.deferred{stroke:#ab7df8}.load{fill:#3fb950}.hatch{stroke:#4493f8}}
"""


class _Canvas:
    """An SVG document that grows downwards."""

    def __init__(self, title: str, description: str) -> None:
        self.root = ET.Element(
            "svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-labelledby": "title description"}
        )
        ET.SubElement(self.root, "title", {"id": "title"}).text = title
        ET.SubElement(self.root, "desc", {"id": "description"}).text = description
        ET.SubElement(self.root, "style").text = _STYLE
        hatch = ET.SubElement(
            ET.SubElement(self.root, "defs"),
            "pattern",
            {"id": "hatch", "width": "4", "height": "4", "patternUnits": "userSpaceOnUse"},
        )
        ET.SubElement(hatch, "path", {"class": "hatch", "d": "M0 4L4 0", "stroke-width": "1.2"})
        self.page = ET.SubElement(self.root, "rect", {"class": "page", "x": "0.5", "y": "0.5", "rx": "6"})

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        attributes = {"x": _number(x), "y": _number(y)}
        if kind:
            attributes["class"] = kind
        if anchor != "start":
            attributes["text-anchor"] = anchor
        ET.SubElement(self.root, "text", attributes).text = words

    def rect(self, kind: str, corner: tuple[float, float], size: tuple[float, float], hint: str = "") -> None:
        box = {"x": corner[0], "y": corner[1], "width": max(size[0], 0.8), "height": size[1]}
        rect = ET.SubElement(self.root, "rect", {"class": kind} | {key: _number(value) for key, value in box.items()})
        if hint:
            ET.SubElement(rect, "title").text = hint

    def path(self, kind: str, data: str) -> None:
        ET.SubElement(self.root, "path", {"class": kind, "d": data})

    def close(self, height: float) -> str:
        box = {"width": _number(_WIDTH), "height": _number(height)}
        self.root.attrib |= box | {"viewBox": f"0 0 {_WIDTH} {_number(height)}"}
        self.page.attrib |= {"width": _number(_WIDTH - 1), "height": _number(height - 1)}
        return ET.tostring(self.root, encoding="unicode") + "\n"


def svg(
    picture: Picture, *, title: str, description: str | None = None, max_rows: int = 40, zone: tzinfo | None = None
) -> str:
    """Draw a picture as an SVG document.

    Args:
        picture: what to draw.
        title: its heading, and its name for those who do not see it.
        description: what is to be seen in it, for the same; made from the picture when left out.
        max_rows: of more task instances the last ones are left out, and a line says how many.
        zone: for the clock time; the machine's own when None.
    """
    canvas = _Canvas(title, description or _described(picture))
    canvas.text(_MARGIN, 24, title, "title")
    canvas.text(_WIDTH - _MARGIN, 24, f"from {clock(picture.begin, zone)}", "quiet", "end")
    rows = picture.rows[:max_rows]
    top, bottom = _HEAD, _HEAD + len(rows) * _ROW
    _grid(canvas, picture, top - 6, bottom + (_PANEL + 26 if picture.load else 4))
    for number, row in enumerate(rows):
        _draw_row(canvas, picture, row, top + number * _ROW)
    if len(picture.rows) > max_rows:
        canvas.text(_MARGIN, bottom + 10, f"{len(picture.rows) - max_rows} more not shown", "quiet")
        bottom += _ROW
    if picture.load:
        _draw_load(canvas, picture, picture.load, bottom + 22)
        bottom += _PANEL + 22
    _draw_axis(canvas, picture, bottom + 18)
    _draw_legend(canvas, picture, bottom + 40)
    return canvas.close(bottom + 54)


def _described(picture: Picture) -> str:
    span = elapsed(picture.finish - picture.begin)
    text = f"{len(picture.rows)} task instances over {span}, each from scheduled over queued to running."
    if picture.load:
        text += f" Beneath, {picture.load.title}: {picture.load.curve.peak} at most"
        limits = " then ".join(_number(limit.value) for limit in picture.load.limits)
        text += f", limit {limits}." if limits else "."
    return text


def _x(picture: Picture, instant: float) -> float:
    width = _WIDTH - 2 * _MARGIN - _NAMES - _STATES
    return _MARGIN + _NAMES + (instant - picture.begin) / (picture.finish - picture.begin) * width


def _draw_row(canvas: _Canvas, picture: Picture, row: Row, y: float) -> None:
    room = int((_NAMES - 8) / _CHARACTER)
    canvas.text(_MARGIN + _NAMES - 8, y + _BAR - 1, shortened(row.name, room, "…"), anchor="end")
    for segment in row.segments:
        broken = row.state == "failed" and segment.kind == "running"
        begin, finish = _x(picture, segment.begin), _x(picture, segment.finish)
        thin = 3 if segment.kind in {"scheduled", "deferred"} else 0
        hint = f"{row.name} {segment.kind} for {segment.finish - segment.begin:.2f} s"
        kind = "broken" if broken else segment.kind
        canvas.rect(kind, (begin, y + thin), (finish - begin, _BAR - 2 * thin), hint)
    if row.state not in {"success", "running", ""}:
        style = "failed" if "failed" in row.state else "quiet"
        canvas.text(_WIDTH - _MARGIN, y + _BAR - 1, shortened(row.state, 12, "…"), style, "end")


def _draw_load(canvas: _Canvas, picture: Picture, load: Load, top: float) -> None:
    canvas.text(_MARGIN + _NAMES, top - 4, load.title, "quiet")
    height, base = _PANEL - 8, top + _PANEL
    scale = height / (load.top * 1.08)
    left, right = _x(picture, picture.begin), _x(picture, picture.finish)
    canvas.path(
        "load", f"M{_number(left)} {_number(base)}{_outline(picture, load.curve, base, scale)}V{_number(base)}Z"
    )
    step = max(math.ceil(load.top / 5), 1)
    for level in range(0, math.floor(load.top) + 1, step):
        canvas.text(left - 8, base - level * scale + 4, str(level), "quiet", "end")
    canvas.path("grid", f"M{_number(left)} {_number(base)}H{_number(right)}")
    for limit in load.limits:
        y = base - limit.value * scale
        begin, finish = max(limit.begin, picture.begin), min(limit.finish, picture.finish)
        canvas.path("limit", f"M{_number(_x(picture, begin))} {_number(y)}H{_number(_x(picture, finish))}")
        if limit is load.limits[-1]:
            canvas.text(right + 6, y + 4, f"limit {_number(limit.value)}", "failed")


def _outline(picture: Picture, curve: Curve, base: float, scale: float) -> str:
    """A step function from the left edge to the right, the pen being on its base at the left."""
    value = float(curve.at([picture.begin])[0])
    data = f"V{_number(base - value * scale)}" if value else ""
    for when, level in zip(curve.times.tolist(), curve.values.tolist(), strict=True):
        if picture.begin < when <= picture.finish and level != value:
            data += f"H{_number(_x(picture, when))}V{_number(base - level * scale)}"
            value = level
    return data + f"H{_number(_x(picture, picture.finish))}"


def _ticks(picture: Picture) -> list[float]:
    span = picture.finish - picture.begin
    step = steps(span, 10)
    return [number * step for number in range(int(span / step + 1e-9) + 1)]


def _grid(canvas: _Canvas, picture: Picture, top: float, bottom: float) -> None:
    for tick in _ticks(picture):
        x = _number(_x(picture, picture.begin + tick))
        canvas.path("grid", f"M{x} {_number(top)}V{_number(bottom)}")


def _draw_axis(canvas: _Canvas, picture: Picture, y: float) -> None:
    for tick in _ticks(picture):
        canvas.text(_x(picture, picture.begin + tick), y, elapsed(tick), "quiet", "middle")


def _draw_legend(canvas: _Canvas, picture: Picture, y: float) -> None:
    used = {segment.kind for row in picture.rows for segment in row.segments}
    x = float(_MARGIN + _NAMES)
    for kind in KINDS:
        if kind in used:
            thin = 3 if kind in {"scheduled", "deferred"} else 0
            canvas.rect(kind, (x, y - 9 + thin), (26, _BAR - 2 * thin))
            canvas.text(x + 32, y, kind, "quiet")
            x += 44 + len(kind) * _CHARACTER


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
