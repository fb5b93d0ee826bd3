"""What records say of a lesson's cases: the reader's part.

With :class:`backpressure.airflow.cases.Cases`, which makes the cases and gives them faults, it shares the names of
DAGs, pools and lanes and nothing else: it asks Airflow, its audit log, the tasks' logs and the partner's log, and never
what was injected.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backpressure.airflow.response import resizes
from backpressure.airflow.run import EXECUTION_STATES
from backpressure.diagnosis import Diagnosis, Profile, lost, onset, profile
from backpressure.phases import Phase, phases

if TYPE_CHECKING:
    from backpressure.airflow.cases import Cases

__all__ = ["Book", "Seen"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What is seen of a case beside the times.

    Attributes:
        slots: of its pool now.
        usual_slots: that it is meant to have.
        strangers: tasks of other DAGs that hold slots of it.
        orders: that came now.
        usual_orders: that came when all was well.
    """

    slots: int
    usual_slots: int
    strangers: int
    orders: int
    usual_orders: int


class Book:
    """The records of all cases at one instant: a wave of orders when all was well, and the one that is looked at.

    Args:
        cases: which.
        worth: seconds that a step must take longer than usual to count as slow.
    """

    def __init__(self, cases: Cases, worth: float) -> None:
        self._cases, self._worth, self.at = cases, worth, time.time()
        self._waves = {label: self._by_case(label) for label in ("usual", "now")}
        self._logs = {label: {case: self._log(wave) for case, wave in of.items()} for label, of in self._waves.items()}
        self._others = [one for one in cases.records("reports") if one["state"] in EXECUTION_STATES]
        self.lost: dict[str, Profile] = lost(self._profiles("usual"), self._profiles("now"))

    def seen(self, case: str) -> Seen:
        """What is seen of a case beside the times."""
        pool = self._cases.pools[case]
        return Seen(
            self._cases.run.pool(pool).slots,
            self._cases.slots,
            sum(one["pool"] == pool for one in self._others),
            len(self._waves["now"][case]),
            len(self._waves["usual"][case]),
        )

    def requests(self) -> list[str]:
        """The ids of all requests that the tasks' logs name."""
        steps = [one for wave in self._logs.values() for logs in wave.values() for log in logs.values() for one in log]
        return [one["request"] for one in steps if one.get("request")]

    def diagnosis(self, case: str, cause: str) -> Diagnosis:
        """The finding on a case, with the time between the last sign that all was well and the first of the cause."""
        losses = self.lost[case]
        where = max(losses, key=losses.__getitem__)
        well = max(_instants(self._waves["usual"][case], "end_date"), default=0.0)
        return Diagnosis(case, cause, where, losses[where], well, self._began(case, cause, well))

    def _began(self, case: str, cause: str, well: float) -> float | None:
        run, pool, wave = self._cases.run, self._cases.pools[case], self._waves["now"][case]
        if cause == "pool":
            return min(resizes(run, pool, run.pool(pool).slots, well), default=None)
        if cause == "neighbour":
            return min(_instants([one for one in self._others if one["pool"] == pool], "queued_when"), default=None)
        if cause == "surge":
            return _instants(wave, "scheduled_when")[len(self._waves["usual"][case])]
        steps = [one for log in self._logs["now"][case].values() for one in log]
        usual = self._profiles("usual")[case].get(cause, 0.0)
        if cause != "partner":
            return onset(steps, cause, usual, self._worth)
        mine = {one["request"] for one in steps if one.get("request")}
        log = self._cases.lane(case).log(since=well).select(request_id=sorted(mine) or ["-"])
        slow = log.start[(log.finish - log.start) > usual + self._worth]
        return float(slow.min()) if len(slow) else None

    def _profiles(self, label: str) -> dict[str, Profile]:
        return {case: profile(wave, self._logs[label][case], self.at) for case, wave in self._waves[label].items()}

    def _by_case(self, label: str) -> dict[str, list[Record]]:
        ready = [one for one in self._cases.records(label) if one["scheduled_when"]]
        mine = {case: f"{self._cases.lesson}__{case}" for case in self._cases.letters}
        return {case: [one for one in ready if one["dag_id"] == dag_id] for case, dag_id in mine.items()}

    def _log(self, records: Sequence[Record]) -> dict[str, list[Phase]]:
        api = self._cases.run.api
        return {record["dag_run_id"]: phases(api.task_log(record)) for record in records if record["start_date"]}


def _instants(records: Sequence[Record], stamp: str) -> list[float]:
    return sorted(datetime.fromisoformat(one[stamp]).timestamp() for one in records if one[stamp])
