"""What an upstream saw: measures over its log of requests. Pure functions of the log; needs numpy, not Airflow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_TIMES = ("arrival", "start", "finish", "retry_after")
_TEXTS = ("lane", "key", "path", "request_id", "status")
_NUMBERS = ("id", "bytes")
COLUMNS = (*_TIMES, *_NUMBERS, *_TEXTS)


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest value of something and the instant (epoch s) at which it was first reached; None if never."""

    value: float
    at: float | None


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much an interval's arrivals exceeded burst + rate * length; at most 0 when the limit was kept.

    Attributes:
        value: arrivals too many in the worst interval.
        start: its first arrival (epoch s).
        end: its last arrival (epoch s).
        arrivals: requests that arrived in it, both ends included.
    """

    value: float
    start: float
    end: float
    arrivals: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What followed a refusal.

    Attributes:
        group: the key (or request id) that was refused.
        refused_at: when the refusal was sent (epoch s).
        retry_after: seconds that it told; None if it told nothing.
        gap: seconds until the group's next arrival; None if there was none.
    """

    group: str
    refused_at: float
    retry_after: float | None
    gap: float | None

    @property
    def honoured(self) -> bool:
        """Whether the next arrival came no earlier than told."""
        return self.gap is None or self.retry_after is None or self.gap >= self.retry_after


@dataclass(frozen=True, slots=True)
class Curve:
    """A step function of time: ``values[i]`` from ``at[i]`` (inclusive) to ``at[i + 1]``, 0 before the first."""

    at: Floats
    values: Floats

    def peak(self) -> Peak:
        """Return the largest value and where it was first reached."""
        if not len(self.values):
            return Peak(0.0, None)
        index = int(np.argmax(self.values))
        return Peak(float(self.values[index]), float(self.at[index]))

    def value(self, instant: float) -> float:
        """Return the value at an instant."""
        index = int(np.searchsorted(self.at, instant, side="right")) - 1
        return float(self.values[index]) if index >= 0 else 0.0

    def mean(self, since: float, until: float) -> float:
        """Return the average over time."""
        widths, values = self._pieces(since, until)
        return float(np.average(values, weights=widths))

    def variation(self, since: float, until: float) -> float:
        """Return the coefficient of variation over time: standard deviation ÷ mean; NaN when the mean is 0."""
        widths, values = self._pieces(since, until)
        mean = np.average(values, weights=widths)
        if not mean:
            return float("nan")
        return float(np.sqrt(np.average((values - mean) ** 2, weights=widths)) / mean)

    def _pieces(self, since: float, until: float) -> tuple[Floats, Floats]:
        if not since < until:
            raise ValueError(f"since={since!r} must be before until={until!r}")
        inner = self.at[(self.at > since) & (self.at < until)]
        cuts = np.concatenate(([since], inner, [until]))
        index = np.searchsorted(self.at, cuts[:-1], side="right") - 1
        values = np.where(index >= 0, self.values[index], 0.0) if len(self.values) else np.zeros(len(index))
        return np.diff(cuts), values


