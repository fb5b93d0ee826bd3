"""Measures of readings of the machine, on made-up readings."""

from __future__ import annotations

import pytest
from backpressure.measures import Measure
from backpressure.measures.machine import cores_busy, grown

REST = [{"at": 0.0, "bytes": 90, "busy": 100.0, "total": 1000.0}]
LOAD = [
    {"at": 2.0, "bytes": 100, "busy": 101.0, "total": 1004.0},
    {"at": 4.0, "bytes": 340, "busy": 105.0, "total": 1008.0},
    {"at": 6.0, "bytes": 140, "busy": 107.0, "total": 1012.0},
]


def growth(under: list[dict[str, float]], least: float = 0) -> Measure:
    """How the bytes grew."""
    return grown(REST, under, "bytes", "process tree", least=least)


def test_growth_is_from_the_last_reading_before_to_the_highest_under_load() -> None:
    """The instant is that of the highest; where nothing grew, a least growth can stand for it."""
    assert (growth(LOAD).value, growth(LOAD).at, growth(LOAD).name) == (250, 4.0, "growth of bytes")
    assert [growth(REST, least=least).value for least in (0, 1)] == [0, 1]


def test_cores_are_busy_for_a_share_of_their_time() -> None:
    """Of eight seconds of all cores six were spent on something."""
    assert cores_busy(LOAD, "under load").value == pytest.approx(0.75)


def test_too_few_readings_measure_nothing() -> None:
    """There is no share of one reading's time, and no growth without a before."""
    assert cores_busy(LOAD[:1], "x").value is cores_busy([], "x").value is None
    assert growth([]).value is None
    assert grown([], LOAD, "bytes", "process tree").value is None
