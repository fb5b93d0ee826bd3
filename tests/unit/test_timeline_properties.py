"""Vectorised operations against plain loops, on many small timelines full of ties and missing stamps."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from backpressure.timeline import Timeline, permutation, priority
from backpressure.timeline.curve import ordered, sweep
from hypothesis import given, settings
from hypothesis import strategies as st


@dataclass(frozen=True)
class Instance:
    """One task instance of a made-up timeline; stamps are whole seconds or None."""

    scheduled: int | None
    queued: int | None
    start: int | None
    end: int | None
    weight: int
    slots: int


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Stamps in ascending order, close together, from some point on missing."""
    stamps: list[int | None] = []
    at = draw(st.integers(0, 8))
    known = draw(st.integers(0, 4))
    for number in range(4):
        stamps.append(at if number < known else None)
        at += draw(st.integers(0, 4))
    return Instance(*stamps, weight=draw(st.integers(1, 4)), slots=draw(st.integers(1, 3)))


workloads = st.lists(instances(), max_size=12)


def timeline(work: list[Instance]) -> Timeline:
    """The same as columns."""
    columns = {
        name: [math.nan if (value := getattr(one, name)) is None else value for one in work]
        for name in ("scheduled", "queued", "start", "end")
    }
    return Timeline.from_arrays(
        **columns, priority_weight=[one.weight for one in work], pool_slots=[one.slots for one in work]
    )


def interval(one: Instance, begin: str, finish: str, now: int | None) -> tuple[int, int] | None:
    """The half-open interval between two stamps, by the words of the documentation."""
    stamps = ["scheduled", "queued", "start", "end"]
    first = getattr(one, begin)
    later = [getattr(one, stamp) for stamp in stamps[stamps.index(finish) :]]
    last = next((stamp for stamp in [*later, now] if stamp is not None), None)
    return None if first is None or last is None or last < first else (first, last)


pairs_of_stamps = st.sampled_from(list(itertools.combinations(["scheduled", "queued", "start", "end"], 2)))


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(workloads, pairs_of_stamps, st.booleans(), st.sampled_from([None, 20]))
def test_concurrency_is_what_a_loop_counts(
    work: list[Instance],
    stamps: tuple[str, str],
    slots: bool,  # noqa: FBT001 - drawn, not called
    now: int | None,
) -> None:
    """At every instant as many hold as have begun and not ended, and the peak is the first highest of them."""
    begin, finish = stamps
    spans = [(interval(one, begin, finish, now), one.slots if slots else 1) for one in work]
    expected = [sum(size for span, size in spans if span and span[0] <= at < span[1]) for at in range(30)]
    curve = timeline(work).concurrency(begin, finish, slots=slots, now=now)  # type: ignore[arg-type]
    assert curve.at(np.arange(30)).tolist() == expected
    peak = timeline(work).peak(begin, finish, slots=slots, now=now)  # type: ignore[arg-type]
    if peak is not None:
        first = expected.index(max(expected)) if max(expected) else peak.at
        assert (peak.value, peak.at) == (max(expected), first)
        holding = [row for row, (span, _) in enumerate(spans) if span and span[0] <= peak.at < span[1]]
        assert peak.rows.tolist() == holding


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(workloads, st.integers(0, 12), st.integers(1, 8))
def test_a_window_cuts_every_interval(work: list[Instance], since: int, length: int) -> None:
    """The peak in a window is the highest of the loop's counts there, and slot-seconds are their sum over it."""
    until = since + length
    spans = [(interval(one, "start", "end", None), one.slots) for one in work]
    counts = [sum(size for span, size in spans if span and span[0] <= at < span[1]) for at in range(since, until)]
    peak = timeline(work).peak(slots=True, since=since, until=until)
    assert (peak.value if peak else 0) == max(counts)
    used = timeline(work).intervals().within(since, until).slot_seconds()
    assert used == pytest.approx(sum(counts))
    assert timeline(work).concurrency(slots=True).integral(since, until) == pytest.approx(sum(counts))


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(workloads, st.sampled_from([None, 20]))
def test_depth_counts_who_has_been_scheduled_and_has_not_left(work: list[Instance], now: int | None) -> None:
    """Depth is of both waiting states, and who never started leaves when it ended or the records were read."""
    spans = [interval(one, "scheduled", "start", now) for one in work]
    expected = [sum(1 for span in spans if span and span[0] <= at < span[1]) for at in range(30)]
    assert timeline(work).depth(np.arange(30), now=now).tolist() == expected


