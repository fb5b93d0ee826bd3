"""Findings as a table, and the verdict as a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backpressure_lab.render.glyphs import Glyphs, shortened
from backpressure_lab.render.times import clock

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import tzinfo

    from backpressure.findings import Finding
    from backpressure.measures import Part
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["FindingsTable", "VerdictLine"]

_INDENT = 5
_VERDICTS: dict[str, tuple[bool | None, str]] = {
    "as expected": (True, "bold green"),
    "not as expected": (False, "bold red"),
    "not measured": (None, "bold yellow"),
}


@dataclass(frozen=True)
class FindingsTable:
    """A finding's bullet, what was observed, the limit, whether it holds and when that was decided; its claim beneath.

    Under each measure stands who or what was involved.

    Attributes:
        findings: in their order.
        expected: the bullets that must hold; a mark is green when the finding is as it must be, and red when it is not.
            Without it, what holds is green.
        zone: for the clock times; the machine's own when None.
    """

    findings: Sequence[Finding]
    expected: Collection[str] | None = None
    zone: tzinfo | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield lines no wider than the terminal."""
        glyphs = Glyphs.of(options)
        parts = [part for finding in self.findings for part in finding.comparison.parts]
        observed = max((min(len(part.seen), options.max_width // 4) for part in parts), default=1)
        measures = max((min(len(part.measure), options.max_width // 2) for part in parts), default=1)
        for finding in self.findings:
            yield self._heading(finding, glyphs, options.max_width)
            yield Padding(Text(finding.claim, "dim"), (0, 0, 0, 2))
            several = len(finding.comparison.parts) > 1
            for part in finding.comparison.parts:
                mark = glyphs.marks[part.holds] if several else ""
                yield Padding(_line(part, mark, (measures, observed)), (0, 0, 0, 2))
                if part.detail:
                    # Whole where something is to be explained; of what holds, as much as fits a line.
                    room = options.max_width - _INDENT
                    who = shortened(part.detail, room, glyphs.ellipsis) if part.holds else part.detail
                    yield Padding(Text(who, "dim italic"), (0, 0, 0, _INDENT))

    def _heading(self, finding: Finding, glyphs: Glyphs, width: int) -> Table:
        at = clock(finding.at, self.zone)
        heading = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        heading.add_column(width=1)
        heading.add_column(width=width - 3 - len(at) - 1, overflow="fold")
        heading.add_column(width=len(at), no_wrap=True)
        mark = Text(glyphs.marks[finding.holds], self._style(finding))
        heading.add_row(mark, Text(finding.bullet, "bold"), Text(at, "dim"))
        return heading

    def _style(self, finding: Finding) -> str:
        if finding.holds is None:
            return "yellow"
        wanted = True if self.expected is None else finding.bullet in self.expected
        return "green" if finding.holds == wanted else "red"


def _line(part: Part, mark: str, widths: tuple[int, int]) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    line.add_column(width=1)
    line.add_column(width=widths[0], overflow="fold")
    line.add_column(width=widths[1], overflow="fold", justify="right")
    line.add_column(overflow="fold")
    line.add_row(Text(mark, "dim"), part.measure, Text(part.seen, "bold"), part.limited)
    return line


@dataclass(frozen=True)
class VerdictLine:
    """The verdict on a run, and after it what there is to say in one line."""

    verdict: str
    remark: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one line."""
        mark, style = _VERDICTS[self.verdict]
        line = Text().append(f"{Glyphs.of(options).marks[mark]} {self.verdict}", style)
        if self.remark:
            line.append(f"  {self.remark}", "dim")
        yield line
