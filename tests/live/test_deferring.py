"""Tasks that are refused, on a live scheduler: deferred, without a slot, and woken apart.

The upstream's own log is the witness of what was called when, Airflow's pools and metrics of what was held meanwhile.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from typing import NamedTuple

import pytest
from backpressure import pools
from support.lab import Lab, wait_until
from support.workdag import WorkDag, seconds, work_dag

pytestmark = pytest.mark.live

CALLS = 6
PERIOD = 10.0

PROBED_CALLS = 5
OPEN_FOR = 12.0
IN_LINE = 3.0

PLACES = 2
SLOTS = 3


class Look(NamedTuple):
    """What a run and its pool looked like at an instant: calls that are deferred, slots in use, slots that are free."""

    at: float
    deferred: int
    occupied: int
    open: int


def test_tasks_defer_for_their_permits(lab: Lab) -> None:
    """Six mapped calls in a pool of one slot: never above the rate, the slot free meanwhile, woken one by one.

    One of them is cleared while it waits: it begins afresh, and still every call is made exactly once.
    """
    lane, begin = f"deferred_{secrets.token_hex(3)}", time.time()
    with work_dag(lab, "deferred_calls.py", work_one_slot=1) as dag, dag.upstream(lane) as upstream:
        run = dag.trigger(lane=lane)
        # A task that is just being woken would be killed, which is another matter: clear one that has time.
        waiting = wait_until(lambda: _waits(dag, run, PERIOD), 120, "a call waits for a place further away")
        clear = {"task_ids": [["call", waiting]], "dag_run_id": run, "dry_run": False, "only_failed": False}
        dag.api.post(f"/dags/{dag.dag_id}/clearTaskInstances", clear)
        looks = _watch(dag, run, "work_one_slot")
        free = sum(look.deferred > 0 and look.open == 1 and look.occupied == 0 for look in looks)
        log = upstream.log()
        assert sorted(log.key.tolist()) == [f"page {page}" for page in range(CALLS)]
        # A call's way from its permit to the server's log differs by some tenths of a second.
        excess = log.excess(rate=1 / PERIOD, burst=1)
        assert excess is not None
        print(f"excess {excess.value:.3f} calls, spacing {log.spacing().round(2).tolist()}, free samples {free}")  # noqa: T201
        assert excess.value < 0.2
        assert free >= 3, "the slot was free while calls waited"
        calls, (bystander,) = dag.instances(run, "call"), dag.instances(run, "bystander")
        assert seconds(bystander["end_date"]) < log.arrival[-1], "another task had the slot meanwhile"
        # Of a task that was deferred, queued_when is when it was last woken.
        woken = sorted(seconds(one["queued_when"]) for one in calls)
        gaps = [later - earlier for earlier, later in itertools.pairwise(woken[2:])]
        print(f"woken {[round(gap, 2) for gap in gaps]} s apart")  # noqa: T201
        assert min(gaps) > PERIOD / 3, "woken one by one"
        told = dag.metrics().series("backpressure.task_deferred.work_partner", begin)
        assert told is not None
        assert told.increase >= CALLS - 1, "Airflow's own metrics count the deferrals"


def test_tasks_defer_for_a_place_in_a_bulkhead(lab: Lab) -> None:
    """Six long calls, two at once in a pool of three: the third slot is free for others, each is woken for a place."""
    lane = f"places_{secrets.token_hex(3)}"
    with work_dag(lab, "deferred_places.py", work_places=SLOTS) as dag, dag.upstream(lane) as upstream:
        upstream.configure(service_time=4.0)
        run = dag.trigger(lane=lane)
        looks = _watch(dag, run, "work_places")
        log = upstream.log()
        assert sorted(log.key.tolist()) == [f"page {page}" for page in range(CALLS)]
        assert log.inflight().peak().value == PLACES
        assert sum(look.deferred > 0 and look.open >= SLOTS - PLACES for look in looks) >= 3, "a slot was free"
        calls, (bystander,) = dag.instances(run, "call"), dag.instances(run, "bystander")
        assert seconds(bystander["end_date"]) < log.arrival[-1], "another task had it meanwhile"
        deferred = [
            one for one in calls if any(_says(line, "deferred") for line in dag.log(run, "call", one["map_index"]))
        ]
        woken = sorted(seconds(one["queued_when"]) for one in deferred)
        freed = sorted(log.finish.tolist())
        delays = [round(late - end, 2) for late, end in zip(woken, freed, strict=False)]
        print(f"woken {delays} s after a place was free")  # noqa: T201
        assert len(woken) >= CALLS - SLOTS
        assert min(delays) > 0, "each was woken for a place"


# After the bulkhead's: the first look-up of a triggerer's life takes it seconds, which are not the breaker's.
def test_tasks_defer_while_a_breaker_is_open(lab: Lab) -> None:
    """Five mapped calls find the partner away: all wait without a slot, one probes, the others follow one by one."""
    lane = f"probed_{secrets.token_hex(3)}"
    with work_dag(lab, "deferred_probes.py", work_probed=1) as dag, dag.upstream(lane) as upstream:
        upstream.configure(outage=True, service_time=1.0)
        run = dag.trigger(lane=lane)
        wait_until(lambda: dag.states(run, "call").count("deferred") == PROBED_CALLS, 120, "all calls are deferred")
        upstream.configure(outage=False)
        looks = _watch(dag, run, "work_probed")
        log = upstream.log()
        refused, answered = log.select(status=503), log.select(status=200)
        assert sorted(answered.key.tolist()) == [f"page {page}" for page in range(PROBED_CALLS)]
        assert len(refused) + len(answered) == len(log)
        for gap in log.gaps_after(503, by="key"):
            later = log.arrival[log.arrival > gap.refused_at]
            assert later[0] - gap.refused_at >= OPEN_FOR, "nobody called while the breaker was open"
        calls, (bystander,) = dag.instances(run, "call"), dag.instances(run, "bystander")
        probe, *others = sorted(seconds(one["queued_when"]) for one in calls)
        after = [round(float(at - refused.finish[-1]), 2) for at in (probe, *others)]
        print(f"refused {len(refused)}, spacing {log.spacing().round(2).tolist()}, woken {after} s after that")  # noqa: T201
        assert OPEN_FOR <= probe - refused.finish[-1] <= 1.5 * OPEN_FOR, "the probe was woken in its time"
        assert answered.arrival[1] >= answered.finish[0], "it was alone"
        assert others[0] >= answered.finish[0], "and the others were woken when it had succeeded"
        assert others[-1] - others[0] >= (len(others) - 2) * IN_LINE, "one after the other"

        idle = [look for look in looks if look.deferred == PROBED_CALLS and look.open == 1 and look.occupied == 0]
        assert len(idle) >= 3, "the slot was free while all calls waited"
        assert seconds(bystander["end_date"]) < answered.arrival[0], "another task had the slot meanwhile"
        running = dag.metrics().series("executor.running_tasks.LocalExecutor", idle[0].at, idle[-1].at)
        assert running is not None
        assert min(running.values) == 0, "no worker slot was held"


def _watch(dag: WorkDag, run: str, pool: str) -> list[Look]:
    """Look at a run until it has succeeded."""
    looks = []

    def over() -> bool:
        at, deferred = time.time(), dag.states(run, "call").count("deferred")
        found = pools.status(dag.api, pool)
        assert found is not None
        looks.append(Look(at, deferred, found.occupied, found.open))
        return dag.ended(run) is not None

    wait_until(over, 240, "the run is over")
    assert dag.ended(run) == "success", dag.complaints(run)
    return looks


def _says(line: dict[str, object], word: str) -> bool:
    return str(line["event"]).endswith(f"; {word}")


def _waits(dag: WorkDag, run: str, least: float) -> int | None:
    """The map index of a call that is deferred for so many seconds more, as its log says; None when there is none."""
    for one in dag.instances(run, "call")[1:]:
        if one["state"] == "deferred":
            for line in dag.log(run, "call", one["map_index"]):
                turn = re.search(r"its turn comes in ([\d.]+) s; deferred", str(line["event"]))
                if turn and seconds(line["timestamp"]) + float(turn[1]) - time.time() > least:
                    return int(one["map_index"])
    return None
