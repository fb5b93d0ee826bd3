"""A timeline: how it comes in, how parts are chosen, and what single operations say on small made-up cases."""

from __future__ import annotations

import ast
import importlib.util
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backpressure.timeline import Curve, Labels, Timeline, quantiles, theil_sen
from hypothesis import given, settings
from hypothesis import strategies as st

T0 = 1_790_000_000.0


def stamp(second: float | None) -> str | None:
    """An instant as Airflow writes it."""
    return None if second is None else datetime.fromtimestamp(T0 + second, UTC).isoformat().replace("+00:00", "Z")


def record(
    scheduled: float | None, queued: float | None, start: float | None, end: float | None, **more: Any
) -> dict[str, Any]:
    """A task instance as the REST API gives it, with what tests need."""
    return {
        "id": "0199",
        "task_id": "work",
        "dag_id": "demo",
        "dag_run_id": "run_1",
        "map_index": -1,
        "logical_date": None,
        "scheduled_when": stamp(scheduled),
        "queued_when": stamp(queued),
        "start_date": stamp(start),
        "end_date": stamp(end),
        "try_number": 1,
        "state": "success",
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
        "executor": None,
        "priority_weight": 1,
        "hostname": "worker",
        "pid": 7,
    } | more


def spans(*pairs: tuple[float, float], **more: Any) -> Timeline:
    """Instances that only start and end."""
    return Timeline.from_arrays(start=[begin for begin, _ in pairs], end=[end for _, end in pairs], **more)


def test_records_become_columns_with_missing_stamps_as_nan() -> None:
    """Stamps become seconds since the epoch to the microsecond, a missing one NaN, a missing word empty."""
    work = Timeline.from_records([record(0.25, 1, 2.000001, None, state="running", logical_date=stamp(-60))])
    assert work.scheduled.tolist() == [T0 + 0.25]
    assert work.start.tolist() == [T0 + 2.000001]
    assert math.isnan(work.end[0])
    assert work.logical_date.tolist() == [T0 - 60]
    assert (work.run_id.tolist(), work.executor.tolist(), work.pid.tolist()) == (["run_1"], [""], [7])


def test_times_may_carry_an_offset_or_be_datetimes() -> None:
    """A column that is not all UTC with a Z is read as well, and to the same instants."""
    there = timezone(timedelta(hours=5, minutes=30))
    offset = datetime.fromtimestamp(T0 + 1, there)
    work = Timeline.from_records(
        [record(0, 0, None, None, start_date=offset.isoformat()), record(0, 0, None, None, start_date=offset)]
    )
    assert work.start.tolist() == [T0 + 1, T0 + 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_date": "2026-01-01T00:00:00"}, "no time zone"),
        ({"queued_when": "noonZ"}, "'noonZ', which is no ISO 8601 time"),
        ({"end_date": 5}, "end_date of record 0 is 5"),
    ],
)
def test_a_bad_time_is_named(change: dict[str, Any], words: str) -> None:
    """A time that can't be read is refused with its key, its record and its value."""
    with pytest.raises(ValueError, match=words):
        Timeline.from_records([record(0, 0, 0, 0) | change])


def test_what_is_not_a_task_instance_is_refused() -> None:
    """A record without task_id, or a run without run id, is refused by number."""
    with pytest.raises(ValueError, match="record 1 has no 'task_id'"):
        Timeline.from_records([record(0, 0, 0, 0), {"dag_run_id": "x"}])
    with pytest.raises(ValueError, match="record 0 has no 'dag_run_id'"):
        Timeline.from_runs([{"task_id": "x"}])


def test_stamps_of_an_earlier_try_are_taken_out() -> None:
    """Between two tries a row has stamps of both; only those of the latest try count."""
    waiting = record(10, 1, 2, 3, state="scheduled", try_number=2)
    queued_again = record(10, 11, 2, 3, state="queued", try_number=2)
    work = Timeline.from_records([waiting, queued_again])
    assert np.isnan(work.queued).tolist() == [True, False]
    assert np.isnan(work.start).all()
    assert np.isnan(work.end).all()
    assert work.depth(T0 + 10.5, now=T0 + 20).tolist() == 2


def test_resuming_from_deferral_is_told_apart() -> None:
    """A start before the last queueing is no negative wait but an unknown one, and the row is marked as resumed."""
    work = Timeline.from_records([record(20, 21, 2, 25), record(0, 1, 2, 3)])
    assert work.resumed.tolist() == [True, False]
    assert np.isnan(work.wait).tolist() == [True, False]
    assert np.isnan(work.executor_wait).tolist() == [True, False]
    assert work.duration.tolist() == [23.0, 1.0]


