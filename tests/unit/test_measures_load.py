"""What a meter counted, and whether rounds and runs agree."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from backpressure.measures.load import change, counted, spread


class Series(NamedTuple):
    """A counter."""

    increase: float
    complete: bool = True


class Meter:
    """A receiver that has heard of some counters."""

    def __init__(self, *series: Series) -> None:
        self.series = series

    def matching(self, pattern: str, since: float | None = None, until: float | None = None) -> tuple[Series, ...]:
        """All of them, whatever is asked for."""
        del pattern, since, until
        return self.series


def test_a_counter_tells_its_rise_if_it_was_heard() -> None:
    """Increases add up; no series, or one with points forgotten, tells nothing."""
    assert counted(Meter(Series(7.0), Series(5.0)), "ti.start.x", 0.0).value == 12
    assert counted(Meter(), "ti.start.x", 0.0).value is None
    assert counted(Meter(Series(7.0), Series(5.0, complete=False)), "ti.start.x", 0.0).value is None


def test_rounds_and_runs_are_compared() -> None:
    """Rounds differ by the highest less the lowest, runs by their means; without figures nothing is known."""
    assert spread([0.9, 1.0, 0.95], "apart", "pgbench").value == pytest.approx(0.1)
    assert change([0.9, 1.0], [0.9], "off", "pgbench").value == pytest.approx(0.05)
    assert spread([1.0], "apart", "pgbench").value is None
    assert [change([], [1.0], "off", "x").value, change([1.0], [], "off", "x").value] == [None, None]
