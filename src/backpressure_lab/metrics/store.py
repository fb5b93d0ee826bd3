"""Short time series in memory, bounded in points per series, in series and in points altogether."""

from __future__ import annotations

import fnmatch
import math
import re
from array import array
from bisect import bisect_left
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backpressure_lab.metrics.parser import Kind, Sample, Tags

MAX_POINTS = 4096
MAX_SERIES = 5000
MAX_TOTAL_POINTS = 2_000_000
MAX_MEMBERS = 10_000


class Series:
    """One metric with one set of tags: instants of receipt and values.

    A counter's values are its running total, a gauge's the value it has from then on, a set's the number of distinct
    members so far; those of timers, histograms and distributions are the samples.
    """

    def __init__(self, name: str, tags: Tags, kind: Kind, max_points: int = MAX_POINTS) -> None:
        self.name = name
        self.tags = tags
        self.kind = kind
        self._max_points = max_points
        self._at = array("d")
        self._values = array("d")
        self._members: set[str] = set()
        self._forgotten_until = -math.inf

    def __len__(self) -> int:
        return len(self._at)

    def add(self, sample: Sample, now: float) -> int:
        """Add a sample received at ``now`` and return by how much the number of points grew."""
        value = sample.value
        last = self._values[-1] if self._values else 0.0
        if self.kind == "set":
            if len(self._members) < MAX_MEMBERS:
                self._members.add(sample.member)
            value = float(len(self._members))
        elif self.kind == "counter" or sample.relative:
            value += last
        # A negative gauge is sent as "0" and "-n" in one packet; the zero was never its value.
        if self.kind == "gauge" and self._at and self._at[-1] == now:
            self._values[-1] = value
            return 0
        self._at.append(now)
        self._values.append(value)
        excess = len(self._at) - self._max_points
        if excess <= 0:
            return 1
        # A quarter at a time, because deleting from the front moves everything behind it.
        excess = max(self._max_points // 4, 1)
        self._forgotten_until = self._at[excess - 1]
        del self._at[:excess], self._values[:excess]
        return 1 - excess

    def summary(self) -> dict[str, Any]:
        """Return name, tags, kind and the last value."""
        return {**self._identity(), "points": len(self._at), "at": self._at[-1], "value": self._values[-1]}

    def window(self, since: float, until: float) -> dict[str, Any]:
        """Return the points received in [since, until) and the value just before (None if there is none).

        ``complete`` is False when points of the window were forgotten.
        """
        first, last = bisect_left(self._at, since), bisect_left(self._at, until)
        return {
            **self._identity(),
            "at": self._at[first:last].tolist(),
            "value": self._values[first:last].tolist(),
            "before": self._values[first - 1] if first else None,
            "complete": self._forgotten_until == -math.inf or self._forgotten_until < since,
        }

    def _identity(self) -> dict[str, Any]:
        return {"name": self.name, "tags": dict(self.tags), "kind": self.kind}


class Store:
    """All series. When there are too many, the one that was updated longest ago is forgotten."""

    def __init__(
        self, *, max_points: int = MAX_POINTS, max_series: int = MAX_SERIES, max_total: int = MAX_TOTAL_POINTS
    ) -> None:
        self._max_points = max_points
        self._max_series = max_series
        self._max_total = max_total
        self._series: OrderedDict[tuple[str, Tags, Kind], Series] = OrderedDict()
        self.points = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._series)

    def add(self, sample: Sample, now: float) -> None:
        """Add a sample received at ``now``; instants must not decrease."""
        identity = sample.name, sample.tags, sample.kind
        series = self._series.get(identity)
        if series is None:
            series = self._series[identity] = Series(*identity, self._max_points)
        self._series.move_to_end(identity)
        self.points += series.add(sample, now)
        while len(self._series) > self._max_series or self.points > self._max_total:
            _, oldest = self._series.popitem(last=False)
            self.points -= len(oldest)
            self.evicted += 1

    def select(self, name: str | None = None, match: str | None = None) -> Iterator[Series]:
        """Return the series with this name, or those whose name matches a glob pattern; all when neither is given."""
        pattern = None if match is None else re.compile(fnmatch.translate(match))
        for series in self._series.values():
            if (name is None or series.name == name) and (pattern is None or pattern.match(series.name)):
                yield series
