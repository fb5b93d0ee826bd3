"""AIMD and the gradient against simulated upstreams: they converge from both sides, follow a step, and stay bounded."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from backpressure.adaptive import AIMD, Gradient, LimitAlgorithm, LimitState, WindowSample
from backpressure.retry import seeded
from hypothesis import given
from hypothesis import strategies as st

BASE = 0.1
"""Latency of the simulated upstream without load, in seconds."""


def refusing(capacity: int, inflight: int) -> WindowSample:
    """An upstream that answers as many at once as its capacity and refuses the rest."""
    return WindowSample(inflight, max(0, inflight - capacity), BASE, inflight)


def queueing(capacity: int, inflight: int) -> WindowSample:
    """An upstream that refuses nothing: what is more than its capacity queues in it and slows all."""
    return WindowSample(inflight, 0, BASE * max(1.0, inflight / capacity), inflight)


def limits(
    algorithm: LimitAlgorithm,
    upstream: Callable[[int, int], WindowSample],
    capacity: Callable[[int], int],
    windows: int,
    *,
    noise: float = 0.0,
    demand: int = 10**6,
) -> list[int]:
    """The limits of so many windows, with callers who use all of it up to the demand."""
    source: random.Random = seeded("noise")
    state, seen = LimitState(algorithm.initial), []
    for window in range(windows):
        allowed = max(1, math.floor(algorithm.allowed(state)))
        seen.append(allowed)
        sample = upstream(capacity(window), min(allowed, demand))
        state = algorithm.update(
            state, replace(sample, mean_latency=sample.mean_latency * (1 + source.uniform(-noise, noise)))
        )
    return seen


def test_aimd_follows_a_capacity_that_falls_and_comes_back() -> None:
    """From 6 to 2 within three windows, back to 6 within five; never more than one probe step above the capacity."""
    seen = limits(AIMD(initial=6), refusing, lambda window: 2 if 20 <= window < 40 else 6, 80)
    assert max(seen[:21]) <= 6 + 2
    assert min(seen[:20]) >= 4
    assert seen[23] <= 3
    assert max(seen[23:40]) <= 2 + 1
    assert max(seen[40:46]) >= 6
    assert max(seen[46:]) <= 6 + 2
    assert min(seen[46:]) >= 4


@pytest.mark.parametrize("initial", [1, 10, 200])
def test_aimd_finds_a_latency_limit_from_both_sides(initial: int) -> None:
    """Wherever it starts it ends between the capacity and where latency reaches its limit, give or take a cut."""
    seen = limits(AIMD(initial=initial, latency_limit=0.15), queueing, lambda _: 40, 200)[100:]
    assert min(seen) >= 40
    assert max(seen) <= 40 * 1.5 + 2


@pytest.mark.parametrize("initial", [1, 20, 400])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_gradient_settles_at_a_small_queue_from_both_sides(initial: int, noise: float) -> None:
    """Wherever it starts, and with a fifth of noise, it settles between the capacity and twice that, and stays."""
    settled = limits(Gradient(initial=initial, probe_every=50), queueing, lambda _: 40, 1000, noise=noise)[300:]
    steady = [limit for window, limit in enumerate(settled) if window % 50]
    assert min(steady) >= 40
    assert max(steady) <= 2 * 40


def test_gradient_follows_a_step_down_and_up() -> None:
    """After the capacity fell to a quarter the limit is near it within two probes, and comes back within one."""
    seen = limits(Gradient(probe_every=50), queueing, lambda window: 10 if 200 <= window < 400 else 40, 600, noise=0.1)
    assert max(seen[310:400]) <= 2.5 * 10
    assert min(limit for window, limit in enumerate(seen) if window > 460 and window % 50) >= 40


def test_a_long_term_mean_would_creep() -> None:
    """Gradient2's reference, the long-term mean, lets the limit grow for ever in the same upstream: ours does not."""
    limit, mean, crept = 20.0, BASE, []
    for _ in range(1000):
        latency = queueing(40, int(limit)).mean_latency
        mean += 2 / 601 * (latency - mean)
        limit += 0.2 * (limit * max(0.5, min(1.0, 1.5 * mean / latency)) + 4 - limit)
        crept.append(limit)
    ours = limits(Gradient(), queueing, lambda _: 40, 1000)
    assert crept[-1] > 1.5 * crept[300]
    assert ours[-1] <= 1.05 * ours[350]


@pytest.mark.parametrize("algorithm", [AIMD(initial=10), Gradient(initial=10)])
def test_a_limit_that_is_not_used_does_not_grow(algorithm: LimitAlgorithm) -> None:
    """Three calls at once say nothing about a hundred: growth ends at about twice the demand."""
    assert max(limits(algorithm, queueing, lambda _: 1000, 500, demand=8)) <= 2 * 8 + 4


samples = st.builds(
    lambda calls, share, latency, inflight: WindowSample(calls, math.floor(calls * share), latency, inflight),
    st.integers(0, 1000),
    st.floats(0, 1),
    st.floats(0, 100),
    st.integers(1, 2000),
)


@given(
    st.sampled_from([AIMD(initial=5, minimum=2, maximum=50), Gradient(initial=5, minimum=2, maximum=50)]),
    st.lists(samples, max_size=100),
)
def test_whatever_is_measured_the_limit_stays_within_its_bounds(
    algorithm: LimitAlgorithm, measured: list[WindowSample]
) -> None:
    """No sample, however odd, brings the limit below its minimum, above its maximum, or to nothing at all."""
    state = LimitState(algorithm.initial)
    for sample in measured:
        state = algorithm.update(state, sample)
        assert 2 <= state.limit <= 50
        assert 2 <= algorithm.allowed(state) <= 50


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("minimum", lambda: AIMD(minimum=0)),
        ("maximum", lambda: AIMD(maximum=math.inf)),
        ("initial", lambda: AIMD(initial=math.nan)),
        ("initial", lambda: AIMD(initial=5, minimum=6)),
        ("backoff", lambda: AIMD(backoff=1)),
        ("increase", lambda: AIMD(increase=0)),
        ("latency_limit", lambda: AIMD(latency_limit=-1)),
        ("tolerance", lambda: Gradient(tolerance=0.9)),
        ("smoothing", lambda: Gradient(smoothing=0)),
        ("queue", lambda: Gradient(queue=0)),
        ("probe_every", lambda: Gradient(probe_every=1)),
    ],
)
def test_rejects_impossible_settings(name: str, make: Callable[[], object]) -> None:
    """A bad setting raises ValueError naming it and its value."""
    with pytest.raises(ValueError, match=f"{name} must"):
        make()
