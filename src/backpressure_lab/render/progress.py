"""What a terminal shows while lessons are being proved: what runs, what is done, what remains, and how long yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from backpressure_lab.render.picture import elapsed

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from backpressure_lab.lessons.prover import Running

__all__ = ["ProofsView"]

_BAR = 20


class _Proofs(Protocol):
    """What is shown of a prover; :class:`backpressure_lab.lessons.prover.Prover` is one."""

    total: int
    begun: float

    @property
    def running(self) -> Sequence[Running]: ...
    @property
    def done(self) -> Collection[object]: ...
    @property
    def remaining(self) -> float: ...


class ProofsView:
    """A line for each scenario that runs, and one for all of them; what is done is printed above by who proves."""

    def __init__(self, proofs: _Proofs, clock: Callable[[], float] = time.monotonic) -> None:
        self.proofs = proofs
        self.clock = clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines as they are now."""
        now, proofs = self.clock(), self.proofs
        running, done = list(proofs.running), len(proofs.done)
        table = Table.grid(padding=(0, 1, 0, 0))
        for one in running:
            spent, cost = now - one.since, one.item.cost or 0.0
            again = f", try {one.attempt}" if one.attempt > 1 else ""
            bar = ProgressBar(total=max(cost, spent) or 1.0, completed=spent, width=_BAR)
            words = f"{elapsed(round(spent))} of about {elapsed(cost)}" if cost else elapsed(round(spent))
            table.add_row("◐" if not options.ascii_only else "*", one.item.id, f"{one.scenario}{again}", bar, words)
        yield table
        left = proofs.total - done - len(running)
        words = f"{done} of {proofs.total} done, {len(running)} running, {left} to go; "
        words += f"{elapsed(round(now - proofs.begun))}, about {elapsed(round(proofs.remaining))} left"
        yield Text(words, "bold")
