"""The circuit breaker's state machine: pure functions of state, event and instant.

Every storage applies exactly these transitions, each atomically; the one in PostgreSQL says the same in PL/pgSQL
(`breaker_1.sql`) and is held to this module by a test that runs both side by side.
"""

from collections.abc import Iterator

from backpressure.breaker import window
from backpressure.breaker.settings import AdmitRules, RecordRules
from backpressure.breaker.state import Admission, BreakerState, Cause, Change, Mode, Phase, Probe, Report, Result

REMEMBERED = 16
"""Reports that are remembered to recognise one that arrives twice after a broken connection."""

KEPT_NS = 30 * 86400 * 1_000_000_000
"""How long a record is kept after its last change when nothing else asks for longer."""

FOREVER_NS = 100 * 365 * 86400 * 1_000_000_000
"""How long an operator's order is kept."""


def admit(state: BreakerState, rules: AdmitRules, now: int, call: int) -> tuple[BreakerState, Admission]:
    """May the call numbered `call` start at the instant `now`?"""
    if state.mode is Mode.FORCED_OPEN:
        return state, _refusal(state, Phase.OPEN, rules.open_for_ns)
    if state.mode is not Mode.AUTOMATIC or state.phase is Phase.CLOSED:
        return state, Admission(allowed=True, epoch=state.epoch, probe=False, retry_after_ns=0, phase=Phase.CLOSED)
    if state.phase is Phase.OPEN and now < state.open_until:
        return state, _refusal(state, Phase.OPEN, state.open_until - now)
    change = None
    if state.phase is Phase.OPEN:
        change = Change(Phase.OPEN, Phase.HALF_OPEN, Cause.OPEN_TIME_OVER)
        state = state._replace(phase=Phase.HALF_OPEN, epoch=_next_epoch(state, now), since=now, probes=(), successes=0)
    live = tuple(probe for probe in state.probes if probe.ends > now and probe.call != call)
    if live and len(live) + state.successes >= rules.permits:
        return state, _refusal(state, Phase.HALF_OPEN, min(probe.ends for probe in live) - now)
    state = state._replace(probes=(*live, Probe(call, now + rules.lease_ns)), expires=now + KEPT_NS)
    return state, Admission(
        allowed=True, epoch=state.epoch, probe=True, retry_after_ns=0, phase=Phase.HALF_OPEN, change=change
    )


def record(state: BreakerState, rules: RecordRules, now: int, report: Report) -> tuple[BreakerState, Change | None]:
    """Count how a call ended. A report of another epoch than the present one changes nothing."""
    if report.epoch != state.epoch or state.mode in (Mode.FORCED_OPEN, Mode.DISABLED) or state.phase is Phase.OPEN:
        return state, None
    if state.phase is Phase.HALF_OPEN:
        return _record_probe(state, rules, now, report)
    if report.result is Result.IGNORED or report.call in state.recent:
        return state, None
    if report.result is Result.SUCCESS and not rules.counts_calls and not state.consecutive:
        return state, None
    return _record_closed(state, rules, now, report)


def override(state: BreakerState, mode: Mode, now: int) -> tuple[BreakerState, Change | None]:
    """Put the breaker under an operator's order; `Mode.AUTOMATIC` makes it start afresh, closed."""
    if mode is state.mode and mode is not Mode.AUTOMATIC:
        return state, None
    before = state.shown(now) if state.mode is Mode.AUTOMATIC else state.mode
    after = Phase.CLOSED if mode is Mode.AUTOMATIC else mode
    kept = KEPT_NS if mode is Mode.AUTOMATIC else FOREVER_NS
    fresh = BreakerState(mode=mode, epoch=_next_epoch(state, now), since=now, expires=now + kept)
    return fresh, None if before == after else Change(before, after, Cause.OPERATOR)


def cause_to_open(state: BreakerState, rules: RecordRules, now: int) -> Cause | None:
    """Why a closed breaker must open at the instant `now`; None when it need not."""
    if window.count_hosts(state.hosts, now, rules.window_ns) < rules.quorum:
        return None
    return next(_conditions_met(state, rules, now), None)


