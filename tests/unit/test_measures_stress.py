"""Knee, limit and failure mode, told from made-up steps."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.dashboard import read
from backpressure.load import Call
from backpressure.measures.stress import Stress, knee_of, limit_of, step
from backpressure.request_log import RequestLog


def log(*busy: tuple[float, float]) -> RequestLog:
    """Requests in service from one instant to another."""
    columns: dict[str, Any] = {name: [0] * len(busy) for name in ("id", "bytes")}
    columns |= {name: [""] * len(busy) for name in ("lane", "key", "path", "request_id", "status")}
    columns |= {"arrival": [at for at, _ in busy], "start": [at for at, _ in busy], "finish": [end for _, end in busy]}
    return RequestLog(columns | {"retry_after": [float("nan")] * len(busy)}, now=100.0)


def made(number: int, began: float, rate: float, p50: float | None, refused: int = 0) -> dict[str, Any]:
    """A step of two seconds."""
    error = "TooManyConnectionsError" if refused else "none"
    head = {"number": number, "began": began, "ended": began + 2.0}
    return head | {"rate": rate, "p50": p50, "refused": refused, "error": error}


# A partner that bears 4 calls at once, and a server that takes 12 sessions.
RAMP = [
    made(2, 0.0, 10.0, 0.2),
    made(4, 2.0, 20.0, 0.2),
    made(6, 4.0, 21.0, 0.3),
    made(11, 6.0, 20.0, 0.55),
    made(16, 8.0, 20.0, 0.6, refused=4),
]
LATER = {"after": made(2, 10.0, 10.0, 0.21), "limit": made(11, 12.0, 20.0, 0.55), "margin": made(2, 14.0, 10.0, 0.2)}
SAMPLES = [{"at": at, "total": total} for at, total in [(1.0, 2), (3.0, 4), (5.0, 6), (7.0, 11), (9.0, 12), (11.0, 2)]]
STRESS = Stress({"ramp": RAMP} | LATER, SAMPLES, log(*[(12.0, 14.0)] * 4))
SHORT = Stress({"ramp": RAMP[:2], "after": RAMP[0], "limit": RAMP[1]}, SAMPLES[:2], log((0.0, 1.0)))
NOTHING = Stress({}, [], log())


def test_a_step_tells_rate_time_and_refusals() -> None:
    """Two calls in half a second are four a second; a refusal counts by its class and not by its time."""
    calls = [Call(1.0, 1.0, 1.2), Call(1.2, 1.2, 1.5), Call(1.0, 1.0, 1.0, "TooManyConnectionsError")]
    found = step(3, calls)
    assert (found["rate"], found["refused"], found["error"]) == (4.0, 1, "TooManyConnectionsError")
    assert found["p50"] == pytest.approx(0.25)
    assert step(3, calls[2:])["p50"] is None


def test_the_knee_is_where_more_sessions_add_nothing() -> None:
    """Two more sessions doubled the work, two more did not; a ramp that ends before has its last step for a knee."""
    assert (knee_of(RAMP), knee_of(RAMP[:2]), knee_of([])) == (4, 4, 0)
    assert STRESS.beyond().value == 2
    assert STRESS.gain_beyond().value == pytest.approx((21 / 20 - 1) / 0.5)
    assert (SHORT.beyond().value, SHORT.gain_beyond().value) == (0, None)


def test_the_limit_is_the_last_step_without_a_refusal() -> None:
    """Eleven were served, of sixteen some were not."""
    assert (limit_of(RAMP), limit_of([RAMP[-1]])) == (11, 0)
    assert (STRESS.failing().value, STRESS.error().value) == (1, "TooManyConnectionsError")
    assert (SHORT.failing().value, SHORT.error().value, SHORT.refused_before_drop().value) == (0, "none", 0)


def test_witnesses_tell_what_was_full() -> None:
    """The server's sessions rise from step to step, and the partner serves four calls at once at the limit."""
    assert (STRESS.rising().value, STRESS.most_sessions().value) == (1, 12)
    assert STRESS.busy("limit").value == pytest.approx(4.0)


def test_time_is_compared_with_the_first_step() -> None:
    """At the limit a call takes almost three times as long; after the drop about as long as at first."""
    assert STRESS.slowdown("limit").value == pytest.approx(2.75)
    assert STRESS.slowdown("after").value == pytest.approx(1.05)
    assert (STRESS.refused("after").value, STRESS.sessions("limit").value) == (0, 11)


def test_without_a_test_nothing_is_known() -> None:
    """No step, no figure."""
    found = [NOTHING.rising(), NOTHING.failing(), NOTHING.most_sessions(), NOTHING.error(), NOTHING.busy("limit")]
    found += [NOTHING.slowdown("limit"), NOTHING.refused("after"), NOTHING.beyond(), NOTHING.gain_beyond()]
    assert {one.value for one in found} == {None}
    assert NOTHING.document()


def test_the_picture_shows_steps_and_limits() -> None:
    """Four panels, of which two have the limit drawn in; a refusal is seen."""
    panels = read(STRESS.picture("Stress", 12, 4))
    assert [panel.limit for panel in panels.values()] == [12, 4, None, None]
    assert max(value for _, value in panels["Sessions refused"].points) == pytest.approx(4)


def test_the_document_says_when_the_knee_was_not_found() -> None:
    """A ramp that stops in good times has found no knee, and its page does not claim one."""
    assert "Knee: 4 sessions.\n" in STRESS.document()
    assert "the ramp did not get there" in SHORT.document()
