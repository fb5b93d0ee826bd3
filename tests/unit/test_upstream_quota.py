"""Quotas are exact: never one request too many, never one too few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpressure_lab.upstream.quota import QuotaMeter
from backpressure_lab.upstream.settings import Quota

# Instants are multiples of 1/64 s, so that sums are exact and a comparison at an edge means something.
EPOCH = 1_800_000_000.0
TICK = 1 / 64


@st.composite
def instants(draw: st.DrawFn) -> list[float]:
    """Draw instants in order."""
    gaps = draw(st.lists(st.integers(0, 80), min_size=1, max_size=120))
    ticks, total = [], 0
    for gap in gaps:
        total += gap
        ticks.append(EPOCH + total * TICK)
    return ticks


@given(instants(), st.integers(0, 6))
def test_no_sliding_window_holds_more_than_the_limit_and_none_is_refused_for_nothing(
    times: list[float], limit: int
) -> None:
    """A request is refused exactly when the period before it, end excluded, already holds the limit."""
    meter, quota = QuotaMeter(), Quota(limit=limit, period=1.0)
    accepted: list[float] = []
    for now in times:
        recent = sum(now - 1.0 < instant for instant in accepted)
        verdict = meter.take(quota, now)
        assert verdict.allowed == (recent < limit)
        if verdict.allowed:
            accepted.append(now)
            assert verdict.allowances[0].remaining == limit - recent - 1


@given(instants(), st.integers(1, 6))
def test_a_caller_that_waits_as_told_is_accepted(times: list[float], limit: int) -> None:
    """At the instant of Retry-After, and not before, there is room for one."""
    meter, quota = QuotaMeter(), Quota(limit=limit, period=1.0)
    for now in times:
        verdict = meter.take(quota, now)
        if not verdict.allowed:
            assert 0 < verdict.retry_after <= 1.0
            assert not meter.take(quota, now + verdict.retry_after - TICK).allowed
            assert meter.take(quota, now + verdict.retry_after).allowed
            return


def test_a_fixed_window_starts_anew_at_multiples_of_its_period() -> None:
    """Around a cut twice the limit passes, which a sliding window would not let through."""
    meter, quota = QuotaMeter(), Quota(limit=2, period=10.0, window="fixed")
    cut = EPOCH + 10.0
    assert [meter.take(quota, cut - 0.5).allowed for _ in range(3)] == [True, True, False]
    refused = meter.take(quota, cut - 0.5)
    assert refused.retry_after == pytest.approx(0.5)
    assert [meter.take(quota, cut).allowed for _ in range(3)] == [True, True, False]


def test_the_daily_quota_ends_at_midnight_utc() -> None:
    """The day's quota holds over any number of rate windows and is told as the time until midnight."""
    meter, quota = QuotaMeter(), Quota(limit=10, period=1.0, daily=3)
    midnight = 20_834 * 86_400.0
    for number in range(3):
        assert meter.take(quota, midnight - 100 + number).allowed
    refused = meter.take(quota, midnight - 60)
    assert not refused.allowed
    assert refused.retry_after == 60
    assert [(a.policy, a.remaining) for a in refused.allowances] == [("rate", 10), ("daily", 0)]
    assert meter.take(quota, midnight).allowed


def test_a_request_refused_by_one_policy_uses_up_none_of_the_other() -> None:
    """All policies have room, or none is charged."""
    meter, quota = QuotaMeter(), Quota(limit=1, period=1.0, daily=2)
    allowed = [meter.take(quota, EPOCH + second).allowed for second in (0, 0.25, 0.5, 0.75, 1.0)]
    assert allowed == [True, False, False, False, True]


def test_a_lowered_limit_counts_what_was_accepted_before() -> None:
    """After lowering, the wait told is the one after which there really is room."""
    meter = QuotaMeter()
    for number in range(4):
        meter.take(Quota(limit=4, period=1.0), EPOCH + number * 0.125)
    lowered = Quota(limit=2, period=1.0)
    refused = meter.take(lowered, EPOCH + 0.5)
    assert refused.retry_after == pytest.approx(0.75)
    assert not meter.take(lowered, EPOCH + 1.125).allowed
    assert meter.take(lowered, EPOCH + 1.25).allowed


def test_a_quota_without_limits_allows_everything() -> None:
    """Neither rate nor daily limit: nothing is refused and nothing is told."""
    verdict = QuotaMeter().take(Quota(), EPOCH)
    assert verdict.allowed
    assert verdict.allowances == ()
