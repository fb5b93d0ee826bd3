"""The circuit breaker's state machine: pure functions of state, event and instant.

Every storage applies exactly these transitions, each atomically; the one in PostgreSQL says the same in PL/pgSQL and is
held to this module by a test that runs both side by side.
"""

from collections.abc import Iterator
from dataclasses import replace

from backpressure.breaker import window
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.state import Admission, BreakerState, Change, Mode, Outcome, Phase, Probe, Report


def admit(state: BreakerState, settings: BreakerSettings, now: float, token: str) -> tuple[BreakerState, Admission]:
    """May a call start at the instant `now`? If it is let through as a probe, it holds `token`."""
    if state.mode is Mode.FORCED_OPEN:
        return state, _refusal(state, Phase.OPEN, settings.open_for)
    if state.mode is not Mode.AUTOMATIC or state.phase is Phase.CLOSED:
        return state, Admission(allowed=True, epoch=state.epoch, token=None, retry_after=0.0, phase=Phase.CLOSED)
    if state.phase is Phase.OPEN and now < state.open_until:
        return state, _refusal(state, Phase.OPEN, state.open_until - now)
    change = None
    if state.phase is Phase.OPEN:
        change = Change(Phase.OPEN, Phase.HALF_OPEN, "the open time is over")
        state = replace(state, phase=Phase.HALF_OPEN, epoch=state.epoch + 1, since=now, probes=(), successes=0)
    live = tuple(probe for probe in state.probes if probe.expires > now)
    if live and len(live) + state.successes >= settings.half_open_permits:
        return state, _refusal(state, Phase.HALF_OPEN, min(probe.expires for probe in live) - now)
    state = replace(state, probes=(*live, Probe(token, now + settings.probe_lease)))
    return state, Admission(
        allowed=True, epoch=state.epoch, token=token, retry_after=0.0, phase=Phase.HALF_OPEN, change=change
    )


def record(
    state: BreakerState, settings: BreakerSettings, now: float, report: Report
) -> tuple[BreakerState, Change | None]:
    """Count how a call ended. A report of another epoch than the present one changes nothing."""
    if report.epoch != state.epoch or state.mode in (Mode.FORCED_OPEN, Mode.DISABLED):
        return state, None
    if state.phase is Phase.HALF_OPEN:
        return _record_probe(state, settings, now, report)
    if state.phase is Phase.CLOSED and report.outcome is not Outcome.IGNORED:
        return _record_closed(state, settings, now, report)
    return state, None


def override(state: BreakerState, mode: Mode, now: float) -> tuple[BreakerState, Change | None]:
    """Put the breaker under an operator's order; `Mode.AUTOMATIC` makes it start afresh, closed."""
    if mode is state.mode and mode is not Mode.AUTOMATIC:
        return state, None
    before = state.shown(now) if state.mode is Mode.AUTOMATIC else state.mode
    after = Phase.CLOSED if mode is Mode.AUTOMATIC else mode
    fresh = BreakerState(mode=mode, epoch=state.epoch + 1, since=now)
    return fresh, None if before == after else Change(before, after, "ordered by an operator")


def reason_to_open(state: BreakerState, settings: BreakerSettings, now: float) -> str | None:
    """Why a closed breaker must open at the instant `now`; None when it need not."""
    if window.count_hosts(state.hosts, now, settings.window) < settings.quorum:
        return None
    return next(_conditions_met(state, settings, now), None)


def _conditions_met(state: BreakerState, settings: BreakerSettings, now: float) -> Iterator[str]:
    threshold, in_a_row = settings.failure_threshold, settings.consecutive_failures
    if threshold is not None and window.count_failures(state.failures, now, settings.window) >= threshold:
        yield f"{threshold} failures within {settings.window:g} s"
    if in_a_row is not None and state.consecutive >= in_a_row:
        yield f"{in_a_row} failures in a row"
    calls, failed, slow = window.rates(state.buckets, now, settings.window)
    if calls < settings.minimum_calls:
        return
    if settings.failure_rate is not None and failed >= settings.failure_rate:
        yield f"failure rate at or above {settings.failure_rate:g} within {settings.window:g} s"
    if settings.slow_call_rate is not None and slow >= settings.slow_call_rate:
        yield f"slow-call rate at or above {settings.slow_call_rate:g} within {settings.window:g} s"


def _refusal(state: BreakerState, phase: Phase, retry_after: float) -> Admission:
    return Admission(allowed=False, epoch=state.epoch, token=None, retry_after=retry_after, phase=phase)


def _record_closed(
    state: BreakerState, settings: BreakerSettings, now: float, report: Report
) -> tuple[BreakerState, Change | None]:
    failed = report.outcome is Outcome.FAILURE
    counted = replace(state, consecutive=state.consecutive + 1 if failed else 0)
    if failed and settings.failure_threshold is not None:
        failures = window.add_failure(state.failures, now, settings.failure_threshold)
        counted = replace(counted, failures=failures)
    if failed or report.slow:
        counted = replace(counted, hosts=window.add_host(state.hosts, report.host, now, settings.quorum))
    if settings.counts_calls:
        buckets = window.add_call(state.buckets, now, settings.window, failed=failed, slow=report.slow)
        counted = replace(counted, buckets=buckets)
    reason = reason_to_open(counted, settings, now) if state.mode is Mode.AUTOMATIC else None
    return (counted, None) if reason is None else _open(state, settings, now, report, reason)


def _record_probe(
    state: BreakerState, settings: BreakerSettings, now: float, report: Report
) -> tuple[BreakerState, Change | None]:
    if not any(probe.token == report.token and probe.expires > now for probe in state.probes):
        return state, None
    rest = tuple(probe for probe in state.probes if probe.token != report.token)
    if report.outcome is Outcome.IGNORED:
        return replace(state, probes=rest), None
    if report.outcome is Outcome.FAILURE or report.slow:
        return _open(state, settings, now, report, "a probe was slow" if report.slow else "a probe failed")
    if state.successes + 1 < settings.half_open_permits:
        return replace(state, probes=rest, successes=state.successes + 1), None
    closed = BreakerState(epoch=state.epoch + 1, since=now, openings=state.openings)
    return closed, Change(Phase.HALF_OPEN, Phase.CLOSED, f"{settings.half_open_permits} successful probes")


def _open(
    state: BreakerState, settings: BreakerSettings, now: float, report: Report, reason: str
) -> tuple[BreakerState, Change]:
    calm = state.phase is Phase.CLOSED and now - state.since >= settings.window
    openings = 1 if calm else state.openings + 1
    until = now + window.open_seconds(settings, openings, report.random)
    opened = BreakerState(phase=Phase.OPEN, epoch=state.epoch + 1, since=now, open_until=until, openings=openings)
    return opened, Change(state.phase, Phase.OPEN, reason)
