"""How a learned limit followed a capacity, told from made-up windows, samples and requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backpressure.adaptive import AIMD, LimitState, WindowSample
from backpressure.measures.following import Following, Learning
from backpressure.request_log import RequestLog

CHANGES = [
    {"at": 50.0, "settings": {"capacity": 0}},
    {"at": 99.0, "settings": {"capacity": 10}},
    {"at": 99.1, "settings": {"capacity": 4}},
    {"at": 110.0, "settings": {"capacity": 2}},
    {"at": 120.0, "settings": {"revision": 1}},
]


def requests(*rows: tuple[float, float, str]) -> RequestLog:
    """Requests given as (arrival, finish, status)."""
    texts = {"lane": "l", "key": "", "path": "", "request_id": ""}
    columns: dict[str, Any] = {name: np.array([text] * len(rows), dtype=np.str_) for name, text in texts.items()}
    columns |= {"status": [row[2] for row in rows], "id": range(len(rows)), "bytes": [0] * len(rows)}
    columns |= {"arrival": [row[0] for row in rows], "finish": [row[1] for row in rows]}
    columns |= {"start": columns["arrival"], "retry_after": [np.nan] * len(rows)}
    return RequestLog(columns, now=200.0)


def window(at: float, before: float, after: float, *, calls: int = 2, dropped: int = 0) -> dict[str, float]:
    """One window as a caller noted it."""
    return {"at": at, "calls": calls, "dropped": dropped, "latency": 1.1, "before": before, "after": after}


LOG = requests((100.0, 101.0, "200"), (106.0, 107.0, "200"), (116.0, 116.0, "503"), (116.5, 117.5, "200"))
WINDOWS = [[window(117.0, 4.0, 2.8, dropped=1)], [window(105.0, 3.0, 4.0)]]
SAMPLES = [{"at": 106.0, "limit": 4}, {"at": 108.0, "limit": 5}, {"at": 116.0, "limit": 4}, {"at": 118.0, "limit": 2}]


@pytest.fixture
def seen() -> Following:
    """Two phases of ten seconds, of which the last five are settled."""
    return Following.of(WINDOWS, SAMPLES, LOG, CHANGES, settled=5.0)


def test_the_rule_decides_and_its_windows_are_noted() -> None:
    """A limit learns by it as by the rule itself."""
    learning = Learning(AIMD(initial=4, backoff=0.5))
    state = LimitState(learning.initial)
    assert learning.allowed(state) == 4
    state = learning.update(state, WindowSample(calls=3, dropped=1, mean_latency=0.2, inflight=4))
    assert state.limit == 2
    (noted,) = learning.windows
    assert (noted["calls"], noted["dropped"], noted["before"], noted["after"]) == (3, 1, 4, 2)


def test_phases_are_those_long_enough_to_settle(seen: Following) -> None:
    """A time without capacity is none, nor an instant between two settings; the last ends with the last change."""
    assert [(one.since, one.until, one.capacity) for one in seen.phases] == [(99.1, 110.0, 4), (110.0, 120.0, 2)]


def test_the_windows_are_held_against_the_log(seen: Following) -> None:
    """Four requests were counted in windows, and four came; latencies are compared for what was served."""
    assert seen.counted().value == 1
    assert seen.latency().value == pytest.approx(1.1)


def test_limits_are_looked_up_in_a_phase(seen: Following) -> None:
    """The first phase saw up to 5 and the second down to 2; there is no sixth one."""
    assert (seen.risen(0).value, seen.fallen(1).value) == (5, 2)
    assert seen.risen(5).value is None


def test_windows_are_counted_until_the_limit_is_there() -> None:
    """Upwards one window of 4.2 is enough; downwards it takes three to come to 2.9; what never comes has no count."""
    windows = [window(101.0, 3.2, 4.2), window(111.0, 4.2, 5.2), window(112.0, 5.2, 3.6), window(113.0, 3.6, 2.9)]
    seen = Following.of([windows], SAMPLES, LOG, CHANGES, settled=5.0)
    assert (seen.windows(0).value, seen.windows(1).value) == (1, 3)
    assert Following.of([windows[:3]], SAMPLES, LOG, CHANGES, settled=5.0).windows(1).value is None
    assert seen.windows(5).value is None


def test_a_fall_is_answered_for_by_a_refusal() -> None:
    """The one refusal, at 116, is told in the window that ends next, or in the one after that; not in a third one."""

    def answered(*ends: float) -> object:
        windows = [window(at, 4.0, 4.0) for at in ends[:-1]] + [window(ends[-1], 4.0, 2.8, dropped=1)]
        return Following.of([windows], SAMPLES, LOG, CHANGES, settled=5.0).answered().value

    assert (answered(115.0, 117.0), answered(115.0, 116.5, 117.0), answered(117.0)) == (1, 1, 1)
    assert answered(116.5, 117.0, 118.0) == 0
    assert answered(115.0) == 0


def test_settled_samples_are_near_or_not(seen: Following) -> None:
    """Of four settled samples one is two above the capacity."""
    assert seen.near(0.5, 1).value == 0.75
    assert seen.near(0.5, 2).value == 1


def test_overshoot_and_refusals_count_while_settled(seen: Following) -> None:
    """Limit and calls at once are held against each phase's capacity; one in three settled requests was refused."""
    assert [(part.observed, part.limit) for part in seen.overshoot(1).parts] == [(5, 5), (1, 5), (4, 3), (1, 3)]
    assert seen.refused().value == pytest.approx(1 / 3)
    assert seen.used().value == pytest.approx((1 / 5 / 4 + 1 / 5 / 2) / 2)


def test_a_limit_that_never_moved_was_not_adjusted() -> None:
    """With requests and no windows, nothing was counted and nothing fell."""
    fixed = Following.of([[], []], SAMPLES, LOG, CHANGES, settled=5.0)
    assert (fixed.counted().value, fixed.decreases().value) == (0, 0)
    assert (fixed.latency().value, fixed.answered().value, fixed.windows(1).value) == (None, None, None)


def test_without_requests_nothing_is_measured() -> None:
    """An empty log leaves every measure of it without a value."""
    idle = Following.of([], [], requests(), CHANGES, settled=5.0)
    measures = (idle.counted(), idle.latency(), idle.decreases(), idle.near(0.5, 1), idle.used(), idle.refused())
    assert [one.value for one in measures] == [None] * 6
    assert idle.overshoot(1).holds is None
