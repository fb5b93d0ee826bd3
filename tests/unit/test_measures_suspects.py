"""Tasks that differ from the others of their kind, on made-up results and logs."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.measures.suspects import explained, named, outliers, own, spread_of


def jobs(*seconds: float) -> list[dict[str, Any]]:
    """Task instances that took so long by their own clocks."""
    return [{"task_id": "job", "map_index": index, "result": {"seconds": one}} for index, one in enumerate(seconds)]


ODD = jobs(0.3, 0.31, 6.3, 0.35, 0.3, 2.4, 0.4, 0.32)


def test_outliers_are_far_from_the_median_by_its_own_deviation() -> None:
    """Both of two are found, however far the farther one is; of like tasks none is."""
    assert outliers(own(ODD, "seconds")) == ["job[2]", "job[5]"]
    assert outliers(own(jobs(0.3, 0.31, 0.35, 0.3, 0.4, 0.32), "seconds")) == []
    assert outliers(own(jobs(0.3, 9.0, 0.3), "seconds")) == []


def test_a_moment_without_the_processor_makes_no_outlier() -> None:
    """Where all others take nearly the same, half as much again is far from them, and means nothing."""
    assert outliers(own(jobs(0.37, 0.37, 0.38, 0.37, 0.6, 0.37, 2.4, 9.4), "seconds")) == ["job[7]", "job[6]"]


def test_the_highest_is_told_by_the_median() -> None:
    """With who it is; too few tell nothing."""
    found = spread_of(ODD, "seconds", "longest", "jobs")
    assert found.value == pytest.approx(6.3 / 0.335)
    assert found.detail.startswith("job[2] has 6.3")
    assert spread_of(ODD[:3], "seconds", "longest", "jobs").value is None
    assert spread_of([], "seconds", "longest", "jobs").value is None


def test_outliers_are_named_in_the_order_of_their_names() -> None:
    """None is an answer where there are enough tasks, and no value where there are not."""
    assert named(ODD, "seconds", "slow", "jobs").value == ("job[2]", "job[5]")
    assert named(jobs(1, 1, 1, 1), "seconds", "slow", "jobs").value == ()
    assert named([], "seconds", "slow", "jobs").value is None


def test_a_log_explains_a_task_by_the_phase_that_took_most_of_its_time() -> None:
    """Where no phase took more than half, or the log has none, nothing is explained."""
    logs = {
        "job[2]": [{"phase": "fetch", "seconds": 6.0}, {"phase": "compute", "seconds": 0.1}],
        "job[5]": [{"phase": "fetch", "seconds": 1.0}, {"phase": "compute", "seconds": 1.0}],
        "job[6]": [],
    }
    assert explained(logs, ["job[2]", "job[5]", "job[6]"]).value == ("job[2]: fetch",)
    assert explained(logs, []).value == ()
    assert explained({}, ["job[2]"]).value is None
