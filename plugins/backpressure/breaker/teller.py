"""Tells a breaker's listeners what happened, and the log what nobody must miss."""

from typing import TYPE_CHECKING

from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.snapshot import explain
from backpressure.breaker.state import Change, Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backpressure.events import Event, Listener


class Teller:
    """Builds events only when somebody listens: most processes make a few calls and listen to none.

    Args:
        name: The breaker's name.
        listeners: Who is told.
    """

    def __init__(self, name: str, listeners: "Iterable[Listener]") -> None:
        self._name = name
        self._listeners = tuple(listeners)

    def changed(self, change: Change | None, settings: BreakerSettings) -> None:
        """The state changed, or not, when `change` is None."""
        if change is not None and self._listeners:
            from backpressure.breaker.events import CircuitChanged  # noqa: PLC0415 - slow to import

            self._publish(CircuitChanged(self._name, change.before, change.after, explain(change.cause, settings)))

    def refused(self, retry_after: float) -> None:
        """A call was not let through."""
        if self._listeners:
            from backpressure.breaker.events import CallRefused  # noqa: PLC0415 - slow to import

            self._publish(CallRefused(self._name, retry_after))

    def ended(self, result: Result, duration: float, *, slow: bool, probe: bool) -> None:
        """A call that was let through ended."""
        if self._listeners:
            from backpressure.breaker.events import CallEnded  # noqa: PLC0415 - slow to import

            self._publish(CallEnded(self._name, result.value, duration, slow=slow, probe=probe))

    def failed_open(self, error: Exception) -> None:
        """The storage could not be asked, and the call passes."""
        _warn("circuit breaker %r could not be asked and lets the call pass: %s", self._name, error)
        if self._listeners:
            from backpressure.events import FailedOpen  # noqa: PLC0415 - slow to import

            self._publish(FailedOpen(self._name, error))

    def lost(self, error: Exception) -> None:
        """The storage could not be told how a call ended."""
        _warn("circuit breaker %r could not be told how a call ended: %s", self._name, error)
        if self._listeners:
            from backpressure.breaker.events import ReportLost  # noqa: PLC0415 - slow to import

            self._publish(ReportLost(self._name, error))

    def _publish(self, event: "Event") -> None:
        from backpressure.events import publish  # noqa: PLC0415 - slow to import

        publish(self._listeners, event)


def _warn(message: str, *details: object) -> None:
    import logging  # noqa: PLC0415 - slow to import

    logging.getLogger("backpressure.breaker").warning(message, *details)
