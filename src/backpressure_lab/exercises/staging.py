"""What a check puts into a lab to run a submission there, and takes away again: files, pools, DAGs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from backpressure import pools
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.airflow.upstream import Upstream

from backpressure_lab.errors import NotRunningError, WentDownError
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.seen import Load
from backpressure_lab.files import write_json, write_text
from backpressure_lab.stack.processes import ProcessId

__all__ = ["NOT_FOUND", "OVER", "TROUBLE", "Lab", "Play", "Stage", "staged", "sweep", "until"]

OVER = ("success", "failed")
"""The states of a run that has ended."""
TROUBLE = ".trouble"
"""Ending of the file beside the one that Airflow loads in which a task notes what the machine kept it from."""
NOT_FOUND = 404
_CONFLICT, _SERVER_ERROR = 409, 500
_END_SECONDS = 30.0
_POLL_SECONDS = 0.3
_WRAPPER = '''\
"""A check's copy of a submission, for Airflow to load: a dag of the same tasks, under another name."""

from {maker} import staged

globals().update(staged(__file__))
'''


@dataclass(frozen=True)
class Stage:
    """Where a submission runs: its copies' dag_ids, its pools by the names that it gives them, and its lanes."""

    place: Place
    api: AirflowClient
    token: str
    copies: tuple[str, ...]
    pools: Mapping[str, str]
    lanes: Mapping[str, str]

    @property
    def wrapper(self) -> Path:
        """The file that Airflow loads."""
        return self.place.checks / f"{self.token}.py"

    @property
    def trouble(self) -> str | None:
        """What kept a task of this check from its work and was not the submission's fault; None where nothing did."""
        with contextlib.suppress(FileNotFoundError):
            return self.wrapper.with_suffix(TROUBLE).read_text(encoding="utf-8")
        return None

    def upstream(self, lane: str) -> Upstream:
        """A lane of the simulator, with the right to set it and to read its log."""
        return self.place.upstream(self.lanes[lane])


@dataclass(frozen=True)
class Play:
    """What is staged.

    Attributes:
        text: of the submission.
        maker: the module whose ``staged`` makes the DAGs that Airflow loads.
        told: what that module is told besides.
    """

    text: str
    maker: str = "backpressure_lab.exercises.submission"
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lab:
    """A deployment to run submissions on, a client of its Airflow, and a way to ask whether it is still there."""

    place: Place
    api: AirflowClient
    alive: Callable[[], bool]


@contextlib.contextmanager
def staged(lab: Lab, play: Play, facts: Facts, load: Load) -> Iterator[Stage]:
    """Put a submission and its pools into the lab, for the length of this block."""
    place, api = lab.place, lab.api
    token = f"{facts.dag.dag_id}__{secrets.token_hex(3)}"
    stage = Stage(
        place=place,
        api=api,
        token=token,
        copies=tuple(f"{token}_{number}" for number in range(load.copies)),
        pools={pool.name: f"{token}__{pool.name}" for pool in facts.pools},
        lanes={lane: f"{token}__{lane}" for lane in load.lanes},
    )
    copy = place.submissions / f"{token}.py"
    plan = stage.wrapper.with_suffix(".json")
    try:
        for pool in facts.pools:
            slots = load.slots.get(pool.name, pool.slots)
            pools.ensure(api, replace(pool, name=stage.pools[pool.name], slots=slots))
        write_text(copy, play.text)
        lanes = list(stage.lanes.values())
        source = f"../{copy.parent.name}/{copy.name}"
        own = {"token": token, "source": source, "copies": stage.copies, "pools": stage.pools, "lanes": lanes}
        write_json(plan, {**play.told, **own, "owner": _owner()})
        write_text(stage.wrapper, _WRAPPER.format(maker=play.maker))
        yield stage
    finally:
        _clear(stage)


def _owner() -> tuple[int, str | float] | None:
    """This process: its id, and when it began, since ids are used again."""
    me = ProcessId.of(os.getpid())
    return astuple(me) if me else None


def sweep(place: Place, api: AirflowClient) -> int:
    """Remove what checks have left whose process was killed; says how many there were."""
    count = 0
    for plan in place.checks.glob("*.json"):
        try:
            found = json.loads(plan.read_text(encoding="utf-8"))
            if ProcessId.read(found["owner"]).alive():
                continue
            named = {name: str(own) for name, own in found["pools"].items()}
            stage = Stage(place, api, plan.stem, tuple(found["copies"]), named, {})
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            continue  # it is being written, or was removed meanwhile
        _clear(stage)
        count += 1
    return count


def _clear(stage: Stage) -> None:
    stage.wrapper.unlink(missing_ok=True)
    until(lambda: _forgotten(stage), _END_SECONDS, lambda: True)
    for name in stage.pools.values():
        with contextlib.suppress(AirflowError, LookupError):
            pools.remove(stage.api, name)
    stage.wrapper.with_suffix(TROUBLE).unlink(missing_ok=True)
    stage.wrapper.with_suffix(".json").unlink(missing_ok=True)
    (stage.place.submissions / stage.wrapper.name).unlink(missing_ok=True)


def until(done: Callable[[], bool], seconds: float, alive: Callable[[], bool], trouble: str = "") -> bool:
    """Wait for something; when it does not come, that is trouble, or False where none is named."""
    deadline = time.monotonic() + seconds
    while not done():
        if not alive():
            raise WentDownError("the check", "check again")
        if time.monotonic() > deadline:
            if trouble:
                raise NotRunningError(trouble)
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _forgotten(stage: Stage) -> bool:
    """End what still runs and delete the DAGs; False while Airflow does not allow it, or may load them once more."""
    gone = True
    for dag_id in stage.copies:
        try:
            for run in stage.api.pages(f"/dags/{dag_id}/dagRuns", "dag_runs"):
                if run["state"] not in OVER:
                    stage.api.set_run_state(dag_id, run["dag_run_id"], "failed")
            stage.api.delete(f"/dags/{dag_id}")
        except AirflowError as error:
            # When the scheduler holds the same rows, the database may let it win, and Airflow answers with 500.
            if error.status not in (NOT_FOUND, _CONFLICT) and error.status < _SERVER_ERROR:
                raise
            gone = gone and error.status == NOT_FOUND
        else:
            gone = False
    return gone
