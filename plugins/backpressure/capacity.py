"""How many servers (slots, connections, workers) a demand needs: trends, Little's law, M/M/c, and a demand to try.

Plain arithmetic, without a library: a DAG file may import it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["Trend", "busiest", "erlang_c", "mean_wait", "offered_load", "random_demand", "servers_for", "trend"]

_MOST_SERVERS = 100_000


@dataclass(frozen=True)
class Trend:
    """A straight line: ``level`` at ``origin``, and ``slope`` for each unit of x."""

    slope: float
    level: float
    origin: float = 0.0

    def at(self, x: float) -> float:
        """What the line says of x."""
        return self.level + self.slope * (x - self.origin)

    def reaches(self, value: float) -> float | None:
        """The x at which the line has a value; None when it is level, or had the value before its origin."""
        if not self.slope:
            return None
        steps = (value - self.level) / self.slope
        return self.origin + steps if steps >= 0 else None


def trend(points: Iterable[tuple[float, float]]) -> Trend:
    """The line that fits points (x, y) best by least squares, told from the last of them; level if their x is one.

    Raises:
        ValueError: no points.
    """
    known = list(points)
    if not known:
        raise ValueError("points is empty: a trend needs at least one")
    last = known[-1][0]
    # From the last point on, so that instants of today, which are large numbers, lose no digits.
    across = [x - last for x, _ in known]
    centre, middle = sum(across) / len(known), sum(y for _, y in known) / len(known)
    spread = sum((x - centre) ** 2 for x in across)
    if not spread:
        return Trend(0.0, middle, last)
    slope = sum((x - centre) * (y - middle) for x, (_, y) in zip(across, known, strict=True)) / spread
    return Trend(slope, middle - slope * centre, last)


def busiest(instants: Iterable[float], width: float) -> tuple[float, int]:
    """When the busiest stretch of such a width begins, the first of several, and how many of the instants lie in it.

    Raises:
        ValueError: there are no instants, or the width is not above 0.
    """
    came = sorted(instants)
    if not came or not width > 0:
        raise ValueError(f"busiest stretch of width {width} among {len(came)} instants: both must be above 0")
    counts = [sum(at <= one < at + width for one in came) for at in came]
    most = max(counts)
    return came[counts.index(most)], most


def offered_load(rate: float, service: float) -> float:
    """How many servers the work keeps busy on average, by Little's law: arrivals per second times seconds of service.

    Raises:
        ValueError: a negative or infinite argument.
    """
    return _finite("rate", rate) * _finite("service", service)


def erlang_c(load: float, servers: int) -> float:
    """The share of arrivals that must wait in an M/M/c queue (A. K. Erlang, 1917); 1 when the load is too much.

    Args:
        load: arrivals per second times seconds of service, in erlangs.
        servers: at least one.

    Raises:
        ValueError: an argument is out of range.
    """
    _finite("load", load)
    if servers < 1:
        raise ValueError(f"servers must be at least 1, not {servers}")
    if load >= servers:
        return 1.0
    # Erlang B by its recursion, which neither overflows nor loses digits as the factorials do; then C from B.
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait(load: float, service: float, servers: int) -> float:
    """Mean seconds that an arrival waits in an M/M/c queue; infinite when the load is too much for its servers.

    Args:
        load: in erlangs.
        service: mean seconds of service.
        servers: at least one.
    """
    waiting = erlang_c(load, servers)
    return waiting * _finite("service", service) / (servers - load) if load < servers else math.inf


def servers_for(load: float, service: float, *, wait: float, utilisation: float) -> int:
    """The fewest servers at which the mean wait and the utilisation stay within their limits.

    Args:
        load: in erlangs.
        service: mean seconds of service.
        wait: the longest mean wait that will do, in seconds, above 0.
        utilisation: the highest share of servers in use that will do, above 0 and below 1; the rest is headroom.

    Raises:
        ValueError: an argument is out of range.
    """
    if not wait > 0:
        raise ValueError(f"wait must be above 0, not {wait}")
    if not 0 < utilisation < 1:
        raise ValueError(f"utilisation must lie between 0 and 1, not at {utilisation}")
    servers = max(1, math.ceil(_finite("load", load) / utilisation - 1e-9))
    while mean_wait(load, service, servers) > wait:
        servers += 1
        if servers > _MOST_SERVERS:
            raise ValueError(f"load {load} with a wait of {wait} s needs more than {_MOST_SERVERS} servers")
    return servers


def random_demand(jobs: int, period: float, seed: str) -> list[tuple[float, float]]:
    """When jobs come within a period (seconds from its beginning), and how long each takes (1 on average).

    Both are exponential, as M/M/c has them. So that few jobs have the distribution of many, the intervals and lengths
    are the distribution's own quantiles, in an order that the seed says.

    Raises:
        ValueError: a negative number of jobs or period.
    """
    if jobs < 0:
        raise ValueError(f"jobs must be 0 or more, not {jobs}")
    draw = random.Random(seed)  # noqa: S311 - a demand is no secret
    quantiles = [-math.log(1 - (number + 0.5) / jobs) for number in range(jobs)]
    intervals, lengths = draw.sample(quantiles, jobs), draw.sample(quantiles, jobs)
    arrivals = accumulate(_finite("period", period) / jobs * interval for interval in intervals)
    return list(zip(arrivals, lengths, strict=True))


def _finite(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be 0 or more and finite, not {value}")
    return value
