"""The shared state of one circuit breaker, and the words for what goes in and out of it. Values only."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

NEVER = float("-inf")


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


class Outcome(StrEnum):
    """How a call ended, as far as the breaker is concerned."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Neither: an ignored exception, a cancelled call. A probe's permit is free again at once."""


class Bucket(NamedTuple):
    """The calls that ended in one slice of the window."""

    start: float
    calls: int
    failures: int
    slow: int


class Probe(NamedTuple):
    """A call let through while half-open, and the instant at which it is given up."""

    token: str
    expires: float


class HostFailure(NamedTuple):
    """A host's latest failure or slow call."""

    host: str
    at: float


@dataclass(frozen=True, slots=True)
class BreakerState:
    """All that the users of one breaker share. Instants are seconds on the storage's clock.

    Attributes:
        mode: Who decides.
        phase: Where the breaker stands as last recorded; an `open` whose time has passed becomes `half_open` with the
            next call.
        epoch: Goes up with each change of phase or mode. A result counts only in the epoch in which its call began.
        since: When the phase or mode last changed.
        open_until: When the open time ends; of no meaning unless the phase is `open`.
        openings: Openings in a row, for the growth of the open time.
        failures: The latest failures, oldest first, no more than the failure threshold.
        hosts: Each host's latest failure, latest first, no more than the quorum.
        consecutive: Failures since the last success.
        buckets: The calls within the window, oldest first.
        probes: The calls let through in this half-open phase that have not reported.
        successes: The probes of this half-open phase that succeeded.
    """

    mode: Mode = Mode.AUTOMATIC
    phase: Phase = Phase.CLOSED
    epoch: int = 0
    since: float = NEVER
    open_until: float = NEVER
    openings: int = 0
    failures: tuple[float, ...] = ()
    hosts: tuple[HostFailure, ...] = ()
    consecutive: int = 0
    buckets: tuple[Bucket, ...] = ()
    probes: tuple[Probe, ...] = ()
    successes: int = 0

    def shown(self, now: float) -> Phase:
        """The phase as a user sees it at the instant `now`."""
        if self.mode is Mode.FORCED_OPEN:
            return Phase.OPEN
        if self.mode is not Mode.AUTOMATIC:
            return Phase.CLOSED
        if self.phase is Phase.OPEN and now >= self.open_until:
            return Phase.HALF_OPEN
        return self.phase


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the phase or mode that a statement made, for events and logs."""

    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a call that wants to pass.

    Attributes:
        allowed: Whether the call may start.
        epoch: The epoch in which it starts; its report carries it.
        token: The probe's token when the call is a probe, else None.
        retry_after: Seconds after which it is worth asking again; 0 when allowed.
        phase: The phase seen.
        change: The change that the question itself made (open to half-open), else None.
    """

    allowed: bool
    epoch: int
    token: str | None
    retry_after: float
    phase: Phase
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """How an admitted call ended.

    Attributes:
        epoch: The epoch of its admission.
        token: The token of its admission.
        outcome: Success, failure, or neither.
        slow: Whether it took as long as the slow-call duration.
        host: Where it ran.
        random: A uniform random number from 0 up to 1 for the jitter of the open time, drawn by the caller, so that
            the transition itself is a function.
    """

    epoch: int
    token: str | None
    outcome: Outcome
    slow: bool = False
    host: str = ""
    random: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The breaker at one instant, for dashboards and for people.

    Attributes:
        name: The breaker's name.
        phase: What a caller would meet.
        state: The recorded state.
        now: The storage's clock when it was read.
    """

    name: str
    phase: Phase
    state: BreakerState
    now: float = field(default=0.0)
