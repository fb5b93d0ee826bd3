"""Findings, the evidence of a run, and the verdict on it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from backpressure.findings import VERSION, Evidence, Finding, finding, verdict
from backpressure.measures import Measure
from hypothesis import given, settings
from hypothesis import strategies as st

PEAK = Measure(
    5, "peak slots of fetch", "slots", 1_790_000_000.25, "task instances", 9, "fetch[2], fetch[4] overlapped"
)
UNKNOWN = Measure(None, "p95 wait of fetch", "s")


def held(bullet: str, holds: bool | None) -> Finding:  # noqa: FBT001 - the point of it
    """A finding that holds, does not, or was not measured."""
    return finding(bullet, "a claim", (PEAK if holds is not None else UNKNOWN) == (5 if holds else 3))


def test_a_finding_has_the_contract_s_keys() -> None:
    """JSON holds bullet, claim, observed, limit, holds, at in UTC and source, and the comparison in words."""
    data = finding("Set limits", "never more than 3", PEAK <= 3).to_dict()
    assert {key: data[key] for key in ("bullet", "claim", "observed", "limit", "holds", "at", "source")} == {
        "bullet": "Set limits",
        "claim": "never more than 3",
        "observed": 5,
        "limit": 3,
        "holds": False,
        "at": "2026-09-21T14:13:20.250000Z",
        "source": "task instances",
    }
    assert data["comparison"] == "peak slots of fetch: 5 <= 3 slots"
    assert data["parts"][0]["detail"] == "fetch[2], fetch[4] overlapped"


def test_a_joined_finding_lists_its_values() -> None:
    """Several comparisons give lists, in their order."""
    both = finding("Set limits", "never more", (PEAK <= 3) & (PEAK / 2 >= UNKNOWN))
    assert (both.observed, both.limit, both.holds) == ([5, 2.5], [3, None], False)


@pytest.mark.parametrize("comparison", [True, PEAK, None])
def test_only_a_comparison_makes_a_finding(comparison: Any) -> None:
    """A truth value has lost what was measured, so it is refused."""
    with pytest.raises(TypeError, match="needs a measure compared with a limit"):
        finding("Set limits", "claim", comparison)


def test_a_finding_needs_words() -> None:
    """Bullet and claim may not be empty."""
    with pytest.raises(ValueError, match="both are needed"):
        finding(" ", "claim", PEAK == 5)


def test_evidence_survives_json() -> None:
    """What goes through JSON comes back equal: numbers, words, sequences, unknown values and instants."""
    evidence = Evidence(
        "pooled",
        (
            finding("first", "claim", (PEAK == 5) & (UNKNOWN < 0.5 * PEAK)),
            finding("second", "claim", Measure(("a", "b"), "start order", at=1.5) == ["a", "b"]),
            finding("third", "claim", Measure("open", "state", source="breaker") != "closed"),
        ),
    )
    assert Evidence.from_dict(json.loads(json.dumps(evidence.to_dict()))) == evidence
    assert evidence.to_dict()["version"] == VERSION


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text() | st.booleans(),
    st.integers(0, 2_000_000_000_000_000),
)
def test_any_value_survives_json(value: Any, micros: int) -> None:
    """Values and instants to the microsecond come back as they were."""
    evidence = Evidence("s", (finding("b", "c", Measure(value, "m", at=micros / 1_000_000) == value),))
    assert Evidence.from_dict(json.loads(json.dumps(evidence.to_dict()))) == evidence


def test_a_bullet_has_one_finding() -> None:
    """Two findings for one bullet are refused, with the remedy."""
    with pytest.raises(ValueError, match="two findings for bullet 'x': join their comparisons"):
        Evidence("s", (held("x", holds=True), held("x", holds=False)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"version": 99}, "version 99: this release reads 1"),
        ({}, "version None"),
        (None, "version None"),
        ({"version": VERSION}, "not evidence: 'scenario'"),
        ({"version": VERSION, "scenario": "s", "findings": [{}]}, "not a finding"),
        (
            {"version": VERSION, "scenario": "s", "findings": [{"bullet": "b", "claim": "c", "parts": [{"at": None}]}]},
            "not a finding",
        ),
    ],
)
def test_foreign_evidence_is_refused(data: Any, words: str) -> None:
    """What is no evidence, or of another version, is refused in words."""
    with pytest.raises(ValueError, match=words):
        Evidence.from_dict(data)


@pytest.mark.parametrize(
    ("holding", "state", "expected"),
    [
        ([True, False], "success", "as expected"),
        ([True, True], "success", "not as expected"),
        ([False, False], "success", "not as expected"),
        ([None, False], "success", "not measured"),
        ([True, None], "success", "not measured"),
        ([None, True], "success", "not as expected"),
        ([True, False], "failed", "not as expected"),
        ([None, None], "failed", "not as expected"),
        ([True, False], None, "not measured"),
        ([True], "success", "not measured"),
        ([], "success", "not measured"),
    ],
)
def test_verdicts(holding: list[bool | None], state: str | None, expected: str) -> None:
    """Bullet A must hold and B must not: what was measured and contradicts goes before what was not measured."""
    evidence = Evidence("s", tuple(held(bullet, holds) for bullet, holds in zip("AB", holding, strict=False)))
    assert verdict(evidence, state, "success", ["A"], ["A", "B"]).verdict == expected


def test_no_evidence_is_not_measured() -> None:
    """A run whose evidence is missing was not measured, unless it ended in the wrong state."""
    assert verdict(None, "failed", "failed", ["A"]).verdict == "not measured"
    assert verdict(None, "success", "failed", ["A"]).verdict == "not as expected"


def test_a_bullet_that_nobody_knows_is_not_as_expected() -> None:
    """A finding whose bullet is not in the manifest is a defect of the lesson."""
    word, reasons = verdict(Evidence("s", (held("Z", holds=False),)), "success", "success", [], ["A"])
    assert word == "not as expected"
    assert reasons[0] == "Z: the manifest has no such bullet"


def test_reasons_quote_the_evidence() -> None:
    """Each reason names the bullet, what was observed, the limit, the instant and who was involved."""
    outcome = verdict(Evidence("s", (finding("A", "c", PEAK <= 3),)), "failed", "success", ["A"])
    assert outcome.reasons == (
        "the run ended failed, expected success",
        (
            "A: does not hold, expected otherwise, peak slots of fetch: 5 <= 3 slots at 2026-09-21T14:13:20.250000Z "
            "(fetch[2], fetch[4] overlapped)"
        ),
    )
    assert verdict(Evidence("s", (held("A", holds=True),)), "success", "success", ["A"]).reasons == ()
