"""What came of one run of a lesson, and where the last one of each scenario is kept."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backpressure.airflow.tape import Tape
from backpressure.findings import VERSION, Evidence, verdict

from backpressure_lab.errors import NOT_AS_EXPECTED, NOT_MEASURED
from backpressure_lab.files import write_json
from backpressure_lab.manifest import Item
from backpressure_lab.stack.layout import Layout

AS_EXPECTED = "as expected"
_CODES = {AS_EXPECTED: 0, "not as expected": NOT_AS_EXPECTED, "not measured": NOT_MEASURED}
REMEMBERED = 10
"""How many runs of a scenario are remembered."""


@dataclass(frozen=True)
class Result:
    """One run of one scenario, compared with the manifest.

    Attributes:
        state: how the run ended; empty when there was none.
        records: the run's task instances as Airflow lists them, helper runs included.
        trouble: what kept the run from giving evidence.
        left: what the run had changed and not given back by itself.
        heard: what its judge was told, to judge on again; None when that was not kept.
        at: when it was over (epoch s).
    """

    item: Item
    scenario: str
    run_id: str
    state: str
    evidence: Evidence
    seconds: float
    records: Sequence[dict[str, Any]] = field(repr=False, default=())
    trouble: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    heard: Tape | None = field(repr=False, default=None)
    at: float = field(default_factory=lambda: dt.datetime.now(dt.UTC).timestamp())

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
        return [*self.trouble, *self._judged()[1], *self.left]

    @property
    def code(self) -> int:
        """The exit code of a command that shows this result."""
        return _CODES[self.verdict]

    @property
    def held(self) -> int:
        """How many findings hold."""
        return sum(finding.holds is True for finding in self.evidence)

    def _judged(self) -> tuple[str, list[str]]:
        bullets = self.item.checklist
        holds = self.item.scenarios[self.scenario].holds
        outcome = verdict(self.evidence, self.state or None, self.expected_state, holds, bullets)
        return "not as expected" if self.left else str(outcome.verdict), list(outcome.reasons)

    def as_json(self) -> dict[str, Any]:
        """The contract's JSON of ``./lab run``."""
        return {
            "item": self.item.id,
            "scenario": self.scenario,
            "dag_id": self.item.dag_id,
            "run_id": self.run_id,
            "state": self.state or None,
            "expected_state": self.expected_state,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 1),
            "findings": [finding.to_dict() for finding in self.evidence.findings],
            "reasons": self.reasons,
            "at": dt.datetime.fromtimestamp(self.at, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }

    def keep(self, layout: Layout) -> None:
        """Keep it as the last result of its scenario, with the records and the tape that it was measured on.

        How earlier runs came out is remembered with it, for as long as the lesson's file stays as it is.
        """
        path = path_of(layout, self.item, self.scenario)
        digest = _digest(layout.root / self.item.file)
        before = _read(path)
        earlier = before.get("runs", []) if before.get("digest") == digest else []
        signs = {finding.bullet: finding.holds for finding in self.evidence}
        runs = [*earlier, {"run_id": self.run_id, "verdict": self.verdict, "holds": signs}][-REMEMBERED:]
        extra = {"digest": digest, "runs": runs, "left": list(self.left), "records": list(self.records)}
        write_json(path, self.as_json() | extra)
        if self.heard:
            write_json(_tape_path(path), self.heard.packed())
        else:
            _tape_path(path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Kept:
    """The last result of a scenario as it was kept.

    Attributes:
        data: its JSON, with ``records``, ``left`` and ``runs``.
        heard: what the judge was told; None when that was not kept.
    """

    data: dict[str, Any]
    heard: Tape | None

    @property
    def evidence(self) -> Evidence:
        """The findings."""
        return Evidence.from_dict({"version": VERSION, **{key: self.data[key] for key in ("scenario", "findings")}})


def path_of(layout: Layout, item: Item, scenario: str) -> Path:
    """Where the last result of a scenario is kept."""
    return layout.home / "results" / f"{item.dag_id}.{scenario}.json"


def kept(layout: Layout, item: Item) -> dict[str, str]:
    """The verdict of the last run of each scenario that was run."""
    found = {}
    for scenario in item.scenarios:
        data = _read(path_of(layout, item, scenario))
        if "verdict" in data:
            found[scenario] = str(data["verdict"])
    return found


def load_kept(layout: Layout, item: Item, scenario: str) -> Kept | None:
    """The last result of a scenario, with its tape; None when it was not run, or its file cannot be read."""
    path = path_of(layout, item, scenario)
    data = _read(path)
    if not {"verdict", "findings", "records", "runs", "left", "digest"} <= set(data):
        return None
    heard = None
    with contextlib.suppress(ValueError):
        heard = Tape.unpacked(_read(_tape_path(path)))
    one = Kept(data, heard)
    try:
        len(one.evidence)
    except ValueError:  # of another version, or edited
        return None
    return one


def is_current(layout: Layout, item: Item, one: Kept) -> bool:
    """Whether a kept result is of the lesson's file as it is."""
    return bool(one.data["digest"] == _digest(layout.root / item.file))


def _tape_path(path: Path) -> Path:
    return path.with_suffix(".tape")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    """A kept file; empty when it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
