"""Cases of a lesson: flows of orders with a pool, a partner and a stock each; faults for them, and what records say.

:class:`Cases` makes what the cases need, lets orders come and gives faults; :class:`Book` reads. The two share the
names of DAGs, pools and lanes and nothing else: the reader asks Airflow, its audit log, the tasks' logs and the
partner's log, and never what was injected.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from airflow.sdk import get_current_context, task

from backpressure.airflow.response import resizes
from backpressure.airflow.run import TERMINAL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.diagnosis import Diagnosis, Profile, lost, onset, profile
from backpressure.phases import Phase, phases

__all__ = ["PATIENCE", "Book", "Cases", "Seen", "report", "silent", "ways"]

Record = dict[str, Any]
ELSEWHERE = "elsewhere"
"""The place of orders that run in no case's pool."""
PATIENCE = 180.0
"""Seconds for a wave of orders to get through, also where each start takes several times as long as it should."""
_HELD = ("queued", "running")
_BYPASSED = ("slot", "partner", "database", "code")


@task
def report(number: int) -> None:
    """Hold a slot of a case's pool for as long as the lane is shut."""
    Upstream((get_current_context()["dag_run"].conf or {})["lane"], timeout=2 * PATIENCE).call(str(number))


def silent(name: str, **about: Any) -> nullcontext[None]:  # noqa: ARG001 - as the one that speaks
    """A step that nothing is said of: in the place of :func:`backpressure.phases.phase`."""
    return nullcontext()


def ways(lane: str) -> tuple[Upstream, Callable[[], int | None]]:
    """A case's partner, and a function that takes an order from its stock, with their addresses looked up.

    Looking them up is a question to Airflow: a busy Airflow must not pass for a busy partner or a slow database.
    """
    from backpressure.airflow import stock  # noqa: PLC0415 - parsing a DAG file needs no database driver
    from backpressure.airflow.database import WATCHING_DB, dsn  # noqa: PLC0415 - the same

    partner = Upstream(lane, timeout=60)
    partner.time()
    return partner, partial(stock.take, lane, patience=6.0, dsn=dsn(WATCHING_DB))


