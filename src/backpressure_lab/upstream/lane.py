"""One named upstream as a function of time: quotas, faults, capacity and the queue before it."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from backpressure_lab.upstream.link import Link
from backpressure_lab.upstream.quota import QuotaMeter, Verdict
from backpressure_lab.upstream.weather import Entry, Weather

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from backpressure_lab.upstream.settings import Settings

MAX_KEYS = 10_000
"""Keys whose use is remembered; beyond it the one that was used longest ago is forgotten."""
DEFAULT_RETRY_AFTER = 1.0
_GOLDEN, _SQRT2, _SQRT3 = (math.sqrt(5) - 1) / 2, math.sqrt(2) - 1, math.sqrt(3) - 1


class Outcome(Enum):
    """What becomes of a request when it arrives."""

    SERVE = "serve"
    WAIT = "wait"
    REFUSE = "refuse"
    DROP = "drop"
    HANG = "hang"


class Place(Enum):
    """Where an accepted request is."""

    WAITING = "waiting"
    SERVING = "serving"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Ticket:
    """An accepted request.

    Attributes:
        wake: called when it moves from waiting to serving or refused.
        fails: whether it is to be answered with the lane's error_status.
        place: where it is.
        started_at: when its service started.
        service_time: seconds that its service takes, known once it has started.
        retry_after: seconds to tell it when it is refused after waiting.
    """

    wake: Callable[[], None]
    fails: bool
    place: Place = Place.WAITING
    started_at: float = math.nan
    service_time: float = 0.0
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to an arrival; which attributes count depends on the outcome."""

    outcome: Outcome
    ticket: Ticket | None = None
    status: int = 0
    retry_after: float = 0.0
    reason: str = ""
    verdict: Verdict | None = None


@dataclass(slots=True)
class _Key:
    meter: QuotaMeter = field(default_factory=QuotaMeter)
    dropped: int = 0
    hung: int = 0


