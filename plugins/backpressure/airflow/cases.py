"""Cases of a lesson: flows of orders with a pool, a partner and a stock each, and faults for them.

Who reads what came of them is :class:`backpressure.airflow.casebook.Book`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any

from airflow.sdk import get_current_context, task

from backpressure.airflow.run import TERMINAL, Run
from backpressure.airflow.upstream import Upstream

__all__ = ["PATIENCE", "Cases", "report", "silent", "ways"]

Record = dict[str, Any]
ELSEWHERE = "elsewhere"
"""The place of orders that run in no case's pool."""
PATIENCE = 180.0
"""Seconds for a wave of orders to get through, also where each start takes several times as long as it should."""
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