def test_runs_come_from_their_own_records() -> None:
    """A DAG run waits from queued_at to its start, and overlaps as task instances do."""
    runs = Timeline.from_runs(
        [
            {
                "dag_run_id": name,
                "dag_id": "demo",
                "queued_at": stamp(0),
                "start_date": stamp(begin),
                "end_date": stamp(end),
            }
            for name, begin, end in (("a", 1, 5), ("b", 2, 6), ("c", 5, 9))
        ]
    )
    assert runs.wait.tolist() == [1, 2, 5]
    peak = runs.peak()
    assert peak is not None
    assert (peak.value, runs.names(peak.rows)) == (2, ["a", "b"])


def test_runs_are_rebuilt_from_their_instances() -> None:
    """A run lasts from its first start to its last end, and has no end while an instance has none."""
    work = Timeline.from_records(
        [
            record(0, 1, 2, 3),
            record(1, 2, 4, 8),
            record(0, 1, 3, None, dag_run_id="run_2"),
            record(0, 1, 2, 9, dag_run_id="run_2"),
            record(0, 1, 2, 9, dag_id="other"),
        ]
    )
    runs = work.runs()
    found = {
        name: (begin - T0, end - T0)
        for name, begin, end in zip(
            zip(runs.dag_id.tolist(), runs.run_id.tolist(), strict=True),
            runs.start.tolist(),
            runs.end.tolist(),
            strict=True,
        )
    }
    assert found["demo", "run_1"] == (2, 8)
    assert found["other", "run_1"] == (2, 9)
    assert math.isnan(found["demo", "run_2"][1])
    assert len(spans().runs()) == 0


def test_an_end_at_the_instant_of_a_start_is_counted_first() -> None:
    """Intervals are half-open: work that follows on at once does not overlap, and empty work counts nowhere."""
    work = spans((0, 2), (2, 4), (3, 3), (1, 2))
    peak = work.peak()
    assert peak is not None
    assert (peak.value, peak.at, peak.rows.tolist()) == (2, 1, [0, 3])
    assert work.concurrency().at([0, 2, 3, 4]).tolist() == [1, 1, 1, 0]


def test_a_peak_in_slots_may_be_elsewhere() -> None:
    """Weighted by pool slots the peak is where the slots are, not where most instances are."""
    work = spans((0, 2), (0, 2), (0, 2), (5, 6), (5, 6), pool_slots=[1, 1, 1, 2, 3])
    count, slots = work.peak(), work.peak(slots=True)
    assert count is not None
    assert slots is not None
    assert (count.value, count.at, slots.value, slots.at) == (3, 0, 5, 5)


def test_a_peak_in_a_window_counts_only_there() -> None:
    """A window sees what lies in it, what began before it included, and nothing that ended before."""
    work = spans((0, 4), (1, 2), (6, 7))
    inside = work.peak(since=2, until=6)
    assert inside is not None
    assert (inside.value, inside.at) == (1, 2)
    assert work.peak(since=4, until=6) is None
    with pytest.raises(ValueError, match="window from 5 to 5 is empty"):
        work.peak(since=5, until=5)


def test_unfinished_work_counts_only_with_an_instant_that_closes_it() -> None:
    """Without `now` an instance without an end is left out; with it, it lasts until then."""
    work = Timeline.from_arrays(
        scheduled=[0, 0, 0], queued=[1, 1, np.nan], start=[2, 3, np.nan], end=[4, np.nan, np.nan]
    )
    assert work.concurrency().peak == 1
    assert work.concurrency(now=10).at([3.5, 9, 10]).tolist() == [2, 1, 0]
    assert work.depth([2.5]).tolist() == [1]
    assert work.depth([2.5, 9.9, 10], now=10).tolist() == [2, 1, 0]


def test_what_failed_in_the_queue_left_it_when_it_ended() -> None:
    """An instance that never started waits until its end, not for ever."""
    work = Timeline.from_arrays(scheduled=[0], queued=[1], start=[np.nan], end=[5])
    assert work.depth([4.9, 5]).tolist() == [1, 0]


def test_intervals_follow_the_order_of_stamps() -> None:
    """An interval against the order of a task instance's life is refused by name."""
    with pytest.raises(ValueError, match="no interval from 'end' to 'start'"):
        spans((0, 1)).concurrency("end", "start")


def test_slots_in_use_per_pool() -> None:
    """Each pool has a curve of its own."""
    work = spans((0, 2), (1, 3), (1, 3), pool=["a", "b", "a"], pool_slots=[1, 2, 3])
    curves = work.concurrency_by("pool", slots=True)
    assert {name: curve.peak for name, curve in curves.items()} == {"a": 4, "b": 2}
    with pytest.raises(ValueError, match="column 'start' has no words"):
        work.concurrency_by("start")


