"""The log of every request, lane by lane, bounded in memory."""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

WAITING, SERVING, DROPPED, HUNG, DISCONNECTED = 0, 1, -1, -2, -3
STATUS_WORDS = {
    WAITING: "waiting",
    SERVING: "serving",
    DROPPED: "dropped",
    HUNG: "hung",
    DISCONNECTED: "disconnected",
}
COLUMNS = (
    "id", "lane", "key", "path", "request_id", "arrival", "start", "finish", "status", "retry_after", "bytes",
)  # fmt: skip
_LONGEST_TEXT = 200


class LaneLog:
    """One lane's requests in order of arrival, a column per attribute."""

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self.forgotten = 0
        self.forgotten_until = -math.inf
        self._ids = array("q")
        self._arrivals = array("d")
        self._starts = array("d")
        self._finishes = array("d")
        self._statuses = array("h")
        self._retry_afters = array("d")
        self._bytes = array("q")
        self._keys: list[str] = []
        self._paths: list[str] = []
        self._request_ids: list[str | None] = []

    def __len__(self) -> int:
        return len(self._ids)

    def open(self, row_id: int, key: str, path: str, request_id: str | None, arrival: float) -> int:
        """Add a request that has just arrived and return its number in this lane."""
        self._ids.append(row_id)
        self._arrivals.append(arrival)
        self._starts.append(math.nan)
        self._finishes.append(math.nan)
        self._statuses.append(WAITING)
        self._retry_afters.append(math.nan)
        self._bytes.append(0)
        self._keys.append(key[:_LONGEST_TEXT])
        self._paths.append(path[:_LONGEST_TEXT])
        self._request_ids.append(request_id[:_LONGEST_TEXT] if request_id else None)
        return self.forgotten + len(self._ids) - 1

    def start(self, number: int, instant: float) -> None:
        """Note the start of service."""
        index = number - self.forgotten
        if index >= 0:
            self._starts[index] = instant
            self._statuses[index] = SERVING

    def hang(self, number: int) -> None:
        """Note that a request is held without a reply."""
        index = number - self.forgotten
        if index >= 0:
            self._statuses[index] = HUNG

    def close(self, number: int, instant: float, status: int, retry_after: float | None, size: int) -> None:
        """Note the end of a request; one that was forgotten meanwhile stays so."""
        index = number - self.forgotten
        if index >= 0:
            self._finishes[index] = instant
            self._statuses[index] = status
            self._retry_afters[index] = math.nan if retry_after is None else retry_after
            self._bytes[index] = size

    def forget(self, count: int) -> None:
        """Forget the oldest requests."""
        self.forgotten_until = self._arrivals[count - 1]
        self.forgotten += count
        for column in (
            self._ids, self._arrivals, self._starts, self._finishes, self._statuses, self._retry_afters, self._bytes,
            self._keys, self._paths, self._request_ids,
        ):  # fmt: skip
            del column[:count]

    def select(self, after: int, since: float, until: float, key: str | None, limit: int) -> list[int]:
        """Return where the first ``limit`` rows are that have an id above ``after`` and arrived in [since, until)."""
        first = max(bisect_right(self._ids, after), bisect_left(self._arrivals, since))
        indices: Iterable[int] = range(first, bisect_left(self._arrivals, until))
        if key is not None:
            indices = (index for index in indices if self._keys[index] == key)
        return list(itertools.islice(indices, limit))

    def columns(self, indices: list[int]) -> list[list[Any]]:
        """Return rows, a list per column of COLUMNS."""
        return [
            [self._ids[index] for index in indices],
            [self.lane] * len(indices),
            [self._keys[index] for index in indices],
            [self._paths[index] for index in indices],
            [self._request_ids[index] for index in indices],
            [self._arrivals[index] for index in indices],
            _some(self._starts, indices),
            _some(self._finishes, indices),
            [STATUS_WORDS.get(status, status) for status in map(self._statuses.__getitem__, indices)],
            _some(self._retry_afters, indices),
            [self._bytes[index] for index in indices],
        ]


def _some(column: array[float], indices: list[int]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in map(column.__getitem__, indices)]


class Journal:
    """All lanes' requests, at most ``limit`` of them; beyond it the largest lane's oldest are forgotten.

    So a load test that fills the log displaces its own past and not another lesson's.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._lanes: dict[str, LaneLog] = {}
        self._rows = 0
        self._last_id = 0
        self._lanes_forgotten_until = -math.inf

    def __len__(self) -> int:
        return self._rows

    def open(self, lane: str, key: str, path: str, request_id: str | None, arrival: float) -> tuple[LaneLog, int]:
        """Add a request that has just arrived; returns its lane's log and its number there."""
        if self._rows >= self._limit:
            largest = max(self._lanes.values(), key=len)
            count = min(len(largest), max(self._limit // 20, 1))
            largest.forget(count)
            self._rows -= count
        log = self._lanes.get(lane)
        if log is None:
            log = self._lanes[lane] = LaneLog(lane)
        self._rows += 1
        self._last_id += 1
        return log, log.open(self._last_id, key, path, request_id, arrival)

    def forget_lane(self, lane: str) -> None:
        """Forget everything of one lane."""
        log = self._lanes.pop(lane, None)
        if log:
            self._rows -= len(log)
            log.forget(len(log))
            self._lanes_forgotten_until = max(self._lanes_forgotten_until, log.forgotten_until)

    def read(
        self,
        *,
        lane: str | None = None,
        key: str | None = None,
        since: float = -math.inf,
        until: float = math.inf,
        after: int = 0,
        limit: int = 2_000,
    ) -> dict[str, Any]:
        """Return one page of requests in order of arrival.

        Returns:
            ``columns`` (name → values), ``next`` (the ``after`` of the next page, None on the last one) and
            ``complete``: False when requests that arrived in the window may have been forgotten.
        """
        known = list(self._lanes.values()) if lane is None else [self._lanes[lane]] if lane in self._lanes else []
        columns: list[list[Any]] = [[] for _ in COLUMNS]
        for log in known:
            part = log.columns(log.select(after, since, until, key, limit + 1))
            for column, values in zip(columns, part, strict=True):
                column.extend(values)
        if len(known) > 1:
            order = sorted(range(len(columns[0])), key=columns[0].__getitem__)
            columns = [[column[index] for index in order] for column in columns]
        more = len(columns[0]) > limit
        lost = [log.forgotten_until for log in known]
        if lane is None or not known:
            lost.append(self._lanes_forgotten_until)
        return {
            "columns": {name: column[:limit] for name, column in zip(COLUMNS, columns, strict=True)},
            "next": columns[0][limit - 1] if more else None,
            "complete": all(instant < since or instant == -math.inf for instant in lost),
        }
