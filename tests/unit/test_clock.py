"""Clocks that tests move by hand."""

import asyncio
import time

import pytest
from backpressure.clock import ManualClock, SystemClock, seconds


def test_a_manual_clock_moves_only_when_told() -> None:
    """Time stands still between two movements, and both readings move alike."""
    clock = ManualClock(start=100.0)
    assert (clock.now_ns(), clock.monotonic_ns()) == (100_000_000_000, 0)
    clock.advance(1.5)
    assert (clock.now_ns(), clock.monotonic_ns()) == (101_500_000_000, 1_500_000_000)


def test_sleeping_moves_a_manual_clock_and_is_written_down() -> None:
    """A test sees how long its subject waited, without waiting itself."""
    clock = ManualClock(start=0.0)
    clock.sleep(2.0)
    asyncio.run(clock.sleep_async(3.0))
    assert clock.slept == [2.0, 3.0]
    assert seconds(clock.now_ns()) == 5.0


def test_setting_the_time_of_day_passes_no_time() -> None:
    """A step back changes what the clock on the wall says, and no length of time."""
    clock = ManualClock(start=100.0)
    clock.step(-40.0)
    assert (seconds(clock.now_ns()), clock.monotonic_ns()) == (60.0, 0)


def test_a_manual_clock_does_not_advance_backwards() -> None:
    """A negative advance is refused with the value and the remedy."""
    with pytest.raises(ValueError, match=r"delay must not be negative, not -1; step\(\)"):
        ManualClock().advance(-1)


def test_a_wait_is_rounded_up_to_the_nanosecond() -> None:
    """Whoever sleeps for a delay never wakes before it is over."""
    clock = ManualClock(start=0.0)
    clock.advance(0.1 + 0.2)
    assert clock.now_ns() >= int((0.1 + 0.2) * 1e9)


def test_the_system_clock_is_the_systems() -> None:
    """Its readings lie between two readings of the system's own clock."""
    clock = SystemClock()
    before, now, after = time.time_ns(), clock.now_ns(), time.time_ns()
    assert before <= now <= after
    before, now, after = time.monotonic_ns(), clock.monotonic_ns(), time.monotonic_ns()
    assert before <= now <= after
