"""A review out of made-up records: a partner's log, pages, settings and task instances."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.incidents import lowered, overdue, sequence, warned
from backpressure.postmortem import PHASES, Review, document, oldest
from backpressure.request_log import COLUMNS, RequestLog
from backpressure.timeline import Timeline


def log(*rows: tuple[str, float, float, str]) -> RequestLog:
    """Requests with their orders, arrivals, ends and statuses."""
    columns: dict[str, Any] = {name: ["x"] * len(rows) for name in COLUMNS}
    columns |= {"id": range(len(rows)), "bytes": [0] * len(rows), "retry_after": [float("nan")] * len(rows)}
    columns |= {"request_id": [row[0] for row in rows], "status": [row[3] for row in rows]}
    columns |= {
        "arrival": [row[1] for row in rows],
        "start": [row[1] for row in rows],
        "finish": [row[2] for row in rows],
    }
    return RequestLog(columns, now=100.0)


LOG = log(("r0", 1, 9, "disconnected"), ("r0", 9.1, 9.5, "200"), ("r1", 11, 11.4, "200"))
ORDERS = Timeline.from_arrays(
    task_id=["order", "order"], run_id=["r0", "r1"],
    scheduled=[0.5, 0.5], queued=[0.75, 9.75], start=[1.0, 10.0], end=[9.75, 11.75],
)  # fmt: skip


def test_a_review_says_when_each_phase_was_and_what_time_was_lost_to() -> None:
    """What was lost counts from the remedy on: a caller that held on, an order that waited for a slot."""
    found = Review.of(LOG, ORDERS, [{"at": 4.2}], healed=[5.25], due=4.0)
    assert dict(found.timeline) == {"onset": 1, "detection": 4.2, "mitigation": 5.25, "recovery": 9.5, "closed": 11.4}
    assert found.impact == pytest.approx(5 + 6.9)
    assert found.lost == {"patience": 3.75, "slots": 4.5}
    assert found.factors == ["patience", "slots"]


def test_without_records_nothing_is_known() -> None:
    """Neither of an incident that nobody mended, nor by whoever looks at nothing."""
    assert Review().to_dict() == {
        "timeline": [[phase, None] for phase in PHASES], "impact": 0.0, "lost": {}, "factors": [],
    }  # fmt: skip
    unmended = Review.of(LOG, ORDERS, [], healed=[], due=4.0)
    assert (dict(unmended.timeline)["recovery"], unmended.lost) == (None, {})


def test_what_is_lost_in_a_moment_is_no_factor() -> None:
    """A second, or less."""
    assert Review(lost={"patience": 0.9, "slots": 1.1}).factors == ["slots"]


def test_a_document_has_timeline_impact_factors_and_what_was_tried() -> None:
    """And says of what is not known that it is not."""
    learned = Review.of(LOG, ORDERS, [{"at": 4.2}], healed=[5.25], due=4.0).to_dict()
    changes = {"patience": {"patience": 1.0}, "slots": {"pool": "roomy"}}
    text = document("silence", learned, changes, {"a guard": warned([2.0], ORDERS, 4.0) > 0})
    assert "| detection | 3.2 s | page, as delivered |" in text
    assert "- slots: 4.5 s were lost to it" in text
    assert "| a guard | time from the alert to the first late order: 2.5 > 0 s | yes |" in text
    assert "| onset | not known | none |" in document("silence", Review().to_dict(), {}, {})


def test_the_oldest_is_the_longest_open() -> None:
    """What has ended, or is not ready, is not old."""
    records = [
        {"scheduled_when": "1970-01-01T00:00:02Z", "end_date": None},
        {"scheduled_when": "1970-01-01T00:00:01Z", "end_date": "1970-01-01T00:00:05Z"},
        {"scheduled_when": None, "end_date": None},
    ]
    assert (oldest(records, now=10.0), oldest(records[1:], now=10.0)) == (8, 0)


def test_phases_are_told_in_the_order_of_their_records() -> None:
    """Those without one are left out; of no phases there is no order."""
    assert sequence({"onset": 3.0, "detection": 2.0, "closed": None}).value == ("detection", "onset")
    assert sequence({"onset": None}).value == ()
    assert sequence({}).value is None


def test_lateness_is_summed_up_over_all_orders() -> None:
    """Those in time count for nothing."""
    assert overdue(ORDERS, 4.0, "orders").value == pytest.approx(5.25 + 7.25)
    assert overdue(ORDERS, 10.0, "orders").detail == "1 of 2 were late"
    assert overdue(ORDERS.select(task_id="none"), 4.0, "orders").value is None


def test_a_factor_counts_if_work_is_less_late_without_it() -> None:
    """Only those that were tried."""
    quick = Timeline.from_arrays(scheduled=[0.0], end=[5.0])
    assert lowered(ORDERS, {"patience": quick, "slots": ORDERS}, 4.0).value == 1
    assert lowered(ORDERS, {}, 4.0).value == 0
    assert lowered(ORDERS.select(task_id="none"), {"patience": quick}, 4.0).value is None


def test_a_warning_is_worth_the_time_that_it_leaves() -> None:
    """Below 0 when it comes too late, and 0 when none comes."""
    assert warned([2.0], ORDERS, 4.0).value == 2.5
    assert warned([6.0], ORDERS, 4.0).value == -1.5
    assert warned([], ORDERS, 4.0).value == 0
    assert warned([2.0], ORDERS.select(task_id="none"), 4.0).value is None
