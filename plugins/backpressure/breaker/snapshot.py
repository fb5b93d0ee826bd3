"""The breaker at one instant, in the units and words of people."""

from typing import NamedTuple

from backpressure.breaker import window
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.state import BreakerState, Cause
from backpressure.clock import seconds


class Snapshot(NamedTuple):
    """The breaker at one instant. Times are seconds.

    Attributes:
        name: The breaker's name.
        state: What a caller would meet: "closed", "open" or "half_open".
        mode: Who decides: "automatic", or an operator's order "forced_open", "forced_closed" or "disabled".
        failures: Failures within the window, counted up to the failure threshold.
        consecutive_failures: Failures since the last success that was reported. Successes of a closed breaker are not,
            unless a rate or consecutive failures are among the conditions.
        calls: Calls within the window, as the rates count them; 0 unless a rate is among the conditions.
        failure_rate: Share of them that failed.
        slow_call_rate: Share of them that were slow.
        hosts: Distinct hosts that failed within the window, counted up to the quorum.
        probes: Probes on their way.
        successes: Probes of this half-open time that succeeded.
        openings: Openings in a row, the present one included.
        opens_again_in: Seconds until the open breaker lets a probe through; 0 unless it is open.
        unchanged_for: Seconds since the state or the mode changed; infinite when it never did.
    """

    name: str
    state: str
    mode: str
    failures: int
    consecutive_failures: int
    calls: int
    failure_rate: float
    slow_call_rate: float
    hosts: int
    probes: int
    successes: int
    openings: int
    opens_again_in: float
    unchanged_for: float

    @classmethod
    def of(cls, name: str, settings: BreakerSettings, now: int, state: BreakerState) -> "Snapshot":
        """What a recorded state means at the instant `now`."""
        window_ns = settings.record_rules.window_ns
        calls, failed, slow = window.rates(state.buckets, now, window_ns)
        shown = state.shown(now)
        return cls(
            name=name,
            state=shown.value,
            mode=state.mode.value,
            failures=window.count_failures(state.failures, now, window_ns),
            consecutive_failures=state.consecutive,
            calls=calls,
            failure_rate=failed,
            slow_call_rate=slow,
            hosts=window.count_hosts(state.hosts, now, window_ns),
            probes=sum(1 for probe in state.probes if probe.ends > now),
            successes=state.successes,
            openings=state.openings,
            opens_again_in=seconds(max(0, state.open_until - now)),
            unchanged_for=seconds(now - state.since) if state.since else float("inf"),
        )


def explain(cause: Cause, settings: BreakerSettings) -> str:
    """Why the state changed, in words."""
    window_seconds = f"{settings.window:g} s"
    permits = settings.half_open_permits
    words = {
        Cause.FAILURE_THRESHOLD: f"{settings.failure_threshold} failures within {window_seconds}",
        Cause.CONSECUTIVE_FAILURES: f"{settings.consecutive_failures} failures in a row",
        Cause.FAILURE_RATE: f"failure rate of {settings.failure_rate} or more within {window_seconds}",
        Cause.SLOW_CALL_RATE: f"slow-call rate of {settings.slow_call_rate} or more within {window_seconds}",
        Cause.OPEN_TIME_OVER: "the open time is over",
        Cause.PROBE_FAILED: "a probe failed",
        Cause.PROBE_SLOW: "a probe was slow",
        Cause.PROBES_SUCCEEDED: f"{permits} probe{'s' if permits > 1 else ''} succeeded",
        Cause.OPERATOR: "ordered by an operator",
    }
    return words[cause]
