"""A burst told from made-up timelines, requests and notes."""

from __future__ import annotations

import numpy as np
from backpressure.measures.bursts import Burst
from backpressure.request_log import RequestLog
from backpressure.timeline import Timeline


def timeline(scheduled: list[float], end: list[float]) -> Timeline:
    """Task instances that start when they are scheduled."""
    return Timeline.from_arrays(
        scheduled=scheduled, queued=scheduled, start=scheduled, end=end, map_index=list(range(len(end)))
    )


NOTHING = Timeline.from_arrays()
LOG = RequestLog(
    {
        "arrival": [1.0, 10.0, 10.4, 11.2],
        "start": [1.0, 10.0, 10.4, 11.2],
        "finish": [1.1, 10.1, 10.5, 11.3],
        "retry_after": [np.nan] * 4,
        "id": range(4),
        "bytes": [0] * 4,
        **{name: [""] * 4 for name in ("lane", "key", "path", "request_id", "status")},
    },
    now=20.0,
)
CAME = timeline([10.0, 10.1, 10.2], [12.0, 13.0, 14.5])
NOTES = [
    {"at": 11.5, "body": {"alert": "raised"}},
    {"at": 12.0, "body": {"alert": "cleared"}},
    {"at": 12.5, "body": "hello"},
]
BURST = Burst(timeline([1.0, 10.0, 10.1, 10.2], [2.0, 12.0, 13.0, 14.5]), CAME, LOG, NOTES, calls=3)


def test_alerts_are_counted_and_timed() -> None:
    """The burst came at 10, people were told at 11.5, and its last work had begun at 10.2."""
    assert (BURST.told("raised").value, BURST.told("cleared").value) == (1, 1)
    assert BURST.noticed().value == 1.5
    cleared = BURST.cleared().value
    assert isinstance(cleared, float)
    assert round(cleared, 3) == 1.8


def test_what_waits_at_the_alert_is_counted() -> None:
    """All three had started at 11.5; at 10.1 one was still to come, and one that never started."""
    assert BURST.unstarted().value == 0
    early = Burst(CAME, timeline([10.0, 10.1, 10.2, float("nan")], [12.0] * 4), LOG, [NOTES[0] | {"at": 10.1}], calls=3)
    assert early.unstarted().value == 2


def test_what_was_wanted_is_compared_with_what_was_sent() -> None:
    """Three orders of three calls each came within a second, and two calls were sent within one."""
    assert BURST.peak(1.0).value == 9
    assert BURST.sent(1.0).value == 2


def test_the_burst_is_done_with_its_last_work() -> None:
    """From the first that came to the last that ended."""
    assert BURST.recovered().value == 4.5


def test_without_an_alert_nobody_noticed() -> None:
    """No alert is a count of 0 and no time."""
    quiet = Burst(CAME, CAME, LOG, [], calls=3)
    assert quiet.told("raised").value == 0
    assert [one.value for one in (quiet.noticed(), quiet.unstarted(), quiet.cleared())] == [None] * 3


def test_without_work_nothing_is_measured() -> None:
    """An empty timeline has no burst, whatever people were told."""
    idle = Burst(NOTHING, NOTHING, LOG, NOTES, calls=3)
    measures = (idle.told("raised"), idle.noticed(), idle.unstarted(), idle.cleared(), idle.peak(1.0), idle.recovered())
    assert [one.value for one in measures] == [None] * 6
