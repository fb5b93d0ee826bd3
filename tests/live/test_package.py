"""The package on a live scheduler: deferring, retrying and making pools, with the upstream's own log as the witness."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from backpressure import pools
from backpressure.retry import Backoff, seeded
from support.lab import Lab, wait_until
from support.workdag import WorkDag, seconds, work_dag

from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

CALLS = 6
PERIOD = 10.0


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
        free = 0

        def over() -> bool:
            nonlocal free
            waiting = dag.states(run, "call").count("deferred")
            found = pools.status(dag.api, "work_one_slot")
            free += bool(waiting and found and found.open == 1 and found.occupied == 0)
            return dag.ended(run) is not None

        wait_until(over, 240, "the run is over")
        assert dag.ended(run) == "success", dag.complaints(run)
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


def test_the_pools_command_makes_a_live_deployments_pools(lab: Lab, tmp_path: Path) -> None:
    """Dry run, creation, drift and resizing against the real API, each with its exit code."""
    name = f"from_file_{secrets.token_hex(3)}"
    file = tmp_path / "pools.json"
    file.write_text(json.dumps({name: {"slots": 3, "description": "from a file"}}), encoding="utf-8")
    context = Context.load(Layout.of(home=lab.home))
    environment = os.environ | {
        "AIRFLOW_API_URL": context.url,
        "AIRFLOW_API_USERNAME": "admin",
        "AIRFLOW_API_PASSWORD": context.secrets.admin_password,
    }

    def command(*arguments: str) -> tuple[int, str]:
        """Exit code of the command, and what became of the pool."""
        call = [sys.executable, "-m", "backpressure.airflow.pools", str(file), "--json", *arguments]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, next(one["state"] for one in json.loads(done.stdout) if one["name"] == name)

    with bootstrap.client(context, patience=30) as api:
        try:
            assert command("--dry-run") == (1, "missing")
            assert pools.status(api, name) is None
            assert command() == (0, "created")
            assert command() == (0, "as specified")
            pools.resize(api, name, 9)
            assert command() == (1, "drifted")
            assert command("--resize") == (0, "changed")
            found = pools.status(api, name)
            assert found is not None
            assert found.slots == 3
        finally:
            pools.remove(api, name)


def test_the_retry_policy_keeps_siblings_apart(lab: Lab) -> None:
    """Four mapped siblings fail together: under the policy each comes back at its own time, under Airflow's at one."""
    with work_dag(lab, "retries.py") as dag:
        run, drawn = _run_with_draws_apart(dag.dag_id, 3.0)
        dag.trigger(run)
        assert dag.wait(run) == "success", dag.complaints(run)
        waits = {
            task: [_wait_before_second_try(dag, run, one) for one in dag.instances(run, task)]
            for task in ("policy", "airflow")
        }
        print(f"drawn {drawn}, waited {waits}")  # noqa: T201
        assert _order(waits["policy"]) == _order(drawn), "who drew the shortest wait comes first"
        assert all(waited >= draw for waited, draw in zip(waits["policy"], drawn, strict=True))
        # Airflow draws one number for all four: they differ by what the scheduler takes to start them.
        assert _range(waits["policy"]) > 3 * _range(waits["airflow"])


def _waits(dag: WorkDag, run: str, least: float) -> int | None:
    """The map index of a call that is deferred for so many seconds more, as its log says; None when there is none."""
    for one in dag.instances(run, "call")[1:]:
        if one["state"] == "deferred":
            for line in dag.log(run, "call", one["map_index"]):
                turn = re.search(r"its turn comes in ([\d.]+) s; deferred", str(line["event"]))
                if turn and seconds(line["timestamp"]) + float(turn[1]) - time.time() > least:
                    return int(one["map_index"])
    return None


def _run_with_draws_apart(dag_id: str, least: float) -> tuple[str, list[float]]:
    """A run id with which the policy's draws for the four siblings lie so many seconds apart; and the draws."""
    backoff = Backoff(base=20.0, limit=300.0)
    for number in itertools.count():
        run = f"test-{number}"
        draws = [backoff.delay(1, seeded(dag_id, run, "policy", index)) for index in range(4)]
        if all(later - earlier > least for earlier, later in itertools.pairwise(sorted(draws))):
            return run, draws
    raise AssertionError


def _wait_before_second_try(dag: WorkDag, run: str, record: dict[str, Any]) -> float:
    first, second = dag.tries(run, record)
    return seconds(second["start_date"]) - seconds(first["end_date"])


def _order(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _range(values: list[float]) -> float:
    return max(values) - min(values)
