"""The limiters' arithmetic, as pure functions on whole nanoseconds. `limiter_1.sql` says the same in PL/pgSQL.

Every limit answers three questions: when could a call start at the earliest, what is the state once it is to start
then, and how much could be taken right now. Starts are given in the order of asking: a reserved start is never taken
back, and a limit's starts never go backwards.
"""

from bisect import bisect_right
from typing import Any, NamedTuple

from backpressure.limiter.rate import GCRA, HORIZON_NS, WINDOW, Spec
from backpressure.storage.protocol import Outcome

__all__ = ["LimitState", "adopt", "gcra_take", "reset", "take"]

SAME_WINDOW = 2 * 10**9
"""Servers tell whole seconds: ends that lie no further apart are taken for the same one."""


class LimitState(NamedTuple):
    """One limit's record. Times are nanoseconds since 1970.

    Attributes:
        tat: GCRA's theoretical arrival time: when the bucket will be full again.
        times: the sliding window's latest starts, one for each unit of cost, oldest first.
        size: how many of them are remembered; it only grows, should the limit be changed.
        window: number of the quota's day or month.
        used: permits taken in it.
        blocked_until: a server asked for no call before this.
        allowance: calls that a server still takes until `allowance_until`; None: it did not say.
        allowance_until: when that ends.
        expires: from then on the record means the same as none.
    """

    tat: int = 0
    times: tuple[int, ...] = ()
    size: int = 0
    window: int = 0
    used: int = 0
    blocked_until: int = 0
    allowance: int | None = None
    allowance_until: int = 0
    expires: int = 0


def gcra_take(  # noqa: PLR0917 - a storage passes arguments by place
    states: tuple[Any, ...], now: int, burst: int, interval: int, cost: int, max_wait: int
) -> Outcome:
    """Take one permit of a `Rate`: the usual case of `take`."""
    outcome = take(states, now, [GCRA], [burst], [interval], ["UTC"], 0, 1, cost, max_wait)
    allowed, _, waits, remaining, _ = outcome.result
    return outcome._replace(result=(allowed, waits[0], remaining[0]))


def take(  # noqa: PLR0917 - the same
    states: tuple[Any, ...],
    now: int,
    kinds: list[int],
    limits: list[int],
    periods: list[int],
    zones: list[str],
    any_of: int,
    count: int,
    cost: int,
    max_wait: int,
) -> Outcome:
    """Take `count` permits of `cost` each, from all limits (`any_of` 0) or from the best of them (1); all or none.

    The result is (allowed, which limit, waits, remaining of each limit, now); when it is refused, the one wait says
    after how long the last permit would have been there, or the first one beyond the horizon of ten years.
    """
    specs = [Spec(*each) for each in zip(kinds, limits, periods, zones, strict=True)]
    before = [state or LimitState() for state in states]
    after = list(before)
    waits: list[int] = []
    chosen = 0
    for _ in range(count):
        starts = [earliest(spec, state, now, cost) for spec, state in zip(specs, after, strict=True)]
        if any_of:
            chosen = best(specs, after, starts, now)
        start = starts[chosen] if any_of else max(starts)
        waits.append(start - now)
        if start - now > HORIZON_NS:
            break
        if any_of:
            after[chosen] = charge(specs[chosen], after[chosen], start, cost)
        else:
            after = [charge(spec, state, start, cost) for spec, state in zip(specs, after, strict=True)]
    allowed = waits[-1] <= min(max_wait, HORIZON_NS)
    if not allowed:
        after, waits = before, waits[-1:]
    left = [remaining(spec, state, now) for spec, state in zip(specs, after, strict=True)]
    keep = max((state.expires for state in after), default=now) - now
    return Outcome(tuple(after) if allowed else states, (allowed, chosen + 1, waits, left, now), keep)


def adopt(states: tuple[Any, ...], now: int, blocked_for: int, allowance: int | None, reset_in: int) -> Outcome:
    """Take over what a server said: no call for `blocked_for`, and at most `allowance` calls in the next `reset_in`."""
    state: LimitState = states[0] or LimitState()
    until = now + reset_in
    if allowance is not None and reset_in > 0:
        if state.allowance is not None and now < state.allowance_until and until <= state.allowance_until + SAME_WINDOW:
            # Calls that are under way are counted here and not yet there: the smaller number is the true one.
            allowance = min(state.allowance, allowance)
            until = min(state.allowance_until, until)
        state = state._replace(allowance=allowance, allowance_until=until)
    blocked_until = max(state.blocked_until, now + blocked_for)
    expires = max(state.expires, blocked_until, state.allowance_until)
    return Outcome((state._replace(blocked_until=blocked_until, expires=expires),), (now,), expires - now)


