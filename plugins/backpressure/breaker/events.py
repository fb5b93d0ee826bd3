"""What a circuit breaker tells its listeners; see `backpressure.events`."""

from dataclasses import dataclass

from backpressure.events import Event


@dataclass(frozen=True, slots=True)
class CircuitChanged(Event):
    """The breaker changed its state. Told once, by the process whose call made the change.

    Attributes:
        before: The state, or the operator's order, before.
        after: The same after it.
        reason: Why, in words.
    """

    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallRefused(Event):
    """A call was not let through; it is worth asking again after `retry_after` seconds."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
    """A call that was let through ended.

    Attributes:
        result: "success", "failure" or "ignored".
        duration: Seconds it took.
        slow: Whether that was as long as the slow-call duration.
        probe: Whether it was a probe of the half-open breaker.
    """

    result: str
    duration: float
    slow: bool
    probe: bool


@dataclass(frozen=True, slots=True)
class ReportLost(Event):
    """The storage could not be told how a call ended. The call's own result stands; a probe's lease will lapse.

    Attributes:
        error: Why the storage could not be told.
    """

    error: Exception
