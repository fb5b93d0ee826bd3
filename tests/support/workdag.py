"""A DAG file of a test's own, in the running lab's `work/` for as long as the test needs it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backpressure import pools
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.upstream import Upstream
from support.lab import ROOT, Lab, wait_until

from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

FILES = ROOT / "docs" / "examples"
OURS = "_by_a_test.py"
"""Ending of the files that tests put into `work/`: no learner's file is called so."""
OVER = ("success", "failed")
_NOT_FOUND, _CONFLICT = 404, 409
_ANSWERS_WITHIN = 120
_SEEN_WITHIN = 60
_ENDS_WITHIN = 240


@dataclass(frozen=True)
class WorkDag:
    """A DAG that the lab has loaded and that is not paused."""

    api: AirflowClient
    context: Context
    dag_id: str

    def trigger(self, run_id: str = "test", **conf: Any) -> str:
        """Start a run."""
        self.api.trigger(self.dag_id, run_id, conf=conf)
        return run_id

    def states(self, run_id: str, task_id: str) -> list[str | None]:
        """The states of a task's instances, by map index."""
        return [record["state"] for record in self.instances(run_id, task_id)]

    def instances(self, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """A task's instances, by map index."""
        found = self.api.task_instances(self.dag_id, run_id)
        return sorted((one for one in found if one["task_id"] == task_id), key=lambda one: one["map_index"])

    def tries(self, run_id: str, record: dict[str, Any]) -> list[dict[str, Any]]:
        """The tries of a task instance, first to last."""
        path = f"/dags/{self.dag_id}/dagRuns/{run_id}/taskInstances/{record['task_id']}/{record['map_index']}/tries"
        return sorted(self.api.get(path)["task_instances"], key=lambda one: one["try_number"])

    def ended(self, run_id: str) -> str | None:
        """The run's state when it is over."""
        state = self.api.run(self.dag_id, run_id)["state"]
        return state if state in OVER else None

    def wait(self, run_id: str) -> str:
        """The run's state at its end."""
        return str(wait_until(lambda: self.ended(run_id), _ENDS_WITHIN, f"{self.dag_id} {run_id} is over"))

    def log(self, run_id: str, task_id: str = "*", map_index: int | str = "*") -> list[dict[str, Any]]:
        """What the tasks of a run have logged, line by line."""
        folder = self.context.layout.home / "task-logs" / f"dag_id={self.dag_id}" / f"run_id={run_id}"
        pattern = f"task_id={task_id}/map_index={map_index}/*.log" if map_index != "*" else "**/*.log"
        return [
            json.loads(line)
            for file in sorted(folder.glob(pattern))
            for line in file.read_text(encoding="utf-8").splitlines()
        ]

    def complaints(self, run_id: str) -> list[str]:
        """What the tasks of a run have logged of errors."""
        return [
            f"{line['event']}: {[(one['exc_type'], one['exc_value']) for one in line.get('error_detail') or []]}"
            for line in self.log(run_id)
            if line.get("level") in ("error", "critical")
        ]

    def upstream(self, lane: str) -> Upstream:
        """One lane of the lab's simulator, with the right to read its log."""
        address = f"http://127.0.0.1:{self.context.ports.upstream}"
        return Upstream(lane, base_url=address, token=self.context.secrets.control_token)

    def metrics(self) -> Metrics:
        """What Airflow has emitted."""
        address = f"http://127.0.0.1:{self.context.ports.metrics}"
        return Metrics(base_url=address, token=self.context.secrets.control_token)


@contextmanager
def work_dag(lab: Lab, file: str, **slots: int) -> Iterator[WorkDag]:
    """Load a file of docs/examples under a dag_id of its own; `slots` are pools that it needs.

    File, pools and DAG are gone afterwards.
    """
    context = Context.load(Layout.of(home=lab.home))
    source = (FILES / file).read_text(encoding="utf-8")
    named = re.search(r'DAG\("(\w+)"', source)
    assert named, f"{file} has no DAG"
    dag_id = f"{named[1]}_{secrets.token_hex(3)}"
    copy = context.layout.work / f"{dag_id}{OURS}"
    # On a machine with much else to do the api-server may be silent for a while; that is not what is tested.
    with bootstrap.client(context, patience=_ANSWERS_WITHIN) as api:
        made = [name for name, count in slots.items() if pools.ensure(api, pools.PoolSpec(name, count)) == "created"]
        try:
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(source.replace(f'DAG("{named[1]}"', f'DAG("{dag_id}"'), encoding="utf-8")
            wait_until(lambda: _loaded(api, dag_id), _SEEN_WITHIN, f"the lab has loaded {dag_id}")
            api.pause(dag_id, paused=False)
            yield WorkDag(api, context, dag_id)
        finally:
            copy.unlink(missing_ok=True)
            wait_until(lambda: _forgotten(api, dag_id), _ENDS_WITHIN, f"{dag_id} is deleted")
            for name in made:
                pools.remove(api, name)


def remove_left_over(work: Path) -> None:
    """Remove what tests have left that were killed: every lab of this checkout would load it."""
    for path in work.glob(f"*{OURS}"):
        path.unlink(missing_ok=True)


def seconds(instant: str) -> float:
    """An instant of the REST API in seconds since 1970."""
    return datetime.fromisoformat(instant).timestamp()


def _loaded(api: AirflowClient, dag_id: str) -> bool:
    errors = [one["stack_trace"] for one in api.pages("/importErrors", "import_errors") if dag_id in one["filename"]]
    assert errors == []
    try:
        return bool(api.dag(dag_id))
    except AirflowError as error:
        if error.status == _NOT_FOUND:
            return False
        raise


def _forgotten(api: AirflowClient, dag_id: str) -> bool:
    """Delete the DAG with its runs; False while tasks of it still run, which Airflow does not allow."""
    try:
        for run in api.pages(f"/dags/{dag_id}/dagRuns", "dag_runs"):
            if run["state"] not in OVER:
                api.set_run_state(dag_id, run["dag_run_id"], "failed")
        api.delete(f"/dags/{dag_id}")
    except AirflowError as error:
        if error.status == _CONFLICT:
            return False
        if error.status != _NOT_FOUND:
            raise
    return True