class RequestLog:
    """Requests in order of arrival.

    Attributes:
        now: when the log was read (epoch s); requests without a finish are in flight until then.
        complete: False when requests of the window asked for may have been forgotten: then measure nothing on it.
        id, bytes: whole numbers.
        arrival, start, finish, retry_after: seconds; NaN where there is none.
        lane, key, path, request_id, status: texts; the status is a code such as "200", or "dropped" (closed without a
            reply), "hung" (held without a reply), "disconnected" (the client left first), "waiting" or "serving".
    """

    id: NDArray[np.int64]
    bytes: NDArray[np.int64]
    arrival: Floats
    start: Floats
    finish: Floats
    retry_after: Floats
    lane: NDArray[np.str_]
    key: NDArray[np.str_]
    path: NDArray[np.str_]
    request_id: NDArray[np.str_]
    status: NDArray[np.str_]

    def __init__(self, columns: Mapping[str, Any], *, now: float, complete: bool = True) -> None:
        self.now = now
        self.complete = complete
        for name in _TIMES:
            setattr(self, name, np.asarray(columns[name], dtype=np.float64))
        for name in _NUMBERS:
            setattr(self, name, np.asarray(columns[name], dtype=np.int64))
        for name in _TEXTS:
            setattr(self, name, np.asarray(columns[name], dtype=np.str_))

    @classmethod
    def from_pages(cls, pages: Iterable[Mapping[str, Any]]) -> RequestLog:
        """Build a log from the simulator's answers to ``GET /log``, in their order."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        now, complete = 0.0, True
        for page in pages:
            now, complete = page["now"], complete and page["complete"]
            for name, values in columns.items():
                values.extend(page["columns"][name])
        columns["request_id"] = ["" if value is None else value for value in columns["request_id"]]
        columns["status"] = [str(value) for value in columns["status"]]
        return cls(columns, now=now, complete=complete)

    def __len__(self) -> int:
        return len(self.arrival)

    def select(
        self,
        *,
        lane: str | None = None,
        key: str | Iterable[str] | None = None,
        status: int | str | Iterable[int | str] | None = None,
        path: str | Iterable[str] | None = None,
        request_id: str | Iterable[str] | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> RequestLog:
        """Return the requests that fit every condition; ``since`` and ``until`` bound the arrival, [since, until)."""
        keep = np.ones(len(self), dtype=bool)
        for column, wanted in (
            (self.lane, lane),
            (self.key, key),
            (self.status, status),
            (self.path, path),
            (self.request_id, request_id),
        ):
            if wanted is not None:
                values = [wanted] if isinstance(wanted, (str, int)) else list(wanted)
                keep &= np.isin(column, np.asarray([str(value) for value in values], dtype=np.str_))
        if since is not None:
            keep &= self.arrival >= since
        if until is not None:
            keep &= self.arrival < until
        return self._take(keep)

    def last(self, count: int) -> RequestLog:
        """Return the ``count`` requests that arrived last."""
        return self._take(np.arange(max(len(self) - count, 0), len(self)))

    def by(self, name: Literal["key", "request_id", "lane", "path", "status"]) -> dict[str, RequestLog]:
        """Return a log for each value of a column."""
        values, inverse = np.unique(getattr(self, name), return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1) if len(order) else []
        return {str(value): self._take(part) for value, part in zip(values, parts, strict=True)}

    def count(self, **conditions: Any) -> int:
        """Return how many requests fit the conditions of ``select``."""
        return len(self.select(**conditions))

    def statuses(self) -> Counter[str]:
        """Return how many requests ended in each status."""
        return Counter(self.status.tolist())

    def arrivals(self, window: float) -> Peak:
        """Return the most arrivals in any window [t, t + window) and the t of the first such window."""
        _positive("window", window)
        if not len(self):
            return Peak(0.0, None)
        counts = np.searchsorted(self.arrival, self.arrival + window, side="left") - np.arange(len(self))
        index = int(np.argmax(counts))
        return Peak(float(counts[index]), float(self.arrival[index]))

    def excess(self, rate: float, burst: float) -> Excess | None:
        """Return the interval that exceeds burst + rate * length most; None without requests.

        Every interval is covered: between the i-th and the j-th arrival lie j - i + 1 arrivals, so that the excess is
        (j - rate * a[j]) - (i - rate * a[i]) + 1 - burst, whose maximum over i <= j needs one pass.
        """
        _positive("rate", rate)
        _positive("burst", burst)
        if not len(self):
            return None
        level = np.arange(len(self)) - rate * (self.arrival - self.arrival[0])
        lowest = np.minimum.accumulate(level)
        end = int(np.argmax(level - lowest))
        start = int(np.argmin(level[: end + 1]))
        value = float(level[end] - level[start]) + 1 - burst
        return Excess(value, float(self.arrival[start]), float(self.arrival[end]), end - start + 1)

    def inflight(self, since: Literal["arrival", "start"] = "arrival") -> Curve:
        """Return the number of requests in progress over time, rebuilt from the instants in the log.

        Args:
            since: "arrival" counts a request from its arrival, waiting included; "start" from the start of its service.

        A request occupies [since, finish): one that ends when another begins does not overlap it.
        """
        begin = getattr(self, since)
        begun = ~np.isnan(begin)
        end = np.where(np.isnan(self.finish), self.now, self.finish)
        instants = np.concatenate((end[begun], begin[begun]))
        steps = np.repeat([-1.0, 1.0], int(begun.sum()))
        order = np.argsort(instants, kind="stable")
        at, values = instants[order], np.cumsum(steps[order])
        last_at_instant = np.append(at[1:] != at[:-1], True) if len(at) else np.zeros(0, dtype=bool)
        return Curve(at[last_at_instant], values[last_at_instant])

    def gaps_after(self, status: int | str = 429, by: Literal["key", "request_id"] = "key") -> list[Gap]:
        """Return, for each refusal, when its key's (or request id's) next request came.

        The gap runs from the sending of the refusal to the first arrival after it.
        """
        gaps = []
        for group, log in self.by(by).items():
            for index in np.flatnonzero(log.status == str(status)):
                refused_at, told = log.finish[index], log.retry_after[index]
                following = int(np.searchsorted(log.arrival, refused_at, side="left"))
                following = max(following, int(index) + 1)
                gap = float(log.arrival[following] - refused_at) if following < len(log) else None
                gaps.append(Gap(group, float(refused_at), None if np.isnan(told) else float(told), gap))
        return sorted(gaps, key=lambda gap: gap.refused_at)

    def spacing(self) -> Floats:
        """Return the seconds between consecutive arrivals."""
        return np.diff(self.arrival)

    def rate(self, since: float | None = None, until: float | None = None) -> float:
        """Return arrivals per second over [since, until); by default from first to last arrival, the first not counted.

        NaN when that interval has no length.
        """
        log = self.select(since=since, until=until)
        begin = since if since is not None else (log.arrival[0] if len(log) else np.nan)
        end = until if until is not None else (log.arrival[-1] if len(log) else np.nan)
        counted = len(log) - (since is None and until is None)
        return float(counted / (end - begin)) if end > begin else float("nan")

    def bins(self, width: float, since: float | None = None, until: float | None = None) -> NDArray[np.int64]:
        """Return the arrivals in consecutive bins of ``width`` seconds from ``since`` (first arrival) to ``until``."""
        _positive("width", width)
        log = self.select(since=since, until=until)
        if not len(log) and (since is None or until is None):
            return np.zeros(0, dtype=np.int64)
        begin = log.arrival[0] if since is None else since
        end = np.nextafter(log.arrival[-1], np.inf) if until is None else until
        number = max(int(np.ceil((end - begin) / width)), 1)
        index = np.minimum(((log.arrival - begin) / width).astype(np.int64), number - 1)
        return np.bincount(index, minlength=number).astype(np.int64)

    def latency(self) -> Floats:
        """Return finish - arrival of the finished requests (s)."""
        return self._finished(self.finish - self.arrival)

    def waits(self) -> Floats:
        """Return start - arrival of the requests whose service started (s)."""
        waits = self.start - self.arrival
        return waits[~np.isnan(waits)]

    def service(self) -> Floats:
        """Return finish - start of the requests served to the end (s)."""
        return self._finished(self.finish - self.start)

    def download_rates(self) -> Floats:
        """Return bytes / (finish - start) of the requests served to the end (bytes/s); infinite for no time at all."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._finished(self.bytes / (self.finish - self.start))

    def _finished(self, values: Floats) -> Floats:
        return values[~np.isnan(values)]

    def _take(self, index: NDArray[Any]) -> RequestLog:
        columns = {name: getattr(self, name)[index] for name in COLUMNS}
        return RequestLog(columns, now=self.now, complete=self.complete)


def _positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}={value!r} must be a positive, finite number")