def _conditions_met(state: BreakerState, rules: RecordRules, now: int) -> Iterator[Cause]:
    failures = window.count_failures(state.failures, now, rules.window_ns)
    if rules.threshold is not None and failures >= rules.threshold:
        yield Cause.FAILURE_THRESHOLD
    if rules.in_a_row is not None and state.consecutive >= rules.in_a_row:
        yield Cause.CONSECUTIVE_FAILURES
    calls, failed, slow = window.rates(state.buckets, now, rules.window_ns)
    if calls < rules.minimum_calls:
        return
    if rules.failure_rate is not None and failed >= rules.failure_rate:
        yield Cause.FAILURE_RATE
    if rules.slow_rate is not None and slow >= rules.slow_rate:
        yield Cause.SLOW_CALL_RATE


def _refusal(state: BreakerState, phase: Phase, retry_after_ns: int) -> Admission:
    return Admission(allowed=False, epoch=state.epoch, probe=False, retry_after_ns=retry_after_ns, phase=phase)


def _next_epoch(state: BreakerState, now: int) -> int:
    # Taken from the clock, so that a record that was dropped and made anew does not repeat an old epoch.
    return max(state.epoch + 1, now)


def _record_closed(
    state: BreakerState, rules: RecordRules, now: int, report: Report
) -> tuple[BreakerState, Change | None]:
    failed = report.result is Result.FAILURE
    counted = state._replace(
        consecutive=state.consecutive + 1 if failed else 0,
        recent=(*state.recent, report.call)[-REMEMBERED:],
        expires=max(state.expires, now + rules.window_ns + KEPT_NS),
    )
    if failed and rules.threshold is not None:
        counted = counted._replace(failures=window.add_failure(state.failures, now, rules.threshold))
    if failed or report.slow:
        counted = counted._replace(hosts=window.add_host(state.hosts, report.host, now, rules.quorum))
    if rules.counts_calls:
        buckets = window.add_call(state.buckets, now, rules.window_ns, failed=failed, slow=report.slow)
        counted = counted._replace(buckets=buckets)
    cause = cause_to_open(counted, rules, now) if state.mode is Mode.AUTOMATIC else None
    return (counted, None) if cause is None else _open(state, rules, now, report, cause)


def _record_probe(
    state: BreakerState, rules: RecordRules, now: int, report: Report
) -> tuple[BreakerState, Change | None]:
    if not any(probe.call == report.call and probe.ends > now for probe in state.probes):
        return state, None
    rest = tuple(probe for probe in state.probes if probe.call != report.call)
    if report.result is Result.IGNORED:
        return state._replace(probes=rest), None
    if report.result is Result.FAILURE:
        return _open(state, rules, now, report, Cause.PROBE_FAILED)
    if report.slow:
        return _open(state, rules, now, report, Cause.PROBE_SLOW)
    if state.successes + 1 < rules.permits:
        return state._replace(probes=rest, successes=state.successes + 1), None
    closed = BreakerState(
        epoch=_next_epoch(state, now),
        since=now,
        openings=state.openings,
        expires=now + rules.window_ns + KEPT_NS,
    )
    return closed, Change(Phase.HALF_OPEN, Phase.CLOSED, Cause.PROBES_SUCCEEDED)


def _open(
    state: BreakerState, rules: RecordRules, now: int, report: Report, cause: Cause
) -> tuple[BreakerState, Change]:
    calm = state.phase is Phase.CLOSED and now - state.since >= rules.window_ns
    openings = 1 if calm else state.openings + 1
    until = now + window.open_ns(rules, openings, report.random)
    opened = BreakerState(
        phase=Phase.OPEN,
        epoch=_next_epoch(state, now),
        since=now,
        open_until=until,
        openings=openings,
        expires=until + KEPT_NS,
    )
    return opened, Change(state.phase, Phase.OPEN, cause)
