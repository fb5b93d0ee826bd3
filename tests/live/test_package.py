"""The package on a live scheduler: making pools, and retrying."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from backpressure import pools
from backpressure.retry import Backoff, seeded
from support.lab import Lab
from support.workdag import WorkDag, seconds, work_dag

from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live


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
