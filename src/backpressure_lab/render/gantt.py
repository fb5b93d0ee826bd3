"""A Gantt chart in the terminal: one line per task instance, the load with its limit beneath, the time axis last."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.style import Style
from rich.text import Text

from backpressure_lab.render.glyphs import STYLES, Glyphs, shortened
from backpressure_lab.render.loads import load_lines
from backpressure_lab.render.picture import KINDS, Picture, Row, elapsed, steps
from backpressure_lab.render.times import clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from numpy.typing import NDArray
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Gantt"]

_LEAST_BARS = 20
_TICK_COLUMNS = 11
_FOLDED_TAIL = 3
_QUIET_STATES = ("success", "running", "")


@dataclass(frozen=True)
class Gantt:
    """Draws a picture as wide as the terminal is.

    Attributes:
        picture: what to draw.
        max_rows: of more task instances the middle ones are folded into one line that shows how many of them ran.
        zone: for the clock times; the machine's own when None.
    """

    picture: Picture
    max_rows: int = 32
    zone: tzinfo | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines no wider than the terminal."""
        if not self.picture.rows:
            yield Text("no task instance was scheduled", style="dim")
            return
        glyphs = Glyphs.of(options)
        longest = max(len(row.name) for row in self.picture.rows)
        if self._hidden:
            longest = max(longest, len(_folding(self._hidden, glyphs)))
        names = min(longest, max(options.max_width // 4, 8))
        states = max((len(_shown(row)) for row in self.picture.rows), default=0)
        bars = options.max_width - names - 1 - (states + 1 if states else 0)
        if bars < _LEAST_BARS:
            states, bars = 0, max(options.max_width - names - 1, 1)
        edges = self.picture.edges(bars)
        yield from self._rows(edges, names, states, glyphs)
        if self.picture.load:
            yield Text(shortened(self.picture.load.title, options.max_width, glyphs.ellipsis), style="dim")
            yield from load_lines(self.picture.load, edges, names, glyphs)
        yield from _axis(self.picture, names, bars, glyphs)
        yield self._legend(glyphs)

    @property
    def _hidden(self) -> int:
        more = len(self.picture.rows) - self.max_rows
        return more + 1 if more > 0 else 0

    def _rows(self, edges: NDArray[np.float64], names: int, states: int, glyphs: Glyphs) -> Iterator[Text]:
        rows = self.picture.rows
        hidden = self._hidden
        head = len(rows) - hidden - min(_FOLDED_TAIL, self.max_rows - 1) if hidden else len(rows)
        for number, row in enumerate(rows):
            if hidden and number == head:
                yield _folded(rows[head : head + hidden], edges, names, glyphs)
            if hidden and head <= number < head + hidden:
                continue
            line = Text(shortened(row.name, names, glyphs.ellipsis).ljust(names) + " ", no_wrap=True)
            for kind, length in _runs(_cells(row, edges)):
                line.append((glyphs.kinds[KINDS[kind]] if kind >= 0 else " ") * length, _style(row, kind))
            if states:
                line.append(" " + _shown(row), STYLES["failed"] if "failed" in row.state else "dim")
            yield line

    def _legend(self, glyphs: Glyphs) -> Text:
        legend = Text(no_wrap=False)
        used = {segment.kind for row in self.picture.rows for segment in row.segments}
        for kind in KINDS:
            if kind in used:
                legend.append(glyphs.kinds[kind], STYLES[kind])
                legend.append(f" {kind} ", "dim")
        legend.append(f" from {clock(self.picture.begin, self.zone)}", "dim")
        return legend


def _shown(row: Row) -> str:
    return "" if row.state in _QUIET_STATES else row.state.replace("upstream_failed", "upstream")


def _style(row: Row, kind: int) -> str | Style:
    if kind < 0:
        return ""
    return STYLES["failed"] if row.state == "failed" and KINDS[kind] == "running" else STYLES[KINDS[kind]]


def _cells(row: Row, edges: NDArray[np.float64]) -> NDArray[np.int8]:
    """For each column what the instance was in for the most of it, and -1 for nothing; running is never lost."""
    lengths = np.zeros((len(KINDS), len(edges) - 1))
    for segment in row.segments:
        overlap = np.minimum(edges[1:], segment.finish) - np.maximum(edges[:-1], segment.begin)
        lengths[KINDS.index(segment.kind)] += np.clip(overlap, 0, None)
    cells = np.where(lengths.max(axis=0) > 0, lengths.argmax(axis=0), -1).astype(np.int8)
    for segment in row.segments:
        kind = KINDS.index(segment.kind)
        if segment.kind == "running" and not (cells == kind).any():
            cells[min(int(np.searchsorted(edges, segment.begin, side="right")) - 1, len(cells) - 1)] = kind
    return cells


def _runs(cells: NDArray[np.int8]) -> Iterator[tuple[int, int]]:
    bounds = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), len(cells)]
    for first, last in itertools.pairwise(bounds):
        yield int(cells[first]), last - first


def _folding(hidden: int, glyphs: Glyphs) -> str:
    return f"{glyphs.fold} {hidden} more"


def _folded(rows: tuple[Row, ...], edges: NDArray[np.float64], names: int, glyphs: Glyphs) -> Text:
    running = np.zeros(len(edges) - 1)
    for row in rows:
        running += _cells(row, edges) == KINDS.index("running")
    scale = (len(glyphs.levels) - 1) / max(running.max(), 1)
    line = Text(no_wrap=True).append(_folding(len(rows), glyphs).ljust(names)[:names] + " ", "dim")
    line.append("".join(glyphs.levels[int(np.ceil(value * scale))] for value in running), STYLES["running"])
    return line


def _axis(picture: Picture, names: int, bars: int, glyphs: Glyphs) -> Iterator[Text]:
    span = picture.finish - picture.begin
    step = steps(span, max(bars // _TICK_COLUMNS, 1))
    line, labels = [glyphs.line] * bars, [" "] * (bars + names + 1)
    free = 0
    for number in range(int(span / step) + 1):
        column = min(int(number * step / span * bars), bars - 1)
        label = elapsed(number * step)
        place = min(names + 1 + column, names + 1 + bars - len(label))
        line[column] = glyphs.tick if column else glyphs.corner
        if place >= free:
            labels[place : place + len(label)] = label
            free = place + len(label) + 1
    yield Text(" " * (names + 1) + "".join(line), style="dim", no_wrap=True)
    yield Text("".join(labels).rstrip(), style="dim", no_wrap=True)
