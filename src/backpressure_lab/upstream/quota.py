"""Counting one key's requests against its quota, exactly, as a function of time."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from backpressure_lab.upstream.settings import Quota

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of one policy after a request.

    Attributes:
        policy: "rate" or "daily".
        limit: requests per period.
        period: seconds.
        remaining: requests that would still be accepted now.
        reset: seconds until ``remaining`` next grows.
    """

    policy: Literal["rate", "daily"]
    limit: int
    period: float
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is within the quota; ``retry_after`` (s) is 0 when it is."""

    allowed: bool
    retry_after: float
    allowances: tuple[Allowance, ...]


class _SlidingWindow:
    """The instants accepted within the last period."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()

    def room(self, limit: int, period: float, now: float) -> tuple[int, float]:
        accepted = self._accepted
        while accepted and accepted[0] + period <= now:
            accepted.popleft()
        used = len(accepted)
        # The first instant whose leaving makes room, which is not the oldest one when the limit was lowered.
        leaves = max(used - limit, 0)
        reset = accepted[leaves] + period - now if leaves < used else period
        return max(limit - used, 0), reset

    def take(self, now: float) -> None:
        self._accepted.append(now)


class _FixedWindow:
    """The number accepted in the current period, periods being cut at multiples of their length since the epoch."""

    def __init__(self) -> None:
        self._window = (0.0, 0.0)
        self._used = 0

    def room(self, limit: int, period: float, now: float) -> tuple[int, float]:
        index = math.floor(now / period)
        if self._window != (period, index):
            self._window = (period, index)
            self._used = 0
        return max(limit - self._used, 0), (index + 1) * period - now

    def take(self, _now: float) -> None:
        self._used += 1


class QuotaMeter:
    """One key's requests so far. A refused request is not counted."""

    def __init__(self) -> None:
        self._sliding = _SlidingWindow()
        self._fixed = _FixedWindow()
        self._daily = _FixedWindow()

    def take(self, quota: Quota, now: float) -> Verdict:
        """Accept one request at ``now`` if every policy has room for it, and count it."""
        policies: list[tuple[Literal["rate", "daily"], int, float, _SlidingWindow | _FixedWindow]] = []
        if quota.limit is not None:
            policies.append(
                ("rate", quota.limit, quota.period, self._sliding if quota.window == "sliding" else self._fixed)
            )
        if quota.daily is not None:
            policies.append(("daily", quota.daily, DAY, self._daily))
        rooms = [window.room(limit, period, now) for _, limit, period, window in policies]
        allowed = all(room > 0 for room, _ in rooms)
        if allowed:
            for *_, window in policies:
                window.take(now)
            rooms = [window.room(limit, period, now) for _, limit, period, window in policies]
        return Verdict(
            allowed,
            0.0 if allowed else max(reset for room, reset in rooms if not room),
            tuple(
                Allowance(name, limit, period, room, reset)
                for (name, limit, period, _), (room, reset) in zip(policies, rooms, strict=True)
            ),
        )
