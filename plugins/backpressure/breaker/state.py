"""The shared state of one circuit breaker, and the words for what goes in and out of it. Values only.

Instants are nanoseconds on the storage's clock, as everywhere below the public classes.
"""

from enum import StrEnum
from typing import NamedTuple


class Phase(StrEnum):
    """Where the breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Mode(StrEnum):
    """Who decides: the breaker itself, or an operator who overrode it."""

    AUTOMATIC = "automatic"
    FORCED_OPEN = "forced_open"
    """No call passes, until `reset`."""
    FORCED_CLOSED = "forced_closed"
    """Every call passes; results are counted and shown, and open nothing."""
    DISABLED = "disabled"
    """Every call passes and nothing is counted."""


class Result(StrEnum):
    """How a call ended, as far as the breaker is concerned."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Neither: an ignored exception, a cancelled call. A probe's permit is free again at once."""


class Cause(StrEnum):
    """Why the phase changed."""

    FAILURE_THRESHOLD = "failure_threshold"
    CONSECUTIVE_FAILURES = "consecutive_failures"
    FAILURE_RATE = "failure_rate"
    SLOW_CALL_RATE = "slow_call_rate"
    OPEN_TIME_OVER = "open_time_over"
    PROBE_FAILED = "probe_failed"
    PROBE_SLOW = "probe_slow"
    PROBES_SUCCEEDED = "probes_succeeded"
    OPERATOR = "operator"


class Bucket(NamedTuple):
    """The calls that ended in one slice of the window."""

    start: int
    calls: int
    failures: int
    slow: int


class Probe(NamedTuple):
    """A call let through while half-open, and the instant at which it is given up."""

    call: int
    ends: int


class HostFailure(NamedTuple):
    """A host's latest failure or slow call."""

    host: str
    at: int


class BreakerState(NamedTuple):
    """All that the users of one breaker share.

    Attributes:
        mode: Who decides.
        phase: Where the breaker stands as last recorded; an `open` whose time has passed becomes `half_open` with the
            next call.
        epoch: Goes up with each change of phase or mode, never to a number it had before. A result counts only in the
            epoch in which its call began.
        since: When the phase or mode last changed.
        open_until: When the open time ends; of no meaning unless the phase is `open`.
        openings: Openings in a row, for the growth of the open time.
        failures: The latest failures, oldest first, no more than the failure threshold.
        hosts: Each host's latest failure, latest first, no more than the quorum.
        consecutive: Failures since the last success.
        buckets: The calls within the window, oldest first.
        probes: The calls let through in this half-open phase that have not reported.
        successes: The probes of this half-open phase that succeeded.
        recent: The calls that reported last, so that a report that arrives twice counts once.
        expires: When the record may be dropped, because it no longer matters.
    """

    mode: Mode = Mode.AUTOMATIC
    phase: Phase = Phase.CLOSED
    epoch: int = 0
    since: int = 0
    open_until: int = 0
    openings: int = 0
    failures: tuple[int, ...] = ()
    hosts: tuple[HostFailure, ...] = ()
    consecutive: int = 0
    buckets: tuple[Bucket, ...] = ()
    probes: tuple[Probe, ...] = ()
    successes: int = 0
    recent: tuple[int, ...] = ()
    expires: int = 0

    def shown(self, now: int) -> Phase:
        """The phase as a user sees it at the instant `now`."""
        if self.mode is Mode.FORCED_OPEN:
            return Phase.OPEN
        if self.mode is not Mode.AUTOMATIC:
            return Phase.CLOSED
        if self.phase is Phase.OPEN and now >= self.open_until:
            return Phase.HALF_OPEN
        return self.phase


class Change(NamedTuple):
    """A change of the phase or mode that one operation made."""

    before: str
    after: str
    cause: Cause


class Admission(NamedTuple):
    """The answer to a call that wants to pass.

    Attributes:
        allowed: Whether the call may start.
        epoch: The epoch in which it starts; its report carries it.
        probe: Whether it is let through as a probe.
        retry_after_ns: Nanoseconds after which it is worth asking again; 0 when allowed.
        phase: The phase seen.
        change: The change that the question itself made (open to half-open), else None.
    """

    allowed: bool
    epoch: int
    probe: bool
    retry_after_ns: int
    phase: Phase
    change: Change | None = None


class Report(NamedTuple):
    """How an admitted call ended.

    Attributes:
        call: The call's number, as at its admission.
        epoch: The epoch of its admission.
        result: Success, failure, or neither.
        slow: Whether it took as long as the slow-call duration.
        host: Where it ran.
        random: A uniform random number from 0 up to 1 for the jitter of the open time, drawn by the caller, so that
            the transition itself is a function.
    """

    call: int
    epoch: int
    result: Result
    slow: bool = False
    host: str = ""
    random: float = 0.0
