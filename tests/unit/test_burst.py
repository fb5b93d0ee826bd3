"""Bursts told from ordinary days."""

from __future__ import annotations

import pytest
from backpressure.burst import BurstDetector


def looks(detector: BurstDetector, counts: list[int], since: float = 0.0) -> list[bool]:
    """What a look a second says of such totals."""
    return [detector.look(since + second, count).burst for second, count in enumerate(counts)]


def test_an_ordinary_day_is_no_burst() -> None:
    """One arrival a second is not one, from the first look on."""
    assert not any(looks(BurstDetector(window=3.0, least=2), list(range(60))))


def test_many_at_once_are_a_burst_until_the_window_has_passed() -> None:
    """Twenty within a second are one, and three looks later they are history."""
    detector = BurstDetector(window=3.0, least=4)
    assert not any(looks(detector, list(range(30))))
    assert looks(detector, [50, 51, 52, 53, 54], since=30.0) == [True, True, True, False, False]


def test_a_few_are_never_a_burst() -> None:
    """After a night without work three arrivals are infinitely more than usual, and nothing to be told of."""
    detector = BurstDetector(window=2.0, least=4)
    looks(detector, [0] * 30)
    assert not detector.look(31.0, 3).burst
    assert detector.look(31.5, 4).burst


def test_nothing_is_a_burst_before_it_is_known_what_is_usual() -> None:
    """Whoever begins to look finds work that has come already, and takes it for no burst."""
    assert not any(looks(BurstDetector(window=3.0, least=2), [100, 200, 300]))


def test_a_burst_stays_one_for_about_the_memory() -> None:
    """Ten times the usual rate is a burst for half of the memory, and usual after twice the memory."""
    detector = BurstDetector(window=2.0, memory=20.0)
    looks(detector, list(range(60)))
    found = looks(detector, [60 + 10 * second for second in range(1, 41)], since=60.0)
    assert all(found[2:8])
    assert not any(found[30:])


def test_a_new_level_is_learned_in_time() -> None:
    """A rise that is no burst becomes what is usual."""
    detector = BurstDetector(window=2.0, factor=3.0, memory=5.0)
    looks(detector, list(range(30)))
    totals = [30 + 2 * second for second in range(30)]
    assert not any(looks(detector, totals, since=30.0))
    assert detector.look(60.0, 90).usual == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("name", "value"), [("window", 0.0), ("factor", 1.0), ("least", 0), ("memory", float("nan")), ("window", -1.0)]
)
def test_a_bad_argument_is_named(name: str, value: float) -> None:
    """The message tells which argument, and its value."""
    arguments = {"window": 1.0, name: value}
    with pytest.raises(ValueError, match=name):
        BurstDetector(**arguments)  # type: ignore[arg-type]
