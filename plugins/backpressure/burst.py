"""Telling a burst from an ordinary day: the rate at which work comes now, against what it has been lately."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from backpressure.checks import check_count, check_number, check_seconds

__all__ = ["BurstDetector", "Rates"]


class Rates(NamedTuple):
    """What one look told.

    Attributes:
        now: arrivals a second within the window.
        usual: arrivals a second lately.
        burst: whether this is a burst.
    """

    now: float
    usual: float
    burst: bool


class BurstDetector:
    """Sees a burst where more comes within a window than so many times what usually comes.

    What is usual is an exponentially weighted mean of the windows' rates, and a plain mean until there is enough to
    weigh. Of a burst it learns only what would still not be one: it takes about the memory until a burst that does not
    end is what is usual. Before the first window is over nothing is called a burst.

    Args:
        window: seconds over which arrivals are counted.
        factor: times the usual rate above which arrivals are a burst; above 1.
        least: fewer arrivals within a window are never a burst, whatever was usual.
        memory: seconds after which a look weighs 1 / e of what it did.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, window: float, factor: float = 3.0, least: int = 4, memory: float = 60.0) -> None:
        check_seconds("window", window)
        check_number("factor", factor, 1.001, 1_000_000)
        check_count("least", least, 1_000_000)
        check_seconds("memory", memory)
        self.window, self.factor, self.least, self.memory = window, factor, least, memory
        self._seen: deque[tuple[float, int]] = deque()
        self._usual = 0.0
        self._since: float | None = None

    def look(self, at: float, arrived: int) -> Rates:
        """Tell how many have arrived by now, in all.

        Args:
            at: seconds on any clock; looks come in its order.
            arrived: a count that never falls.
        """
        before = self._seen[-1][0] if self._seen else at
        self._since = at if self._since is None else self._since
        self._seen.append((at, arrived))
        while len(self._seen) > 1 and self._seen[1][0] <= at - self.window:
            self._seen.popleft()
        came, age = arrived - self._seen[0][1], at - self._since
        now, most = came / self.window, max(self.factor * self._usual, (self.least - 1) / self.window)
        burst = now > most and age >= self.window
        if at > before:
            weight = max(1 - math.exp((before - at) / self.memory), (at - before) / age)
            self._usual += weight * (min(now, most) - self._usual)
        return Rates(now, self._usual, burst)