class Cases:
    """The cases of this task's run: those who make them, and those who read, agree on these names.

    Args:
        lesson: whose helper ``LESSON__CASE`` has one order in the case's pool, ``LESSON__elsewhere`` one in a pool of
            no case, and ``LESSON__reports_CASE`` as many reports in the case's pool as it has slots.
        letters: a name for each case.
        pool: what the names of their pools begin with.
        slots: that each pool is meant to have.
    """

    def __init__(self, lesson: str, letters: Sequence[str], pool: str, slots: int) -> None:
        self.run = Run.current()
        self.lesson = lesson
        self.letters = letters
        self.pools = {case: f"{pool}{case}" for case in letters}
        self.elsewhere = f"{pool}{ELSEWHERE}"
        self.slots = slots

    def lane(self, case: str) -> Upstream:
        """The partner of a case; its product in the stock has the same name."""
        return Upstream(f"{self.run.run_id}-{case}")

    def records(self, label: str) -> list[Record]:
        """The task instances of all helper runs whose label begins so, in one listing."""
        own = f"{self.run.run_id}__{label}"
        found = self.run.api.task_instances(order_by="id", run_id_prefix_pattern=own)
        return [one for one in found if one["dag_run_id"].startswith(own)]

    def begin(self) -> None:
        """Make a pool, a partner and a product for each case, and let two orders of each go through."""
        from backpressure.airflow import stock  # noqa: PLC0415 - parsing a DAG file needs no database driver

        stock.fill(self.lane(case).lane for case in self.letters)
        self.run.create_pool(self.elsewhere, 4 * self.slots)
        for case, pool in self.pools.items():
            self.run.create_pool(pool, self.slots)
            self.lane(case).configure(service_time=0.5)
        for case in self.letters:
            self._come(case, f"usual-{case}", 2)
        self._see_through("usual", 2 * len(self.letters))

    def suffer(self, drawn: Mapping[str, str], surge: int, until: str) -> list[dict[str, Any]]:
        """Give each case its fault, and let orders come, until a task of the run is over; then take the faults back.

        Args:
            drawn: for each case "none", "pool", "neighbour", "surge", "partner", "database" or "code".
            surge: orders that come to a case whose fault that is; to any other come two.
            until: the task's id.

        Returns for each case its ``fault``, and ``at``, the instant before it was there (epoch s).
        """
        from backpressure.airflow import stock  # noqa: PLC0415 - parsing a DAG file needs no database driver

        numbers = {case: surge if fault == "surge" else 2 for case, fault in drawn.items()}
        with self._faults(drawn) as sealed:
            # A surge is there before the orders that are looked at in other cases: then all find the same machine.
            for case in sorted(numbers, key=numbers.__getitem__, reverse=True):
                self._come(case, f"now-{case}", numbers[case])
            self.run.wait_for(lambda: self.run.over(until), seconds=2 * PATIENCE)
        self._see_through("now", sum(numbers.values()))
        self._see_through("round", 0)
        self._see_through("reports", 0)
        stock.remove(self.run.run_id)
        return sealed

    def go_round(self, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Send an order round each suspect, and one round something else; wait for those that get through.

        Returns of each order its ``run``, its ``case``, and whether it goes ``round`` the suspect.
        """
        tried = []
        for one in found:
            suspect = one["component"]
            for without in (suspect, "partner" if suspect == "slot" else "slot") if _is_suspect(one) else ():
                place, label = ELSEWHERE if without == "slot" else one["case"], f"round-{one['case']}-{without}"
                self._come(place, label, 1, case=one["case"], without=without)
                run_id = f"{self.run.run_id}__{label}-0"
                tried.append({"run": run_id, "case": one["case"], "round": without == suspect})
        self.run.wait_for(lambda: self.settled("round", patience=5.0, places=bool(tried)), PATIENCE, every=0.5)
        return tried

    def settled(self, label: str, patience: float, places: int = 1) -> bool:
        """Whether a wave has orders in so many places, and each is over, or has waited for a slot for so long (s)."""
        found, now = self.records(label), time.time()
        waits = [
            one["state"] == "scheduled" and now - datetime.fromisoformat(one["scheduled_when"]).timestamp() > patience
            for one in found
            if one["state"] not in TERMINAL
        ]
        return len({one["dag_id"] for one in found}) >= places and all(waits)

    def _come(self, place: str, label: str, number: int, **conf: Any) -> None:
        about = {"lesson": self.run.run_id, "scenario": self.run.scenario, "case": place} | conf
        self.run.trigger_spaced(f"{self.lesson}__{place}", label, number, every=0.0, delay=0.0, **about)

    def _see_through(self, label: str, least: int) -> None:
        def over() -> bool:
            states = [one["state"] for one in self.records(label)]
            return len(states) >= least and all(state in TERMINAL for state in states)

        self.run.wait_for(over, PATIENCE, every=0.5)

    @contextmanager
    def _faults(self, drawn: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
        """The faults; a surge is none of a part, and counts from here on."""
        from backpressure.airflow import stock  # noqa: PLC0415 - parsing a DAG file needs no database driver

        sealed = []
        with ExitStack() as stack:
            for case, fault in drawn.items():
                lane = self.lane(case)
                time.sleep(random.uniform(0.0, 0.3))  # noqa: S311 - no secret, but nobody shall know the moment
                at = time.time()
                if fault == "pool":
                    self.run.resize_pool(self.pools[case], 0)
                    stack.callback(self.run.resize_pool, self.pools[case], self.slots)
                elif fault == "neighbour":
                    stack.enter_context(self._neighbours(case))
                elif fault == "partner":
                    lane.configure(slow=12.0)
                    stack.callback(lane.configure, slow=1.0)
                elif fault == "database":
                    stack.enter_context(stock.locked(lane.lane))
                elif fault == "code":
                    stock.fill([lane.lane], lines=60)
                    stack.callback(stock.fill, [lane.lane])
                sealed.append({"case": case, "fault": fault, "at": at})
            yield sealed

    @contextmanager
    def _neighbours(self, case: str) -> Iterator[None]:
        """Let tasks of another DAG have all slots of a case's pool."""
        hall = Upstream(f"{self.run.run_id}-reports")
        hall.configure(capacity=0, queue_limit=None)
        try:
            self.run.trigger(f"{self.lesson}__reports_{case}", "reports", lane=hall.lane)
            self.run.wait_for(lambda: hall.state()["waiting"] >= self.slots, seconds=60)
            yield
        finally:
            hall.configure(capacity=None)


def _is_suspect(one: Mapping[str, Any]) -> bool:
    return one["cause"] != "none" and one["component"] in _BYPASSED


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
        self._others = [one for one in cases.records("reports") if one["state"] in _HELD]
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
