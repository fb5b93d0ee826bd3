"""What happened, told to whoever listens: metrics, logs, tests.

A listener is any callable that takes an event. It is called in the caller's thread right after the decision, so it must
be quick; an exception it raises is logged and changes nothing.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = [
    "Event",
    "FailedOpen",
    "LeaseLost",
    "Listener",
    "PermitGranted",
    "PermitRefused",
    "PermitReleased",
    "ServerLimitAdopted",
    "publish",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of every event.

    Attributes:
        name: of the limiter, bulkhead or breaker that it happened to.
    """

    name: str


@dataclass(frozen=True, slots=True)
class PermitGranted(Event):
    """A permit was given, to be used after `delay` seconds (0: at once)."""

    cost: int
    delay: float


@dataclass(frozen=True, slots=True)
class PermitRefused(Event):
    """A permit was refused; it would have been there after `retry_after` seconds."""

    cost: int
    retry_after: float


@dataclass(frozen=True, slots=True)
class PermitReleased(Event):
    """A bulkhead's permit was given back after `held` seconds."""

    cost: int
    held: float


@dataclass(frozen=True, slots=True)
class LeaseLost(Event):
    """A bulkhead's permit ran out before its holder renewed it or gave it back; somebody else may hold it now."""

    cost: int


@dataclass(frozen=True, slots=True)
class ServerLimitAdopted(Event):
    """A server said how much it still takes: `remaining` calls (None: unknown) within the next `reset` seconds."""

    remaining: int | None
    reset: float


@dataclass(frozen=True, slots=True)
class FailedOpen(Event):
    """The storage could not be asked, and the call was let through as it was told to be.

    Attributes:
        error: why the storage could not be asked.
    """

    error: Exception


Listener = Callable[[Event], None]


def publish(listeners: Iterable[Listener], event: Event) -> None:
    """Tell every listener, whatever another one does."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            logging.getLogger(__name__).exception("listener %r failed on %r", listener, event)
