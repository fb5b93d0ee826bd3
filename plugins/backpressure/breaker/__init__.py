"""The circuit breaker: stop calling what fails, and try again carefully, as one with all who share the storage."""

from backpressure.breaker.attempt import Attempt
from backpressure.breaker.breaker import CircuitBreaker
from backpressure.breaker.errors import CircuitOpenError
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.snapshot import Snapshot

__all__ = ["Attempt", "BreakerSettings", "CircuitBreaker", "CircuitOpenError", "Snapshot"]
