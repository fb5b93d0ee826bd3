"""Findings: what a lesson claims, what was observed, and the verdict on a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from backpressure.measures.measure import Comparison, Part

if TYPE_CHECKING:
    from backpressure.measures.measure import Value

__all__ = ["VERSION", "Evidence", "Finding", "Outcome", "Verdict", "finding", "told", "verdict"]

VERSION = 1
Verdict = Literal["as expected", "not as expected", "not measured"]


@dataclass(frozen=True)
class Finding:
    """One claim of a lesson, and whether it held in this run.

    Attributes:
        bullet: the checklist's words, which the manifest knows.
        claim: what the lesson says, in terms of its own workload.
        comparison: what was measured, against which limit.
    """

    bullet: str
    claim: str
    comparison: Comparison

    def __str__(self) -> str:
        mark = {True: "holds", False: "does not hold", None: "not measured"}[self.holds]
        return f"{self.bullet}: {mark}. {told(self)}"

    @property
    def holds(self) -> bool | None:
        """Whether the claim held; None when it could not be measured."""
        return self.comparison.holds

    @property
    def observed(self) -> Any:
        """The value measured; a list when the finding joins several comparisons."""
        return _one_or_list([part.observed for part in self.comparison.parts])

    @property
    def limit(self) -> Any:
        """What it was compared with; a list when the finding joins several comparisons."""
        return _one_or_list([part.limit for part in self.comparison.parts])

    @property
    def at(self) -> str | None:
        """The instant that decided it: ISO 8601, UTC."""
        return _iso(self.comparison.at)

    @property
    def source(self) -> str:
        """What it was measured on."""
        return self.comparison.source

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON knows it: the contract's keys, ``comparison`` in words, and its parts."""
        return {
            "bullet": self.bullet,
            "claim": self.claim,
            "observed": self.observed,
            "limit": self.limit,
            "holds": self.holds,
            "at": self.at,
            "source": self.source,
            "comparison": str(self.comparison),
            "parts": [_part_to_dict(part) for part in self.comparison.parts],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Finding:
        """What :meth:`to_dict` gave.

        Raises:
            ValueError: a key is missing or unknown.
        """
        try:
            parts = tuple(_part_from_dict(part) for part in data["parts"])
            return cls(data["bullet"], data["claim"], Comparison(parts))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a finding: {error}") from error


def finding(bullet: str, claim: str, comparison: Comparison) -> Finding:
    """State a claim: ``finding("Set pool slot limits", "never more than 3 slots", peak(work, slots=True) == 3)``.

    Raises:
        ValueError: an empty bullet or claim.
        TypeError: something other than a comparison, such as the bool of a plain ``==``.
    """
    if not bullet.strip() or not claim.strip():
        raise ValueError(f"bullet {bullet!r} with claim {claim!r}: both are needed")
    if not isinstance(comparison, Comparison):
        raise TypeError(f"finding {bullet!r} needs a measure compared with a limit, not {comparison!r}")
    return Finding(bullet, claim, comparison)


@dataclass(frozen=True)
class Evidence:
    """The findings of one run of one scenario, one for each bullet.

    Raises:
        ValueError: two findings have the same bullet.
    """

    scenario: str
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", tuple(self.findings))
        bullets = [one.bullet for one in self.findings]
        for bullet in bullets:
            if bullets.count(bullet) > 1:
                raise ValueError(f"two findings for bullet {bullet!r}: join their comparisons with &")

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The evidence as JSON knows it."""
        return {"version": VERSION, "scenario": self.scenario, "findings": [one.to_dict() for one in self.findings]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evidence:
        """What :meth:`to_dict` gave, through JSON or not.

        Raises:
            ValueError: it is no evidence, or of another version.
        """
        version = data.get("version") if isinstance(data, Mapping) else None
        if version != VERSION:
            raise ValueError(f"evidence of version {version!r}: this release reads {VERSION}, run the lesson again")
        try:
            return cls(data["scenario"], tuple(Finding.from_dict(one) for one in data["findings"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not evidence: {error}") from error


class Outcome(NamedTuple):
    """The verdict on a run, and why, one line for each reason.

    Attributes:
        verdict: "as expected", "not as expected" or "not measured".
        reasons: empty when all was as expected.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()


def verdict(
    evidence: Evidence | None,
    state: str | None,
    expected_state: str,
    holds: Collection[str],
    bullets: Collection[str] | None = None,
) -> Outcome:
    """Compare a run with what the manifest says of its scenario.

    Every bullet must hold exactly when it is listed. What was measured and contradicts that, a finding or the state,
    makes the run not as expected, whatever else could not be measured: repeating it would hide a defect. Only where
    nothing contradicts does anything unmeasured make it not measured.

    Args:
        evidence: the run's findings; None when there are none.
        state: how the run ended; None when it has not.
        expected_state: how it must end.
        holds: the bullets that must hold; all others must not.
        bullets: all bullets of the item, each of which needs a finding; those in ``holds`` when left out.
    """
    wrong: list[str] = []
    unmeasured: list[str] = []
    if state is None:
        unmeasured.append(f"the run has not ended (expected {expected_state})")
    elif state != expected_state:
        wrong.append(f"the run ended {state}, expected {expected_state}")
    found = {one.bullet: one for one in evidence or ()}
    needed = dict.fromkeys([*(bullets if bullets is not None else holds), *holds])
    unmeasured += [f"{bullet}: no finding" for bullet in needed if bullet not in found]
    for one in found.values():
        if bullets is not None and one.bullet not in bullets:
            wrong.append(f"{one.bullet}: the manifest has no such bullet")
        elif one.holds is None:
            unmeasured.append(f"{one.bullet}: not measured, {told(one)}")
        elif one.holds != (one.bullet in holds):
            wrong.append(f"{one.bullet}: {'holds' if one.holds else 'does not hold'}, expected otherwise, {told(one)}")
    if wrong:
        return Outcome("not as expected", (*wrong, *unmeasured))
    return Outcome("not measured", tuple(unmeasured)) if unmeasured else Outcome("as expected")


def told(one: Finding) -> str:
    """What was compared, when, and who was involved."""
    details = "; ".join(dict.fromkeys(part.detail for part in one.comparison.parts if part.detail))
    return f"{one.comparison}" + (f" at {one.at}" if one.at else "") + (f" ({details})" if details else "")


def _iso(instant: float | None) -> str | None:
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _one_or_list(values: list[Value]) -> Any:
    plain = [list(value) if isinstance(value, tuple) else value for value in values]
    return plain[0] if len(plain) == 1 else plain


def _part_to_dict(part: Part) -> dict[str, Any]:
    values: Iterable[tuple[str, Any]] = ((field.name, getattr(part, field.name)) for field in fields(part))
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    return plain | {"at": _iso(part.at), "curve": [list(point) for point in part.curve]}


def _part_from_dict(data: Mapping[str, Any]) -> Part:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    values["curve"] = tuple((float(when), value) for when, value in values.get("curve", ()))
    if values["at"] is not None:
        values["at"] = datetime.fromisoformat(values["at"]).timestamp()
    return Part(**values)