class _Share:
    """Picks a share of a sequence evenly, without chance: the n-th is picked when frac(n * step) < share.

    With an irrational step the sequence is equidistributed (Weyl), and so is every regular part of it: a share of 0.5
    hits each of several callers that take turns in half of their calls.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._seen = 0

    def pick(self, share: float) -> bool:
        if share <= 0.0:
            return False
        self._seen += 1
        return share >= 1.0 or (self._seen * self._step) % 1.0 < share


class Lane:
    """An upstream of its own, independent of every other.

    Every method takes the instant (epoch seconds) at which it happens; instants must not decrease. Nothing here waits:
    a request that must wait gets a ticket whose ``wake`` is called when its turn comes.
    """

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.weather = Weather()
        self.link = Link()
        self._keys: OrderedDict[str, _Key] = OrderedDict()
        self._waiting: dict[Ticket, None] = {}
        self._serving = 0
        self._open = 0
        self._touched = now
        self._first: float  # when the first request came; NaN before
        self._restart_counters()

    @property
    def settings(self) -> Settings:
        """The settings in force at the last instant given."""
        return self.weather.settings

    @property
    def waiting(self) -> int:
        """Requests waiting for capacity."""
        return len(self._waiting)

    @property
    def serving(self) -> int:
        """Requests being served."""
        return self._serving

    @property
    def idle(self) -> bool:
        """Whether no request is in the lane, hanging ones included."""
        return self._open == 0

    def configure(self, changes: Any, now: float) -> None:
        """Change settings; raises SettingsError when one cannot be used."""
        self.advance(now)
        self.weather.configure(changes, now)
        self._touched = now
        self._follow(changes.keys(), now)

    def schedule(self, entries: Any, now: float) -> list[Entry]:
        """Replace the schedule; raises SettingsError when an entry cannot be used."""
        self.advance(now)
        planned = self.weather.schedule(entries, now)
        self._touched = now
        self._follow(self.weather.advance(now), now)
        return planned

    def reset(self, now: float) -> None:
        """Return to the defaults: settings, schedule, quota counts. Requests in progress go on."""
        self.weather.reset(now)
        self._touched = now
        self._keys.clear()
        self._restart_counters()
        self._settle(now)

    def advance(self, now: float) -> None:
        """Carry out what was due by ``now``: expiry, scheduled changes and what follows for waiting requests."""
        expires_after = self.settings.expires_after
        if expires_after is not None and self.idle and now >= (expiry := self._touched + expires_after):
            self.weather.advance(expiry)
            self.reset(expiry)
        if names := self.weather.advance(now):
            self._follow(names, now)

    def arrive(self, key: str, now: float, wake: Callable[[], None]) -> Decision:
        """Decide about a request; every call must be followed by one ``leave``."""
        self.advance(now)
        self._touched = now
        self._open += 1
        settings = self.settings
        if math.isnan(self._first):
            self._first = now
        if self._is_out(now):
            return Decision(Outcome.REFUSE, status=503, retry_after=self._outage_ends(now), reason="outage")
        state = self._key(key)
        exposed = settings.fault_keys is None or key in settings.fault_keys
        if exposed and state.dropped < settings.drop_first:
            state.dropped += 1
            return Decision(Outcome.DROP)
        if exposed and state.hung < settings.hang_first:
            state.hung += 1
            return Decision(Outcome.HANG)
        if exposed and self._drops.pick(settings.drop):
            return Decision(Outcome.DROP)
        if exposed and self._hangs.pick(settings.hang):
            return Decision(Outcome.HANG)
        return self._admit(key, exposed=exposed, now=now, wake=wake)

    def resume(self, key: str, now: float, wake: Callable[[], None]) -> Decision:
        """Decide about a request that has hung and is now to be answered."""
        self.advance(now)
        if self._is_out(now):
            return Decision(Outcome.REFUSE, status=503, retry_after=self._outage_ends(now), reason="outage")
        return self._admit(key, exposed=True, now=now, wake=wake)

    def leave(self, ticket: Ticket | None, now: float) -> None:
        """Note the end of a request: answered, refused, dropped or given up by its client."""
        self._open -= 1
        self._touched = now
        if ticket is not None:
            self._waiting.pop(ticket, None)
            if ticket.place is Place.SERVING:
                self._serving -= 1
            ticket.place = Place.GONE
        self.advance(now)
        self._settle(now)

    def _admit(self, key: str, *, exposed: bool, now: float, wake: Callable[[], None]) -> Decision:
        settings = self.settings
        quota = settings.quota(key)
        verdict = self._key(key).meter.take(quota, now) if quota else None
        if verdict and not verdict.allowed:
            return Decision(
                Outcome.REFUSE, status=429, retry_after=verdict.retry_after, reason="quota", verdict=verdict
            )
        free = settings.capacity is None or self._serving < settings.capacity
        if not free and self._queue_is_full():
            wait = self._told(self._expected_wait(), now)
            return Decision(Outcome.REFUSE, status=503, retry_after=wait, reason="overload", verdict=verdict)
        ticket = Ticket(wake, fails=exposed and self._errors.pick(settings.error))
        if free:
            self._start(ticket, now)
            return Decision(Outcome.SERVE, ticket, verdict=verdict)
        self._waiting[ticket] = None
        return Decision(Outcome.WAIT, ticket, verdict=verdict)

    def _follow(self, names: AbstractSet[str], now: float) -> None:
        """Do what a change of these settings brings with it."""
        for key in self._keys.values():
            key.dropped = 0 if "drop_first" in names else key.dropped
            key.hung = 0 if "hang_first" in names else key.hung
        if "outage_first" in names:
            self._first = math.nan
        if "seed" in names:
            self._random = random.Random(self.settings.seed)  # noqa: S311  # service times, no secret
        self._settle(now)

    def _settle(self, now: float) -> None:
        """Let in the waiting requests that there is room for, or refuse them in an outage."""
        settings = self.settings
        while self._waiting:
            ticket = next(iter(self._waiting))
            if settings.outage:
                ticket.place = Place.REFUSED
                ticket.retry_after = self._outage_ends(now)
            elif settings.capacity is None or self._serving < settings.capacity:
                self._start(ticket, now)
            else:
                return
            del self._waiting[ticket]
            ticket.wake()

    def _start(self, ticket: Ticket, now: float) -> None:
        settings = self.settings
        factor = self._random.expovariate(1.0) if settings.service_distribution == "exponential" else 1.0
        ticket.place = Place.SERVING
        ticket.started_at = now
        ticket.service_time = settings.service_time * settings.slow * factor
        self._serving += 1

    def _queue_is_full(self) -> bool:
        limit = self.settings.queue_limit
        return limit is not None and len(self._waiting) >= limit

    def _expected_wait(self) -> float:
        settings = self.settings
        if not settings.capacity:
            return DEFAULT_RETRY_AFTER
        return (len(self._waiting) + 1) * settings.service_time * settings.slow / settings.capacity

    def _is_out(self, now: float) -> bool:
        return self.settings.outage or now < self._first + self.settings.outage_first

    def _outage_ends(self, now: float) -> float:
        if not self.settings.outage:
            return self._told(self._first + self.settings.outage_first - now, now)
        change = self.weather.next_change()
        return self._told(DEFAULT_RETRY_AFTER if change is None else change - now, now)

    def _told(self, estimate: float, now: float) -> float:
        setting = self.settings.retry_after
        if setting is None:
            return estimate
        if isinstance(setting, str):
            change = self.weather.next_change()
            return estimate if change is None else change - now
        return setting

    def _key(self, name: str) -> _Key:
        state = self._keys.get(name)
        if state is None:
            state = self._keys[name] = _Key()
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        else:
            self._keys.move_to_end(name)
        return state

    def _restart_counters(self) -> None:
        self._first = math.nan
        self._drops, self._hangs, self._errors = _Share(_GOLDEN), _Share(_SQRT2), _Share(_SQRT3)
        self._random = random.Random(self.settings.seed)  # noqa: S311  # service times, no secret