def test_order_keeps_rows_of_one_instant_in_their_order() -> None:
    """Starts in order of time; ties in order of rows; what never started is not among them."""
    work = Timeline.from_arrays(start=[3, 1, np.nan, 1, 0], task_id=["a", "b", "c", "d", "e"])
    assert work.names(work.order()) == ["e", "b", "d", "a"]


def test_utilisation_is_slot_seconds_over_what_was_there() -> None:
    """Three slot-seconds of work in two slots over two seconds are three quarters; a window cuts both."""
    work = spans((0, 1), (0, 2))
    assert work.utilisation(2) == pytest.approx(0.75)
    assert work.utilisation(2, 1, 3) == pytest.approx(0.25)
    assert math.isnan(spans().utilisation(2))
    with pytest.raises(ValueError, match="slots must be positive, not -1"):
        work.utilisation(-1)


def test_start_rate_counts_intervals_between_starts() -> None:
    """Five starts in two seconds are two a second; a window counts its own starts over its own length."""
    work = Timeline.from_arrays(start=[0, 0.5, 1, 1.5, 2])
    assert work.start_rate() == pytest.approx(2)
    assert work.start_rate(0, 4) == pytest.approx(5 / 4)
    assert math.isnan(Timeline.from_arrays(start=[1.0]).start_rate())
    assert math.isnan(Timeline.from_arrays(start=[]).start_rate(since=3))


def test_little_s_law_balances_over_a_window_that_holds_everything() -> None:
    """Mean depth is start rate times mean wait when every wait lies inside the window."""
    work = Timeline.from_arrays(scheduled=[0, 1, 2], start=[3, 4, 6])
    law = work.little(0, 10)
    assert law.depth == pytest.approx(law.rate * law.wait)
    assert (law.rate, law.wait) == (pytest.approx(0.3), pytest.approx(10 / 3))


def test_growth_is_positive_while_more_comes_than_starts() -> None:
    """A queue that gains one a second grows by one a second, and shrinks as fast when it drains."""
    work = Timeline.from_arrays(scheduled=np.arange(20.0), start=np.full(20, 30.0) + np.arange(20))
    assert work.growth(0, 20).slope == pytest.approx(1, abs=0.1)
    assert work.growth(30, 49).slope == pytest.approx(-1, abs=0.1)


def test_selection_joins_conditions() -> None:
    """Words, numbers, masks and functions narrow a selection together; nothing matches an unknown word."""
    work = Timeline.from_arrays(
        start=np.arange(6.0), task_id=["a", "a", "a", "b", "b", "c"], map_index=[0, 1, 2, 0, 1, -1], pool=["p"] * 6
    )
    assert work.select(task_id=["a", "b"], map_index=1).names() == ["a[1]", "b[1]"]
    assert work.select(lambda all_: all_.start > 3, pool="p").names() == ["b[1]", "c"]
    assert work.select(work.start < 1).names() == ["a[0]"]
    assert len(work.select(task_id="unknown")) == 0
    assert work.select(priority_weight=1, map_index=[0, 2]).names() == ["a[0]", "a[2]", "b[0]"]


def test_a_union_has_no_row_twice() -> None:
    """Selections that overlap unite to each row once, in any order."""
    work = Timeline.from_arrays(start=np.arange(4.0), pool=["a", "a", "b", "b"])
    union = work.select(pool="a") | work.select(work.start >= 1)
    assert sorted(union.start.tolist()) == [0, 1, 2, 3]
    assert union.concurrency(now=9).peak == 4


def test_a_later_reading_of_the_same_instance_wins() -> None:
    """Records read twice unite to one row each, as the right-hand reading has it; rows without names stay apart."""
    before = Timeline.from_records([record(0, 1, 2, None, state="running"), record(0, 1, 2, 3, map_index=1)])
    after = Timeline.from_records([record(0, 1, 2, 9)])
    union = before | after
    assert sorted((union.end - T0).tolist()) == [3, 9]
    assert len(spans((0, 1)) | spans((0, 1))) == 2


def test_columns_must_agree() -> None:
    """Unequal lengths, unknown columns and infinite times are refused by name."""
    with pytest.raises(ValueError, match="column 'end' has 1 values and 'start' has 2"):
        Timeline.from_arrays(start=[0, 1], end=[1])
    with pytest.raises(ValueError, match="unknown column 'begin'"):
        Timeline.from_arrays(begin=[0])
    with pytest.raises(ValueError, match="column 'start' has an infinite time"):
        Timeline.from_arrays(start=[math.inf])
    with pytest.raises(ValueError, match="2 labels for 1 task instances"):
        Labels.of(["a", "b"], 1)


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "", "c"])), max_size=12))
def test_labels_keep_their_words(words: list[str | None]) -> None:
    """A coded column says the same words row by row, with None as the empty word, and groups them in order."""
    labels = Labels.of(words, len(words))
    plain = [word or "" for word in words]
    assert labels.tolist() == plain
    assert labels.isin(["a", ""]).tolist() == [word in {"a", ""} for word in plain]
    assert {name: rows.tolist() for name, rows in labels.rows_of().items()} == {
        name: [row for row, word in enumerate(plain) if word == name] for name in plain
    }
    assert labels.joined(labels[::-1]).tolist() == plain + plain[::-1]


