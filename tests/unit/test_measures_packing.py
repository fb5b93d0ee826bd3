"""How jobs were packed, told from made-up records."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.packing import Packed, booked


def record(times: tuple[int, int, int], kind: str, memory: float, connections: float) -> dict[str, Any]:
    """A task instance with its result, let go, begun and done at these seconds of a minute."""
    let_go, begun, done = times
    return {
        "run_after": f"1970-01-01T00:00:{let_go:02}+00:00",
        "dag_run_id": "manual__1__here-7",
        "result": {
            "kind": kind,
            "used": {"memory": memory, "connections": connections},
            "since": float(begun),
            "until": float(done),
        },
    }


BUDGET = {"memory": 100, "connections": 4}
RECORDS = [
    record((12, 13, 15), "small", 10, 2),
    record((10, 10, 12), "large", 80, 0),
    record((11, 12, 14), "small", 30, 2),
]
PACKED = Packed.of(RECORDS, BUDGET, "here")


def test_use_is_a_share_of_the_budget() -> None:
    """At second 11 memory may be 110 of 100, though not all has begun; at second 12 all connections may be open."""
    assert PACKED.peak("memory").value == pytest.approx(1.1)
    assert PACKED.peak("connections").value == 1
    assert PACKED.makespan().value == 5


def test_use_of_every_resource_at_once_is_that_of_the_least_used() -> None:
    """At second 11 half of the connections may be open, and at second 12 no more than 40 of 100 of the memory."""
    assert PACKED.together().value == 0.5
    assert PACKED.together().at == 11


def test_a_job_fits_if_all_resources_suffice() -> None:
    """The second of three was let go into too little memory; one waited for the end of another."""
    assert PACKED.fitting().value == pytest.approx(2 / 3)
    assert PACKED.waited().value == 1


def test_the_worst_prediction_counts() -> None:
    """20 foreseen for a job that used 10 is off by 1; what was not used cannot be foreseen wrongly."""
    assert PACKED.misjudged("memory", {"small": 20, "large": 80}).value == pytest.approx(1)
    assert Packed.of(RECORDS[1:2], BUDGET, "here").misjudged("connections", {"large": 3}).value is None


def test_what_is_used_should_be_booked() -> None:
    """Samples without use say nothing; one of two was booked in full."""
    samples = [{"used": 0, "booked": 0}, {"used": 2, "booked": 2}, {"used": 4, "booked": 2}]
    assert booked(samples).value == 0.5
    assert booked([]).value is None


def test_without_jobs_nothing_is_measured() -> None:
    """No jobs have no peak, no use, no waits and no span."""
    idle = Packed.of([], BUDGET, "here")
    measures = (idle.peak("memory"), idle.together(), idle.makespan(), idle.fitting(), idle.waited())
    assert [one.value for one in measures] == [None] * 5
    assert idle.misjudged("memory", {}).value is None
