"""The circuit breaker: stop calling what fails, and try again carefully, as one with all who share the storage."""

from typing import TYPE_CHECKING

from backpressure.breaker.attempt import Attempt
from backpressure.breaker.breaker import CircuitBreaker
from backpressure.breaker.errors import CircuitOpenError
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.snapshot import Snapshot

if TYPE_CHECKING:
    from backpressure.breaker.last_good import LastGood, Served

__all__ = ["Attempt", "BreakerSettings", "CircuitBreaker", "CircuitOpenError", "LastGood", "Served", "Snapshot"]


def __getattr__(name: str) -> object:
    if name not in ("LastGood", "Served"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from backpressure.breaker import last_good  # noqa: PLC0415 - json is slow to import, and few keep values

    return getattr(last_good, name)
