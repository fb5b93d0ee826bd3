"""What came of working in degraded mode, told from a made-up report, log and timeline."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.degraded import Report, tasks_in
from backpressure.request_log import RequestLog
from backpressure.timeline import Timeline

WORK = Timeline.from_records(
    [
        {"task_id": task_id, "map_index": -1, "state": state}
        for task_id, state in (
            ("fetch_b", "failed"),
            ("fetch_a", "failed"),
            ("fetch_c", "success"),
            ("other", "failed"),
        )
    ]
)


def test_tasks_are_named_by_what_follows_their_prefix() -> None:
    """In alphabetical order; those without the prefix, or in another state, are left out."""
    assert tasks_in(WORK, "failed", "fetch_").value == ("a", "b")
    assert tasks_in(WORK, "skipped", "fetch_").value == ()
    assert tasks_in(WORK, "failed").value == ("fetch_a", "fetch_b", "other")


def test_there_is_no_value_without_such_tasks() -> None:
    """A run without its workload has no outcome."""
    assert tasks_in(WORK, "failed", "load_").value is None
    assert tasks_in(Timeline.from_records([]), "failed").value is None


def log(*rows: tuple[float, str]) -> RequestLog:
    """Served requests given as (arrival, key)."""
    columns: dict[str, Any] = {name: [arrival for arrival, _ in rows] for name in ("arrival", "start", "finish")}
    columns |= {
        "key": [key for _, key in rows],
        "retry_after": [float("nan")] * len(rows),
        "status": ["200"] * len(rows),
    }
    columns |= {name: [""] * len(rows) for name in ("lane", "path", "request_id")}
    return RequestLog(columns | {"id": [0] * len(rows), "bytes": [0] * len(rows)}, now=100.0)


class Partner:
    """An upstream that says what it is told to."""

    def log(self, since: float) -> RequestLog:
        """Four calls of the broken source in health, one since; the healthy one's do not count."""
        assert since == 1.0
        return log(*((at, "a") for at in (2.0, 3.0, 4.0, 5.0, 12.0)), *((at, "b") for at in (2.0, 12.0, 13.0)))

    def notifications(self, since: float) -> list[dict[str, Any]]:
        """One announcement."""
        assert since == 1.0
        return [{"at": 20.0, "body": ["a"]}]


HEALTHY = {"since": 1.0, "broke": 10.0, "rows": {"a": ["x", "y"], "b": ["z"]}}
PUBLISHED = {
    "a": {"value": ["x", "y"], "stale": True, "age": 9.0, "refused_if_older": True},
    "b": {"value": ["z"], "stale": False},
}


def report(published: dict[str, Any] | None = PUBLISHED, work: Timeline = WORK) -> Report:
    """A report whose source ``a`` is broken."""
    return Report.of(Partner(), work, HEALTHY, published, ("a",))


def test_what_is_missing_is_named() -> None:
    """The tasks that ended otherwise, the sources that are not as they should be, or that there is no report at all."""
    assert tasks_in(WORK, "success", "fetch_").detail == "fetch_a failed, fetch_b failed"
    assert report(PUBLISHED | {"a": {"value": ["x"], "stale": True}}).complete().detail == "not a"
    assert report(None).as_sent().detail == "nothing was published"


def test_a_report_is_compared_with_that_of_a_healthy_partner() -> None:
    """All rows are there, the broken source's as last sent, and the partner was asked for a quarter."""
    seen = report()
    assert (seen.complete().value, seen.as_sent().value, seen.guarded().value) == (1, 1, 1)
    assert seen.asked().value == pytest.approx(0.25)
    assert (seen.stale().value, seen.stale().detail) == (("a",), "up to 9.0 s old")


def test_a_changed_row_a_missing_one_and_one_too_old_show() -> None:
    """Other rows than sent, fewer than usual, or served though too old: none of them passes."""
    wrong = {
        "a": {"value": ["x"], "stale": True, "age": 9.0, "refused_if_older": False},
        "b": {"value": [], "stale": False},
    }
    seen = report(wrong)
    assert (seen.complete().value, seen.as_sent().value, seen.guarded().value) == (0, 0, 0)


def test_no_report_is_incomplete_and_marks_nothing() -> None:
    """Without a report nothing is complete, as sent, or stale."""
    seen = report(None)
    assert (seen.complete().value, seen.as_sent().value, seen.guarded().value, seen.stale().value) == (0, 0, 0, ())


def test_announcements_count_before_the_report_is_published() -> None:
    """Each announcement's instant is the upstream's; publishing begins when its task starts."""
    assert (report().told().value, report().told().at) == (("a",), 20.0)
    for start, share in ((21, 1.0), (19, 0.0)):
        stamp = f"1970-01-01T00:00:{start}Z"
        begun = [{"task_id": "publish", "map_index": -1, "state": "success", "start_date": stamp}]
        assert report(work=Timeline.from_records(begun)).told_before("publish").value == share


def test_sources_are_told_by_how_their_tasks_ended() -> None:
    """A report names them as its lesson does."""
    assert report().ended("failed", "fetch_").value == ("a", "b")


def test_nothing_is_measured_where_nothing_was_fetched() -> None:
    """A run without its workload publishes nothing either, and that says nothing about fallbacks."""
    seen = report(None, Timeline.from_records([]))
    measures = [seen.complete(), seen.as_sent(), seen.guarded(), seen.stale(), seen.told()]
    assert [one.value for one in measures] == [None] * 5
