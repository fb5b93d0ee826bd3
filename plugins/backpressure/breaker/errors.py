"""What a circuit breaker raises."""

from backpressure.errors import RejectedError


class CircuitOpenError(RejectedError):
    """The breaker let no call through; after `retry_after` seconds it is worth asking again."""