def loop_over_pairs(work: list[Instance], now: int | None) -> tuple[list[int], list[int]]:
    """The deciding instants of all overtakes and all inversions, pair by pair, as they are defined."""
    waits = []
    for one in work:
        queued = one.queued
        if queued is None and now is not None and one.start is None and one.end is None:
            queued = now
        if one.scheduled is not None and queued is not None and queued > one.scheduled:
            waits.append((one.weight, one.scheduled, queued))
    overtakes, inversions = [], []
    for heavy, light in itertools.permutations(waits, 2):
        if heavy[0] > light[0]:
            if heavy[1] > light[1] and heavy[2] < light[2]:
                overtakes.append(heavy[2])
            if heavy[1] < light[2] < heavy[2]:
                inversions.append(light[2])
    return overtakes, inversions


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(workloads, st.sampled_from([None, 20]))
def test_pairs_are_what_a_loop_over_all_pairs_finds(work: list[Instance], now: int | None) -> None:
    """Overtakes and inversions, and the first instant of each, agree with comparing every pair."""
    overtakes, inversions = loop_over_pairs(work, now)
    columns = timeline(work)
    for found, expected in ((columns.overtakes(now=now), overtakes), (columns.inversions(now=now), inversions)):
        assert found.count == len(expected)
        assert found.at == (min(expected) if expected else None)
        if expected:
            assert found.heavier is not None
            assert found.lighter is not None
            assert work[found.heavier].weight > work[found.lighter].weight


@settings(deadline=None)  # the same
@given(st.integers(0, 2**32 - 1), st.integers(0, 200), st.integers(1, 60), st.integers(1, 4), st.integers(1, 40))
def test_pairs_are_counted_alike_however_the_work_is_divided(
    seed: int, size: int, span: int, leaf: int, wide: int
) -> None:
    """Parting by weight, wide and narrow nodes and leaves give the same counts as comparing every pair at once."""
    rng = np.random.default_rng(seed)
    weight, scheduled = rng.integers(0, rng.integers(2, 20), size), rng.integers(0, span, size)
    queued = scheduled + rng.integers(0, span, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(priority, "_SMALL", 10_000)
        expected = priority.count_pairs(weight, scheduled, queued)
        patch.setattr(priority, "_SMALL", leaf)
        patch.setattr(priority, "_FIRST_LOOK", leaf)
        patch.setattr(permutation, "_LEAF", leaf)
        patch.setattr(permutation, "_WIDE", wide)
        assert priority.count_pairs(weight, scheduled, queued) == expected


def test_many_weights_and_wide_spans_are_counted_too() -> None:
    """Sizes that do not fit the quick ways (weights far apart, stamps years apart) give the counts of a loop."""
    rng = np.random.default_rng(5)
    weight = rng.choice([1, 10**9, -5, 7], 300)
    scheduled = rng.integers(0, 2**50, 300)
    queued = scheduled + rng.integers(0, 2**50, 300)
    heavier = weight[:, None] > weight[None, :]
    overtakes = heavier & (scheduled[:, None] > scheduled[None, :]) & (queued[:, None] < queued[None, :])
    inversions = heavier & (scheduled[:, None] < queued[None, :]) & (queued[None, :] < queued[:, None])
    found = priority.count_pairs(weight, scheduled, queued)
    assert (found.overtakes, found.inversions) == (int(overtakes.sum()), int(inversions.sum()))
    assert found.first_inversion == int(queued[inversions.any(axis=0)].min())
    curve = sweep(scheduled / 1e6, queued / 1e6, np.full(300, 2**20))
    assert curve.at(scheduled[:5] / 1e6 + 1e-3).min() >= 2**20


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.lists(st.integers(0, 2**61), max_size=20))
def test_ordering_is_stable_for_any_size_of_key(keys: list[int]) -> None:
    """The quick ordering agrees with numpy's stable sort, also where it has to fall back on it."""
    column = np.array(keys, np.int64)
    assert ordered(column).tolist() == np.argsort(column, kind="stable").tolist()


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(workloads)
def test_waits_are_differences_of_known_stamps(work: list[Instance]) -> None:
    """Each wait is the difference of its stamps, and unknown where one of them is."""
    columns = timeline(work)
    for column, begin, finish in (
        (columns.gate, "scheduled", "queued"),
        (columns.executor_wait, "queued", "start"),
        (columns.wait, "scheduled", "start"),
        (columns.duration, "start", "end"),
    ):
        expected = [
            None
            if getattr(one, begin) is None or getattr(one, finish) is None
            else getattr(one, finish) - getattr(one, begin)
            for one in work
        ]
        assert [None if math.isnan(value) else value for value in column.tolist()] == expected


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_instants_survive_the_microsecond_grid(micros: list[int]) -> None:
    """A curve's instants are the very floats of the stamps, so that asking at a stamp sees its own change."""
    seconds = [1_700_000_000 + micro / 1_000_000 for micro in micros]
    work = Timeline.from_arrays(start=seconds, end=[second + 1 for second in seconds])
    assert set(work.concurrency().times.tolist()) <= {*work.start.tolist(), *work.end.tolist()}
    assert (work.concurrency().at(work.start) >= 1).all()
