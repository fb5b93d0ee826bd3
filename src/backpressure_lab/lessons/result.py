"""What came of one run of a lesson, and where the last one of each scenario is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backpressure.findings import Evidence, verdict

from backpressure_lab.errors import NOT_AS_EXPECTED, NOT_MEASURED
from backpressure_lab.files import write_json
from backpressure_lab.manifest import Item
from backpressure_lab.stack.layout import Layout

AS_EXPECTED = "as expected"
_CODES = {AS_EXPECTED: 0, "not as expected": NOT_AS_EXPECTED, "not measured": NOT_MEASURED}


@dataclass(frozen=True)
class Result:
    """One run of one scenario, compared with the manifest.

    ``records`` are the run's task instances as Airflow lists them, helper runs included.
    """

    item: Item
    scenario: str
    run_id: str
    state: str
    evidence: Evidence
    seconds: float
    records: Sequence[dict[str, Any]] = field(repr=False, default=())
    trouble: tuple[str, ...] = ()

    @property
    def expected_state(self) -> str:
        """The state in which the manifest says that the run ends."""
        return self.item.scenarios[self.scenario].state

    @property
    def verdict(self) -> str:
        """``as expected``, ``not as expected`` or ``not measured``."""
        return self._judged()[0]

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is not ``as expected``, one line each."""
        return [*self.trouble, *self._judged()[1]]

    @property
    def code(self) -> int:
        """The exit code of a command that shows this result."""
        return _CODES[self.verdict]

    def _judged(self) -> tuple[str, list[str]]:
        bullets = self.item.checklist
        holds = self.item.scenarios[self.scenario].holds
        outcome = verdict(self.evidence, self.state, self.expected_state, holds, bullets)
        return str(outcome.verdict), list(outcome.reasons)

    def as_json(self) -> dict[str, Any]:
        """The contract's JSON of ``./lab run``."""
        return {
            "item": self.item.id,
            "scenario": self.scenario,
            "dag_id": self.item.dag_id,
            "run_id": self.run_id,
            "state": self.state,
            "expected_state": self.expected_state,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 1),
            "findings": [finding.to_dict() for finding in self.evidence.findings],
            "reasons": self.reasons,
        }

    def keep(self, layout: Layout) -> None:
        """Keep it as the last result of its scenario, with the records that it was measured on."""
        path = layout.home / "results" / f"{self.item.dag_id}.{self.scenario}.json"
        write_json(path, self.as_json() | {"records": list(self.records)})


def kept(layout: Layout, item: Item) -> dict[str, str]:
    """The verdict of the last run of each scenario that was run."""
    found = {}
    for scenario in item.scenarios:
        path = layout.home / "results" / f"{item.dag_id}.{scenario}.json"
        try:
            found[scenario] = str(json.loads(path.read_text(encoding="utf-8"))["verdict"])
        except (OSError, ValueError, KeyError):
            continue
    return found
