"""What came of shedding, told from made-up timelines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backpressure.measures.shedding import Aftermath
from backpressure.request_log import RequestLog
from backpressure.shedding import ShedItem
from backpressure.timeline import Timeline

NAN = float("nan")
RUN = "manual__wave-0"
Row = tuple[str, int, float, float, float, str]


def timeline(*rows: Row) -> Timeline:
    """Task instances given as (task, weight, scheduled, queued, end, state), in one helper run."""
    columns: dict[str, Any] = {
        "task_id": [row[0] for row in rows],
        "priority_weight": [row[1] for row in rows],
        "scheduled": np.array([row[2] for row in rows]),
        "queued": np.array([row[3] for row in rows]),
        "start": np.array([row[3] for row in rows]),
        "end": np.array([row[4] for row in rows]),
        "state": [row[5] for row in rows],
        "map_index": list(range(len(rows))),
        "run_id": [RUN] * len(rows),
        "dag_id": ["waves"] * len(rows),
    }
    return Timeline.from_arrays(**columns)


def item(key: str, *, shed_at: float, waited: float, priority: int = 1) -> ShedItem:
    """An entry of the record of shed work."""
    return ShedItem(key, priority, waited, "", None, shed_at, 0, "waiting")


# One slot, two seconds each: a runs from 0 to 2, b from 2 to 4, c from 4 to 6; d was given up at 1, and e at 5.
WORK = timeline(
    ("gold", 3, 0.0, 0.0, 2.0, "success"),
    ("gold", 3, 0.0, 2.0, 4.0, "success"),
    ("silver", 2, 0.0, 4.0, 6.0, "success"),
    ("bronze", 1, 0.0, NAN, 1.0, "skipped"),
    ("bronze", 1, 4.5, NAN, 5.0, "skipped"),
)
FIRST = timeline(("calibrate", 1, -4.0, -4.0, -2.0, "success"))
SHED = [item(f"{RUN}.bronze.3", shed_at=1.0, waited=1.0), item(f"{RUN}.bronze.4", shed_at=5.0, waited=0.5)]


def requests(*names: str) -> RequestLog:
    """Served requests of these names, one a second."""
    columns: dict[str, Any] = {name: list(range(len(names))) for name in ("id", "bytes", "arrival", "start", "finish")}
    columns |= {"request_id": list(names), "status": ["200"] * len(names), "retry_after": [NAN] * len(names)}
    return RequestLog(columns | {name: [""] * len(names) for name in ("lane", "key", "path")}, now=100.0)


def aftermath(
    work: Timeline = WORK, shed: list[ShedItem] = SHED, told: list[list[str]] | None = None, patience: float = 5.0
) -> Aftermath:
    """What came of it with one slot."""
    return Aftermath(work, FIRST, shed, told or [], requests("a", "b", "b"), slots=1, patience=patience)


def test_what_was_lost_is_told_by_task() -> None:
    """A skipped instance is lost; of an unknown task nothing can be told."""
    seen = aftermath()
    assert (seen.lost("bronze").value, seen.lost("gold").value, seen.lost("copper").value) == (1.0, 0.0, None)


def test_work_is_in_time_when_done_soon_after_it_was_scheduled() -> None:
    """Skipped work is not done late; the one that took longest is named."""
    found = aftermath().in_time()
    assert (found.value, found.samples, found.at) == (pytest.approx(2 / 3), 3, 6.0)
    assert found.detail == "silver[2] took 6.0 s, 5.0 s are in time"
    assert aftermath().in_time("gold").value == 1
    assert aftermath().in_time("bronze").value is None


def test_a_start_that_was_slower_than_usual_makes_nothing_late() -> None:
    """A wait for a slot and a long service do; of a start only what is usual counts, all of it if nothing is known."""

    def in_time(first: Timeline, **changes: float) -> float | None:
        stamps = {"scheduled": 0.0, "queued": 1.0, "start": 4.0, "end": 6.0} | changes
        work = timeline(("gold", 3, stamps["scheduled"], stamps["queued"], stamps["end"], "success"))
        work = replace(work, start=np.array([stamps["start"]]))
        value = Aftermath(work, first, [], [], requests(), slots=1, patience=5.0).in_time().value
        return None if value is None else float(value)

    first = replace(FIRST, start=FIRST.queued + 1.0)
    assert in_time(first) == 1
    assert in_time(first, queued=3.5, start=5.0) == 0
    assert in_time(first, start=1.5) == 0
    assert in_time(FIRST.select(task_id="none")) == 0


def test_shedding_is_right_when_the_item_would_have_been_late() -> None:
    """What waited before it counts with what it took; an item that had a chance was shed wrongly."""
    # At 1 the slot is free at 2, gold and silver go first until 6, and the item would be done at 8, due at 5.
    # At 5 the slot is free at 6, and the item would be done at 8, due at 9.5.
    assert aftermath().rightly_shed().value == 0.5
    assert aftermath(patience=3.0).rightly_shed().value == 1.0
    assert aftermath(patience=9.0).rightly_shed().value == 0.0
    assert aftermath(shed=[]).rightly_shed().value is None


def test_equals_that_came_later_do_not_stand_before_an_item() -> None:
    """Of the same weight only what was scheduled before goes first."""
    done = (("bronze", 1, 0.0, 0.0, 2.0, "success"), ("bronze", 1, 1.5, 2.0, 4.0, "success"))
    shed = [item(f"{RUN}.bronze.2", shed_at=1.8, waited=0.8)]
    early, late = (timeline(*done, ("bronze", 1, came, NAN, 1.8, "skipped")) for came in (1.0, 1.6))
    assert aftermath(early, shed, patience=3.5).rightly_shed().value == 0.0
    assert aftermath(late, shed, patience=3.5).rightly_shed().value == 1.0


def test_what_was_shed_later_stood_before_an_item_all_the_same() -> None:
    """Until it was shed itself it would have been served first; what was shed already would not."""
    work = timeline(
        ("bronze", 1, 0.0, 0.0, 2.0, "success"),
        ("bronze", 1, 0.0, NAN, 1.5, "skipped"),
        ("bronze", 1, 0.0, NAN, 1.0, "skipped"),
    )
    shed = [item(f"{RUN}.bronze.2", shed_at=1.0, waited=1.0), item(f"{RUN}.bronze.1", shed_at=1.5, waited=1.5)]
    # At 1 the slot is free at 2, and one order goes first until 4: done at 6. At 1.5 nothing goes first: done at 4.
    assert aftermath(work, shed, patience=5.0).rightly_shed().value == 0.5
    earlier = [shed[0], shed[1]._replace(shed_at=0.9)]
    assert aftermath(work, earlier, patience=5.0).rightly_shed().value == 0.0


def test_a_record_of_unknown_work_was_shed_wrongly() -> None:
    """What is not among the task instances cannot have been late."""
    assert aftermath(shed=[item("unknown", shed_at=1.0, waited=1.0)], patience=0.1).rightly_shed().value == 0.0


def test_what_was_shed_waited_too() -> None:
    """A shed item waits until it is skipped: at 0 all wait but the one that starts at once."""
    found = aftermath().deepest()
    assert (found.value, found.at) == (3, 0.0)


def test_each_skipped_item_must_be_announced_once() -> None:
    """Neither twice, nor not at all, nor one that was not skipped."""
    good = [[f"{RUN}.bronze.3"], [f"{RUN}.bronze.4"]]
    assert aftermath(told=good).untold().value == 0
    assert aftermath(told=good[:1]).untold().value == 1
    assert aftermath(told=[*good, good[0]]).untold().value == 1
    found = aftermath(told=[*good, [f"{RUN}.gold.0"]]).untold()
    assert (found.value, found.detail) == (1, f"{RUN}.gold.0")


def test_arrivals_in_a_pause_are_counted() -> None:
    """What came before or after it does not count; without a pause there is nothing to tell."""
    assert aftermath().arrived_during([{"since": 1.0, "until": 4.0}]).value == 0
    assert aftermath().arrived_during([{"since": 1.0, "until": 4.6}]).value == 1
    assert aftermath().arrived_during([]).value is None


class Upstream:
    """An upstream that served two pieces of work, one of them twice."""

    def log(self, since: float) -> RequestLog:
        """What it served: something of another run, too."""
        assert since == 5.0
        return requests(f"{RUN}.gold.0", f"{RUN}.gold.1", f"{RUN}.gold.1", "other.gold.0")

    def notifications(self, since: float) -> list[dict[str, Any]]:
        """What people were told."""
        assert since == 5.0
        return [{"at": 6.0, "body": ["a", "b"]}]


def test_the_aftermath_is_put_together_from_its_witnesses() -> None:
    """What was shed comes from the record, what was served from the upstream: twice is one piece of work, two calls."""
    noted = {"since": 5.0, "patience": 5.0, "shed": [one._asdict() for one in SHED], "replayed": [1, 0, 1]}
    seen = Aftermath.of(WORK, FIRST, noted, Upstream(), slots=1)
    assert (seen.replayed().value, seen.served().value, seen.calls().value) == (2, 2, 3)
    assert (seen.told, list(seen.shed), seen.patience) == ([["a", "b"]], SHED, 5.0)
    assert (seen.orders().value, seen.skipped().value) == (5, 2)


def test_nothing_is_told_of_no_work() -> None:
    """With the work taken out every measure is without a value."""
    seen = aftermath(timeline(), [])
    measures = [seen.lost("gold"), seen.in_time(), seen.rightly_shed(), seen.untold(), seen.replayed(), seen.deepest()]
    assert [one.value for one in [*measures, seen.arrived_during([{"since": 0.0, "until": 1.0}])]] == [None] * 7
