"""The package's events in Airflow's own metrics and in the task's log.

    limiter = RateLimiter("partner_x", Rate(10, 1.0), storage(), listeners=LISTENERS)

Both listeners know events by their fields, so that a new event of the package, or of your own, needs nothing here:

- **Metrics**, through Airflow's `Stats` (StatsD or OpenTelemetry, as `[metrics]` says), each event as
  `backpressure.<event>`: a counter, by `cost` where it has one; a timer `.<field>` for each field in seconds; a gauge
  `.<field>` for each other number. Tags are the `name` and what the event says of its kind. Plain StatsD has no tags:
  while `[metrics] legacy_names_on` is set, as it is by default, everything is also sent with the name at its end, as
  Airflow does with its own (`backpressure.permit_refused.partner_x`).
- **Logs**, through structlog: one line, the event's name and its fields as keys, in the log of the task. Refusals are
  `info`, what an operator should look at is `warning`, all else is `debug`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from typing import Any

from backpressure.events import Event, FailedOpen, LeaseLost, PermitRefused

__all__ = ["LISTENERS", "TaskDeferred", "to_log", "to_metrics"]

PREFIX = "backpressure"
_SECONDS = {"delay", "duration", "held", "reset", "retry_after"}
_TAGS = {"after", "before", "probe", "result", "slow", "wait_for"}
_WARNINGS = {FailedOpen.__name__, LeaseLost.__name__, "CircuitChanged", "ReportLost"}
_INFOS = {PermitRefused.__name__, "CallRefused", "LimitRevised", "ServerLimitAdopted", "TaskDeferred"}


@dataclass(frozen=True, slots=True)
class TaskDeferred(Event):
    """A task was deferred because it was refused; it is to be woken after `delay` seconds.

    Attributes:
        wait_for: "limiter", "breaker" or "bulkhead"; for the latter two the delay is only the time until they are
            looked at.
    """

    delay: float
    wait_for: str


def to_metrics(event: Event) -> None:
    """Send an event to Airflow's metrics."""
    from airflow.sdk.observability import stats  # noqa: PLC0415 - not while a DAG file is parsed

    values = {field.name: getattr(event, field.name) for field in fields(event)}
    kinds = {key: str(value) for key, value in values.items() if key in _TAGS and isinstance(value, str | bool)}
    tags = {"name": event.name, **kinds}
    metric = f"{PREFIX}.{_snake(type(event).__name__)}"
    named = f".{stats.normalize_name_for_stats(event.name, log_warning=False).replace('.', '__')}"
    for ending, with_tags in [("", tags), (named, {})] if _legacy_names() else [("", tags)]:
        stats.incr(f"{metric}{ending}", values.get("cost", 1), tags=with_tags)
        for key, value in values.items():
            if key in _SECONDS:
                stats.timing(f"{metric}.{key}{ending}", timedelta(seconds=value), tags=with_tags)
            elif key not in {*kinds, "cost"} and isinstance(value, int | float):
                stats.gauge(f"{metric}.{key}{ending}", value, tags=with_tags)


def to_log(event: Event) -> None:
    """Write an event to the log, as a line with keys."""
    import structlog  # noqa: PLC0415 - not while a DAG file is parsed

    kind = type(event).__name__
    values: dict[str, Any] = {field.name: getattr(event, field.name) for field in fields(event)}
    logger = structlog.get_logger(PREFIX)
    level = "warning" if kind in _WARNINGS else "info" if kind in _INFOS else "debug"
    # A field may be called like an argument of the logger's own, such as `name`.
    shown = {key: str(value) if isinstance(value, Exception) else value for key, value in values.items()}
    getattr(logger, level)(_snake(kind), **{"of" if key == "name" else key: value for key, value in shown.items()})


LISTENERS = (to_metrics, to_log)
"""Both, for the `listeners` of limiters, bulkheads and breakers."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@cache
def _legacy_names() -> bool:
    from airflow.sdk.configuration import conf  # noqa: PLC0415 - not while a DAG file is parsed

    return bool(conf.getboolean("metrics", "legacy_names_on", fallback=True))
