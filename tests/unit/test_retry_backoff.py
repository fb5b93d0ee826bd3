"""Waiting times: bounds, growth, and siblings that part."""

import itertools
import math
import statistics

import pytest
from backpressure.retry.backoff import Backoff, Jitter, seeded
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.sampled_from(["full", "decorrelated", "none"]),
    st.floats(0.01, 10),
    st.floats(10, 1000),
    st.floats(1, 10),
    st.integers(),
)
def test_waits_stay_within_their_bounds(jitter: Jitter, base: float, limit: float, factor: float, seed: int) -> None:
    """No wait is negative or above the limit; decorrelated and unjittered ones are never below the base."""
    source = seeded(seed)
    waits = list(itertools.islice(Backoff(base, limit, factor, jitter).delays(source), 30))
    least = 0.0 if jitter == "full" else base
    assert all(least <= wait <= limit for wait in waits)


def test_waits_without_jitter_grow_to_the_limit() -> None:
    """The exponential times are base, base x factor, and so on, capped."""
    waits = itertools.islice(Backoff(1, 10, 2, "none").delays(seeded(1)), 6)
    assert list(waits) == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize("jitter", ["full", "decorrelated"])
def test_a_stateless_caller_walks_one_sequence(jitter: Jitter) -> None:
    """With a seeded source each try finds the same sequence again, so the third wait follows from the second."""
    backoff = Backoff(1, 100, jitter=jitter)
    whole = list(itertools.islice(backoff.delays(seeded("dag", "run", "task", 3)), 5))
    assert [backoff.delay(n, seeded("dag", "run", "task", 3)) for n in range(1, 6)] == whole


@pytest.mark.parametrize("jitter", ["full", "decorrelated"])
def test_mapped_siblings_part(jitter: Jitter) -> None:
    """A hundred siblings' first waits fill the range: no second of ten holds more than a quarter of them."""
    backoff = Backoff(10, 300, jitter=jitter)
    waits = [backoff.delay(1, seeded("dag", "run", "task", index)) for index in range(100)]
    assert len(set(waits)) == 100
    width = (max(waits) - min(waits)) / 10
    fullest = max(sum(1 for w in waits if low <= w < low + width) for low in waits)
    assert fullest <= 25
    assert statistics.pstdev(waits) > 2


def test_identities_do_not_run_together() -> None:
    """Parts are told apart: ("a", "b1") is not ("ab", "1"), and 1 is not "1"."""
    drawn = {seeded(*parts).random() for parts in [("a", "b1"), ("ab", "1"), ("ab", 1), ("ab1",), ("", "ab1")]}
    assert len(drawn) == 5


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("base", {"base": 0}),
        ("base", {"base": math.nan}),
        ("base", {"base": True}),
        ("limit", {"limit": 0.5}),
        ("limit", {"limit": math.inf}),
        ("factor", {"factor": 0.5}),
        ("jitter", {"jitter": "some"}),
    ],
)
def test_rejects_impossible_settings(name: str, settings: dict[str, object]) -> None:
    """A bad setting is refused by name and value."""
    with pytest.raises(ValueError, match=f"{name} must"):
        Backoff(**settings)  # type: ignore[arg-type]


def test_counts_retries_from_one() -> None:
    """There is no zeroth retry, and the thousandth and the millionth wait alike."""
    with pytest.raises(ValueError, match="retry must"):
        Backoff().delay(0, seeded(1))
    assert Backoff(jitter="none").delay(1_000_000, seeded(1)) == 300
