"""What a learner says will happen, kept until it has happened, and then compared with what did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from backpressure.airflow.run import CONTROL_POOL
from backpressure.timeline import Timeline

from backpressure_lab.exercises import learner
from backpressure_lab.files import write_json
from backpressure_lab.render.prediction import PredictionTable, Said

FILE = ".predictions.json"
_VERSION = 1


@dataclass(frozen=True)
class Prediction:
    """What is said of a run, or what happened in it; nothing was said of what is None or left out.

    Attributes:
        peak: the most task instances of the work that run at once; control tasks do not count.
        waiting: how many of them wait as ``scheduled`` until another has ended: for a slot, or for another limit.
        order: tasks by when the first instance of each starts.
        holds: bullets of a lesson, and whether they hold.
    """

    peak: int | None = None
    waiting: int | None = None
    order: tuple[str, ...] = ()
    holds: Mapping[str, bool] = field(default_factory=dict)

    @classmethod
    def of_run(cls, records: Sequence[Mapping[str, Any]], holds: Mapping[str, bool | None] | None = None) -> Prediction:
        """What happened, from task instances as Airflow lists them and from the findings."""
        work = Timeline.from_records(one for one in records if one["pool"] != CONTROL_POOL)
        running = work.intervals().peak()
        freed = float(np.nanmin(work.end)) if np.isfinite(work.end).any() else np.inf
        waited = (work.scheduled < freed) & ~(work.queued < freed) & np.isfinite(work.queued)
        first = {name: float(np.nanmin(rows.start)) for name, rows in work.by("task_id").items() if _any(rows)}
        known = {bullet: one for bullet, one in (holds or {}).items() if one is not None}
        order = tuple(sorted(first, key=first.__getitem__))
        return cls(int(running.value) if running else 0, int(waited.sum()), order, known)


def compare(said: Prediction, happened: Prediction) -> Iterable[Said]:
    """Each thing that was said beside what happened."""
    for about, mine, real in (
        ("most at once", said.peak, happened.peak),
        ("wait until another has ended", said.waiting, happened.waiting),
    ):
        if mine is not None:
            yield Said(about, str(mine), str(real), mine == real)
    if said.order:
        real_order = tuple(name for name in happened.order if name in said.order)
        yield Said("order of the first starts", ", ".join(said.order), ", ".join(real_order), said.order == real_order)
    for bullet, mine in said.holds.items():
        real = happened.holds.get(bullet)
        yield Said(bullet, _word(mine), _word(real), None if real is None else mine == real)


class Predictions:
    """The learner's predictions of what has not run yet; ``path`` is the file."""

    def __init__(self, work: Path) -> None:
        self.path = work / FILE
        self._said: dict[str, Prediction] = learner.read(self.path, _VERSION, _read, {})

    def say(self, what: str, said: Prediction) -> None:
        """Keep what is said of the next run of something, instead of what was said before."""
        self._write({**self._said, what: said})

    def reveal(
        self, what: str, records: Sequence[Mapping[str, Any]], holds: Mapping[str, bool | None] | None = None
    ) -> PredictionTable | None:
        """What was said of this run beside what happened; nothing when nothing was said. It is forgotten then."""
        said = self._said.get(what)
        if said is None:
            return None
        self._write({name: one for name, one in self._said.items() if name != what})
        return PredictionTable(compare(said, Prediction.of_run(records, holds)))

    def _write(self, said: dict[str, Prediction]) -> None:
        self._said = said
        write_json(self.path, {"version": _VERSION, "predictions": {name: asdict(one) for name, one in said.items()}})


def _read(found: dict[str, Any]) -> dict[str, Prediction]:
    return {name: Prediction(**one | {"order": tuple(one["order"])}) for name, one in found["predictions"].items()}


def _any(rows: Timeline) -> bool:
    return bool(np.isfinite(rows.start).any())


def _word(holds: bool | None) -> str:  # noqa: FBT001 - a finding's value
    return {True: "holds", False: "does not hold", None: "not measured"}[holds]
