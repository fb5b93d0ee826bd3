"""Measures of a consumer's buffer: depth, growth, memory, alerts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from backpressure.measures.buffers import Buffer, unwatched
from backpressure.request_log import COLUMNS, RequestLog
from backpressure.timeline import Timeline

MB = 1_000_000


class Source:
    """Four messages, one of which was refused; a note before them, one of a message handled, and an alert."""

    def log(self, since: float) -> RequestLog:
        """What was asked for."""
        columns: dict[str, Any] = {name: [0.0] * 4 for name in COLUMNS}
        columns |= {"finish": [since + second for second in (3, 1, 2, 4)], "status": ["200", "200", "200", "503"]}
        return RequestLog(columns, now=100.0)

    def notifications(self, since: float) -> list[dict[str, Any]]:
        """What it was told."""
        notes = [{"depth": 1, "bytes": 10 * MB}, {"alert": 1}, {"depth": 1, "bytes": 11 * MB}]
        return [{"id": number, "at": since + 2.5 + number, "body": note} for number, note in enumerate(notes)]


def buffer(came: list[float], handled: list[float], *alerts: float) -> Buffer:
    """A buffer; the consumer takes a megabyte more with each message handled."""
    return Buffer(came, [{"at": at, "bytes": number * MB} for number, at in enumerate([0.0, *handled])], alerts)


def test_a_buffer_is_read_from_the_sources_log_and_what_it_was_told() -> None:
    """Refused messages did not come; an alert is no message handled."""
    found = Buffer.of(Source(), since=10.0)
    assert (found.came, [note["at"] for note in found.notes], found.alerts) == ([11, 12, 13], [12.5, 14.5], [13.5])


def test_the_depth_is_what_came_less_what_was_handled() -> None:
    """The first instant at which it was deepest."""
    found = buffer([1, 2, 3, 6], [2.5, 4.0]).deepest()
    assert (found.value, found.at) == (2, 2)
    assert buffer([1, 2, 3, 6], [5.0, 7.0]).deepest().value == 3


def test_growth_is_that_of_the_third_in_which_it_grew_least() -> None:
    """By two, two and one here; where it stays as it is for a third, there is none."""
    even = [float(second) for second in range(1, 11)]
    assert buffer(even, [3.5, 6.5, 9.5, 10.0]).least_growth().value == 1
    assert buffer([1.0, 1.1, 1.2, 9.0, 10.0], [1.3, 9.0, 10.0]).least_growth().value <= 0  # type: ignore[operator]


def test_memory_is_counted_from_the_first_note_on() -> None:
    """What the consumer had before it took messages is no buffer."""
    found = buffer([1, 2, 3], [1.5, 2.5, 3.5]).memory(4 * MB)
    assert (found.value, found.at, found.detail) == (0.75, 3.5, "3 of 4 MB")


def test_an_alert_counts_if_it_comes_before_the_end() -> None:
    """Of two alerts one was in time; without an end nothing is known."""
    found = buffer([1, 2], [1.5], 3.0, 5.0)
    assert (found.alerted(before=4.0).value, found.alerted(before=None).value) == (1, None)
    assert found.handled().value == 1


def test_an_empty_buffer_measures_nothing() -> None:
    """A run without its work has neither depth, growth, memory nor messages."""
    empty = Buffer([], [], [])
    found = (empty.deepest(), empty.least_growth(), empty.memory(MB), empty.handled(), empty.alerted(before=1.0))
    assert [one.value for one in found] == [None] * 5


@pytest.mark.parametrize(("looked", "share"), [(0.0, 0.0), (12.0, 0.2), (25.0, 1.0), (math.nan, None)])
def test_what_was_over_before_a_monitor_looked_is_a_share_of_the_works_time(looked: float, share: float | None) -> None:
    """At most all of it; a monitor that never started tells nothing."""
    work = Timeline.from_arrays(start=[10.0], end=[20.0])
    assert unwatched(work, Timeline.from_arrays(start=[looked], end=[looked + 1])).value == share