def reset(states: tuple[Any, ...], now: int) -> Outcome:
    """Forget everything about the limits."""
    return Outcome((None,) * len(states), (now,), 0)


def earliest(spec: Spec, state: LimitState, now: int, cost: int) -> int:
    """When a call of this cost could start."""
    start = max(now, state.blocked_until)
    if state.allowance is not None and now < state.allowance_until and cost > state.allowance:
        start = max(start, state.allowance_until)
    if spec.kind == GCRA:
        return max(start, state.tat + (cost - spec.limit) * spec.period)
    if spec.kind == WINDOW:
        # The unit before the oldest that may still count must be a period old when this call's last unit starts.
        index = len(state.times) + cost - 1 - spec.limit
        last = max(start, state.times[-1]) if state.times else start
        return max(last, state.times[index] + spec.period) if index >= 0 else last
    window, used = _quota_at(spec, state, start)
    if used + cost > spec.limit:
        window += 1
    return max(start, window_start(spec, window)) if window > window_number(spec, start) else start


def charge(spec: Spec, state: LimitState, start: int, cost: int) -> LimitState:
    """The state once a call of this cost is to start then."""
    if state.allowance is not None and start < state.allowance_until:
        state = state._replace(allowance=state.allowance - cost)
    if spec.kind == GCRA:
        tat = max(state.tat, start) + cost * spec.period
        return state._replace(tat=tat, expires=max(state.expires, tat))
    if spec.kind == WINDOW:
        size = max(state.size, spec.limit)
        times = (state.times + (start,) * cost)[-size:]
        return state._replace(times=times, size=size, expires=max(state.expires, start + spec.period))
    window, used = _quota_at(spec, state, start)
    expires = max(state.expires, window_start(spec, window + 1))
    return state._replace(window=window, used=used + cost, expires=expires)


def remaining(spec: Spec, state: LimitState, now: int) -> int:
    """How much could be taken right now."""
    if state.blocked_until > now:
        return 0
    if spec.kind == GCRA:
        left = (now + spec.limit * spec.period - max(state.tat, now)) // spec.period
    elif spec.kind == WINDOW:
        left = 0
        if not state.times or state.times[-1] <= now:
            left = spec.limit - (len(state.times) - bisect_right(state.times, now - spec.period))
    else:
        window, used = _quota_at(spec, state, now)
        left = spec.limit - used if window == window_number(spec, now) else 0
    if state.allowance is not None and now < state.allowance_until:
        left = min(left, state.allowance)
    return max(0, left)


def best(specs: list[Spec], states: list[LimitState], starts: list[int], now: int) -> int:
    """Which limit to take from: the earliest start, and of several that could start now the one with most left."""
    left = [remaining(spec, state, now) for spec, state in zip(specs, states, strict=True)]
    return min(range(len(specs)), key=lambda index: (starts[index], -left[index], index))


def window_number(spec: Spec, at: int) -> int:
    """Number of the day, or month, that an instant lies in."""
    from datetime import UTC, datetime  # noqa: PLC0415 - quotas alone need the calendar
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - the same

    local = datetime.fromtimestamp(at // 10**9, UTC).astimezone(ZoneInfo(spec.zone))
    if spec.period == 0:
        return local.date().toordinal()
    return local.year * 12 + local.month - 1


def window_start(spec: Spec, number: int) -> int:
    """First instant of a day or month: when midnight comes twice, the second; when it is skipped, the gap's end."""
    from datetime import date, datetime  # noqa: PLC0415 - quotas alone need the calendar
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - the same

    day = date.fromordinal(number) if spec.period == 0 else date(number // 12, number % 12 + 1, 1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(spec.zone))
    return max(round(midnight.timestamp()), round(midnight.replace(fold=1).timestamp())) * 10**9


def _quota_at(spec: Spec, state: LimitState, at: int) -> tuple[int, int]:
    """The window that a start at this instant counts in, and what is used of it. It never goes backwards."""
    present = window_number(spec, at)
    return (state.window, state.used) if state.window >= present else (present, 0)