def test_a_curve_is_a_step_function() -> None:
    """It has its value from an instant on, nothing before the first, and areas by whole steps."""
    curve = Curve(np.array([1.0, 2.0, 4.0]), np.array([2, 5, 0]))
    assert curve.at([0.9, 1, 1.9, 2, 5]).tolist() == [0, 2, 2, 5, 0]
    assert (curve.peak, curve.peak_at) == (5, 2.0)
    assert curve.integral(0, 3) == pytest.approx(7)
    assert curve.mean(1.5, 2.5) == pytest.approx(3.5)
    assert curve.highest([0, 1.5, 3.9, 4, 9]).tolist() == [2, 5, 5, 0]
    assert Curve(np.empty(0), np.empty(0, np.int64)).peak_at is None


def test_a_trend_is_not_moved_by_an_outlier() -> None:
    """One wild value leaves the median of slopes where it was, and the interval around it."""
    x = np.arange(20.0)
    y = 3 * x
    y[7] = 1000
    slope = theil_sen(x, y)
    assert slope.slope == pytest.approx(3)
    assert slope.low <= 3 <= slope.high


def test_a_flat_trend_has_zero_in_its_interval() -> None:
    """Noise around a level has no slope to speak of."""
    slope = theil_sen(np.arange(10.0), [1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
    assert slope.low <= 0 <= slope.high


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [([0], [1], "1 points"), ([0, 1], [1], "x has 2 points and y has 1"), ([1, 1], [1, 2], "same x")],
)
def test_a_trend_needs_points(x: list[float], y: list[float], words: str) -> None:
    """Too few points, unequal numbers and one single x are refused."""
    with pytest.raises(ValueError, match=words):
        theil_sen(x, y)


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30), st.floats(0, 1), st.integers(0, 3))
def test_quantiles_are_numpy_s(values: list[int], share: float, missing: int) -> None:
    """Quantiles agree with numpy's linear ones, and missing values do not count."""
    column = np.array([*values, *[np.nan] * missing], np.float64)
    assert quantiles(column, share)[0] == pytest.approx(np.quantile(np.array(values, np.float64), share), abs=1e-9)


def test_quantiles_of_nothing_are_unknown() -> None:
    """Without a known value a quantile is NaN, and a share outside 0 to 1 is refused."""
    assert math.isnan(quantiles(np.array([np.nan]), 0.5)[0])
    with pytest.raises(ValueError, match="between 0 and 1, not at 95"):
        quantiles(np.array([1.0]), 95)


def test_no_records_are_an_empty_timeline() -> None:
    """A run without task instances can be asked everything, and has nothing to tell."""
    work = Timeline.from_records([])
    assert len(work) == 0
    assert work.peak() is None
    assert (work.by("pool"), work.concurrency_by("pool")) == ({}, {})
    assert (work.overtakes().count, work.order().tolist(), work.names()) == (0, [], [])
    assert math.isnan(work.makespan())
    assert len(work | work) == 0


@pytest.mark.parametrize(
    ("module", "model", "keys"),
    [
        ("task_instances", "TaskInstanceResponse", set(record(0, 0, 0, 0))),
        ("task_instance_history", "TaskInstanceHistoryResponse", set(record(0, 0, 0, 0)) - {"id", "logical_date"}),
        ("dag_run", "DAGRunResponse", {"dag_run_id", "dag_id", "queued_at", "start_date", "end_date", "logical_date"}),
    ],
)
def test_the_keys_are_those_of_the_installed_airflow(module: str, model: str, keys: set[str]) -> None:
    """Every key that is read is in the response as the installed Airflow declares it."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    folder = next(iter(spec.submodule_search_locations or ()))
    source = (Path(folder) / "api_fastapi" / "core_api" / "datamodels" / f"{module}.py").read_text(encoding="utf-8")
    (declared,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == model)
    fields = {node.target.id: node.value for node in declared.body if isinstance(node, ast.AnnAssign)}  # type: ignore[union-attr]
    named = {
        keyword.value.value
        for value in fields.values()
        if isinstance(value, ast.Call)
        for keyword in value.keywords
        if keyword.arg == "alias"
    }
    assert keys <= named | set(fields)
