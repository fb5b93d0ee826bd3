"""What a learner said of a run, beside what happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

__all__ = ["PredictionTable", "Said"]

_MARKS = {True: ("✓", "green"), False: ("✗", "red"), None: ("○", "dim")}


class Said(NamedTuple):
    """One thing that was said, and what became of it; ``right`` is None where nothing can be said."""

    about: str
    said: str
    happened: str
    right: bool | None


class PredictionTable:
    """A row for each thing that was said."""

    def __init__(self, lines: Iterable[Said]) -> None:
        self.lines = tuple(lines)

    def __rich__(self) -> Table:
        """Draw it."""
        table = Table("", "you said", "it was", "", box=None, padding=(0, 1), title="Your prediction")
        table.title_justify = "left"
        for about, said, happened, right in self.lines:
            mark, style = _MARKS[right]
            table.add_row(Text(about), Text(said), Text(happened), Text(mark, style=style))
        return table
