"""A lesson task's way to the StatsD receiver: what Airflow emitted, as short time series."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from backpressure.airflow import tape
from backpressure.airflow.upstream import Endpoint, http_client

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTION_ID = "metrics"
PREFIX = "airflow."
"""What Airflow puts before every name (``[metrics] statsd_prefix``)."""


class MetricsError(Exception):
    """The receiver did not answer, or refused to."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric with one set of tags within a window of time.

    Attributes:
        name: the full name, prefix included.
        tags: tag → value.
        kind: "counter", "gauge", "timer", "histogram", "distribution" or "set".
        at: instants of receipt (epoch s).
        values: a counter's running total, a gauge's value from then on, a set's number of distinct members; the samples
            of the other kinds (timers in ms).
        before: the value just before the window; None if there was none.
        complete: False when points of the window were forgotten: then measure nothing on it.
    """

    name: str
    tags: Mapping[str, str]
    kind: str
    at: tuple[float, ...]
    values: tuple[float, ...]
    before: float | None
    complete: bool

    def __len__(self) -> int:
        return len(self.values)

    @property
    def increase(self) -> float:
        """By how much the value grew over the window: of a counter, what was counted in it."""
        start = self.before if self.before is not None else 0.0
        return self.values[-1] - start if self.values else 0.0

    def value_at(self, instant: float) -> float | None:
        """Return the last value received at or before an instant; None if there was none."""
        value = self.before
        for at, newer in zip(self.at, self.values, strict=True):
            if at > instant:
                break
            value = newer
        return value


class Metrics:
    """The StatsD receiver.

    Args:
        base_url: where it is; by default the Airflow connection says it.
        token: the bearer token, with ``base_url``.
        conn_id: the Airflow connection.
        prefix: put before every name asked for; "" to give full names.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        token: str | None = None,
        conn_id: str = CONNECTION_ID,
        prefix: str = PREFIX,
        timeout: float = 10.0,
    ) -> None:
        self._endpoint = Endpoint(base_url, token) if base_url else None
        self._conn_id = conn_id
        self._prefix = prefix
        self._timeout = timeout
        self._http: httpx.Client | None = None

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    @property
    def endpoint(self) -> Endpoint:
        """Where the receiver is."""
        if self._endpoint is None:
            self._endpoint = Endpoint.from_connection(self._conn_id)
        return self._endpoint

    def series(
        self,
        name: str,
        since: float | None = None,
        until: float | None = None,
        *,
        tags: Mapping[str, str] | None = None,
    ) -> Series | None:
        """Return one metric's points received in [since, until); None if it was never received.

        Raises:
            ValueError: several series have this name, and no or too few tags tell them apart.
        """
        wanted = dict(tags or {})
        found = [
            one for one in self._read({"name": self._prefix + name}, since, until) if wanted.items() <= one.tags.items()
        ]
        if len(found) > 1:
            raise ValueError(f"name={name!r} has {len(found)} series; give tags, e.g. tags={dict(found[0].tags)!r}")
        return found[0] if found else None

    def instants(self, name: str, since: float | None = None, until: float | None = None) -> tuple[float, ...]:
        """Return when a metric that has no tags was received in [since, until); none if it never was."""
        found = self.series(name, since, until)
        return found.at if found is not None else ()

    def matching(self, pattern: str, since: float | None = None, until: float | None = None) -> list[Series]:
        """Return every metric whose name matches a glob pattern such as "pool.open_slots.*"."""
        return self._read({"match": _escaped(self._prefix) + pattern}, since, until)

    def names(self, pattern: str = "*") -> list[dict[str, Any]]:
        """Return the metrics received, with tags, kind, last value and its instant."""
        names: list[dict[str, Any]] = self._get("names", {"match": _escaped(self._prefix) + pattern})["names"]
        return names

    def stats(self) -> dict[str, Any]:
        """Return counts of packets, metrics, malformed lines, and datagrams that the kernel dropped (None: unknown)."""
        stats: dict[str, Any] = self._get("stats", {})
        return stats

    def _read(self, query: dict[str, Any], since: float | None, until: float | None) -> list[Series]:
        window = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
        return [
            Series(
                one["name"],
                one["tags"],
                one["kind"],
                tuple(one["at"]),
                tuple(one["value"]),
                one["before"],
                one["complete"],
            )
            for one in self._get("series", query | window)["series"]
        ]

    def _get(self, route: str, params: dict[str, Any]) -> Any:
        return tape.heard("metrics", [route, params], lambda: self._asked(route, params))

    def _asked(self, route: str, params: dict[str, Any]) -> Any:
        url = self.endpoint.url(route)
        try:
            if self._http is None:
                self._http = http_client(self.endpoint)
                weakref.finalize(self, self._http.close)
            response = self._http.get(
                url, params=params, headers=self.endpoint.control_headers(), timeout=self._timeout
            )
        except httpx.TransportError as error:
            raise MetricsError(f"{url}: {error}. Is the lab up? Run ./lab status.") from error
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise ValueError(response.json()["error"]["message"])
        if response.status_code != httpx.codes.OK:
            raise MetricsError(f"{url}: HTTP {response.status_code}: {response.text[:200]}")
        return response.json()


def _escaped(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
