"""What came of experiments with faults: whom they hit, who got over it, and whether all was steady again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from backpressure.measures.measure import Comparison, Measure
from backpressure.measures.samples import share

if TYPE_CHECKING:
    from backpressure.timeline import Timeline

__all__ = ["Ordeal"]

CANARY, RECORD, PROCESSES = "canary", "experiments", "process table"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Ordeal:
    """A series of experiments.

    Attributes:
        experiments: each as :func:`backpressure.chaos.carry_out` tells it.
        beats: what :class:`backpressure.chaos.Canary` noted all the while.
    """

    experiments: Sequence[Record]
    beats: Sequence[Record]

    def struck(self, name: str) -> Measure:
        """How many beats the fault hit: of those on their way meanwhile, how many had an attempt that failed."""
        hit = [beat for beat in self._during(name) if beat["errors"]]
        kinds = ", ".join(sorted({error for beat in hit for error in beat["errors"]}))
        at = hit[0]["due"] if hit else None
        value = len(hit) if self._during(name) else None
        return Measure(value, f"beats hit by {name}", "", at, CANARY, len(self.beats), kinds)

    def survived(self, name: str) -> Measure:
        """Which part of the beats that were on their way meanwhile went well in the end."""
        beats = self._during(name)
        value = sum(beat["ok"] for beat in beats) / len(beats) if beats else None
        lost = next((beat["due"] for beat in beats if not beat["ok"]), None)
        return Measure(value, f"beats that survived {name}", "", lost, CANARY, len(beats))

    def got_over(self, name: str) -> Comparison:
        """Whether the fault hit somebody, and every beat went well in the end."""
        return (self.struck(name) >= 1) & (self.survived(name) == 1)

    def replaced(self, name: str) -> Comparison:
        """Whether another process took the place of the killed one."""
        after = self.told(name, "replaced_by", f"process of the {name}", PROCESSES)
        return after != self.told(name, "killed", "the killed one", PROCESSES)

    def soon(self, work: Timeline, name: str, seconds: float) -> Measure:
        """Which part of the task instances ran, for the last time, within so many seconds of an experiment's kill."""
        one = self._named(name)
        late = [start - one["killed_at"] for start in work.start.tolist()] if one else []
        return share((0 < since <= seconds for since in late), "killed and running again soon", of=work)

    def told(self, name: str, key: str, label: str, source: str) -> Measure:
        """What an experiment told of itself."""
        one = self._named(name)
        value = one.get(key) if one else None
        return Measure(value, label, "", one["began"] if one else None, source, int(value is not None))

    def order(self) -> Measure:
        """The experiments in the order in which they ran, none at the same time as another; no value without any."""
        ran = sorted(self.experiments, key=lambda one: one["began"])
        apart = all(one["ended"] <= other["began"] for one, other in pairwise(ran))
        names = tuple(one["name"] for one in ran) if apart else ()
        return Measure(names if ran else None, "faults, one at a time", source=RECORD, samples=len(ran))

    def steady(self) -> Measure:
        """How many experiments found the system steady, and left it so."""
        so = [one for one in self.experiments if one["before"] and one["after"]]
        value = len(so) if self.experiments else None
        return Measure(value, "experiments with a steady state before and after", source=CANARY, samples=len(so))

    def unharmed(self) -> Measure:
        """During how many experiments every beat went well in the end."""
        known = [one["name"] for one in self.experiments if self._during(one["name"])]
        bad = [name for name in known if self.survived(name).value != 1]
        value = len(known) - len(bad) if known else None
        return Measure(value, "experiments in which no beat was lost", "", None, CANARY, len(known), ", ".join(bad))

    def picture(self, title: str) -> str:
        """The beats as an SVG: how long each took, and how many attempts failed; with a mark for each fault."""
        from backpressure.dashboard import Panel, draw  # noqa: PLC0415 - not while a DAG file is parsed

        beats = sorted(self.beats, key=lambda beat: float(beat["due"]))
        panels = [
            Panel("Time of a beat", [(beat["due"], beat["ended"] - beat["due"]) for beat in beats], "s"),
            Panel("Attempts that failed", [(beat["due"], len(beat["errors"])) for beat in beats]),
            Panel("Beats that were lost", [(beat["due"], int(not beat["ok"])) for beat in beats]),
        ]
        return (
            ""
            if not beats
            else draw(panels, title=title, marks=[(one["began"], one["name"]) for one in self.experiments])
        )

    def _named(self, name: str) -> Record | None:
        return next((one for one in self.experiments if one["name"] == name), None)

    def _during(self, name: str) -> list[Record]:
        one = self._named(name)
        return [b for b in self.beats if one and b["due"] < one["ended"] and b["ended"] > one["began"]]
