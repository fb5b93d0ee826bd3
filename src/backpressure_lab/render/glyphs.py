"""The characters that pictures are drawn with: told apart without colour, and plain where the terminal is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import ConsoleOptions

    from backpressure_lab.render.picture import Kind

__all__ = ["STYLES", "Glyphs", "shortened"]

STYLES: dict[Kind | str, str] = {
    "scheduled": "yellow",
    "queued": "blue",
    "running": "green",
    "deferred": "magenta",
    "failed": "red",
    "limit": "bold red",
}


@dataclass(frozen=True)
class Glyphs:
    """One set of characters.

    Attributes:
        kinds: for a task instance in each kind of segment.
        levels: from nothing to a full cell.
        limit: a line at the bottom of a cell.
        corner: where the time axis begins.
        line: the time axis.
        tick: a mark on it.
        ellipsis: for what was left out of a name.
        fold: for rows left out.
        marks: for holds, does not hold, not measured.
    """

    kinds: dict[Kind, str]
    levels: str
    limit: str
    corner: str
    line: str
    tick: str
    ellipsis: str
    fold: str
    marks: dict[bool | None, str]

    @staticmethod
    def of(options: ConsoleOptions) -> Glyphs:
        """Those that the terminal's encoding has."""
        return _ASCII if options.ascii_only else _UNICODE


_UNICODE = Glyphs(
    kinds={"scheduled": "░", "queued": "▒", "running": "█", "deferred": "╌"},
    levels=" ▁▂▃▄▅▆▇█",
    limit="▁",
    corner="└",
    line="─",
    tick="┴",
    ellipsis="…",
    fold="⋮",
    marks={True: "✓", False: "✗", None: "?"},
)
_ASCII = Glyphs(
    kinds={"scheduled": ".", "queued": ":", "running": "#", "deferred": "-"},
    levels=" .:#",
    limit="_",
    corner="+",
    line="-",
    tick="+",
    ellipsis="~",
    fold=":",
    marks={True: "+", False: "x", None: "?"},
)


def shortened(name: str, width: int, ellipsis: str) -> str:
    """A name that fits, its end kept (a map index is what tells siblings apart)."""
    if len(name) <= width:
        return name
    if width <= len(ellipsis):
        return name[-width:] if width else ""
    tail = min((width - len(ellipsis)) // 2, 8)
    return name[: width - len(ellipsis) - tail] + ellipsis + (name[-tail:] if tail else "")
