"""The second tier of a check: the submission runs on the lab's scheduler, and what happened is looked at."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from backpressure import pools
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.airflow.upstream import Upstream

from backpressure_lab.errors import NotRunningError, WentDownError
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.seen import Load, Seen
from backpressure_lab.files import write_json, write_text

_KNOWN_SECONDS = 30.0
_RUN_SECONDS = 120.0
_STUCK_SECONDS = 30.0
_END_SECONDS = 30.0
_POLL_SECONDS = 0.3
_OVER = ("success", "failed")
# Who is queued has a slot and waits for a process: that is the machine's doing, not the submission's.
_AT_WORK = ("running", "queued")
_NOT_FOUND, _CONFLICT, _SERVER_ERROR = 404, 409, 500
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


def watch(lab: Lab, play: Play, facts: Facts, load: Load) -> Seen:
    """Run the submission with this load and tell what was seen; nothing of it is left afterwards.

    Raises:
        NotRunningError: the lab went away, or does not load DAG files.
    """
    with _staged(lab, play, facts, load) as stage:
        begun = {lane: _begin(stage, lane, settings) for lane, settings in load.lanes.items()}
        trouble = f"Airflow did not load the exercise within {_KNOWN_SECONDS:g} s.\n{lab.place.advice}"
        _until(lambda: _known(stage), _KNOWN_SECONDS, lab.alive, trouble)
        _trigger(stage, load)
        over = _over(stage, load, lab.alive)
        return _seen(stage, facts, load, begun, over=over)


def _begin(stage: Stage, lane: str, settings: Mapping[str, Any]) -> float:
    with stage.upstream(lane) as upstream:
        return upstream.begin(**settings)


@contextlib.contextmanager
def _staged(lab: Lab, play: Play, facts: Facts, load: Load) -> Iterator[Stage]:
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


def _owner() -> list[float]:
    """This process: its id, and when it began, since ids are used again."""
    return [os.getpid(), psutil.Process().create_time()]


def sweep(place: Place, api: AirflowClient) -> int:
    """Remove what checks have left whose process was killed; says how many there were."""
    count = 0
    for plan in place.checks.glob("*.json"):
        try:
            found = json.loads(plan.read_text(encoding="utf-8"))
            pid, begun = found["owner"]
            if psutil.pid_exists(int(pid)) and psutil.Process(int(pid)).create_time() == begun:
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
    _until(lambda: _forgotten(stage), _END_SECONDS, lambda: True)
    for name in stage.pools.values():
        with contextlib.suppress(AirflowError, LookupError):
            pools.remove(stage.api, name)
    stage.wrapper.with_suffix(".json").unlink(missing_ok=True)
    (stage.place.submissions / stage.wrapper.name).unlink(missing_ok=True)


def _until(done: Callable[[], bool], seconds: float, alive: Callable[[], bool], trouble: str = "") -> bool:
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


def _known(stage: Stage) -> bool:
    for dag_id in stage.copies:
        try:
            stage.api.dag(dag_id)
        except AirflowError as error:
            if error.status != _NOT_FOUND:
                raise
            return False
    return True


def _trigger(stage: Stage, load: Load) -> None:
    """Create all runs while the DAGs are paused, and let them go at once."""
    for dag_id in stage.copies:
        for number in range(load.runs):
            items = {name: lists[number] for name, lists in load.items.items()}
            stage.api.trigger(dag_id, f"check-{number}", conf={**load.conf, **stage.lanes, **items})
    for dag_id in stage.copies:
        stage.api.pause(dag_id, paused=False)


def _runs(stage: Stage) -> list[dict[str, Any]]:
    return [run for dag_id in stage.copies for run in stage.api.pages(f"/dags/{dag_id}/dagRuns", "dag_runs")]


def _over(stage: Stage, load: Load, alive: Callable[[], bool]) -> bool:
    """Wait for the end of all runs; False when nobody is at work and nothing changes any more, or it takes too long."""
    seen, changed = "", time.monotonic()

    def ended() -> bool:
        nonlocal seen, changed
        states = [(one["id"], one["state"]) for dag_id in stage.copies for one in stage.api.task_instances(dag_id)]
        if str(states) != seen or any(state in _AT_WORK for _, state in states):
            seen, changed = str(states), time.monotonic()
        runs = _runs(stage)
        return len(runs) >= load.copies * load.runs and all(run["state"] in _OVER for run in runs)

    def stuck() -> bool:
        return ended() or time.monotonic() - changed > _STUCK_SECONDS

    return _until(stuck, _RUN_SECONDS, alive) and ended()


def _seen(stage: Stage, facts: Facts, load: Load, begun: Mapping[str, float], *, over: bool) -> Seen:
    named = {own: name for name, own in stage.pools.items()}
    records = [
        dict(record, pool=named.get(record["pool"], record["pool"]))
        for dag_id in stage.copies
        for record in stage.api.task_instances(dag_id)
    ]
    logs = {}
    for lane, since in begun.items():
        with stage.upstream(lane) as upstream:
            logs[lane] = upstream.log(since)
    errors = [_error(stage, record) for record in records if record["state"] == "failed"]
    states = {name: pools.status(stage.api, own) for name, own in stage.pools.items()}
    slots = {name: state.slots for name, state in states.items() if state}
    return Seen(facts, load, records, _runs(stage), logs, time.time(), over=over, errors=errors, pools=slots)


def _error(stage: Stage, record: Mapping[str, Any]) -> str:
    """What a failed task's log says of its end."""
    name = record["task_id"] + (f"[{record['map_index']}]" if record["map_index"] >= 0 else "")
    with contextlib.suppress(AirflowError, KeyError, TypeError):
        for event in reversed(stage.api.task_log(record)):
            for error in event.get("error_detail") or []:
                return f"{name} failed: {error['exc_type']}: {error['exc_value']}"
    return f"{name} failed"


def _forgotten(stage: Stage) -> bool:
    """End what still runs and delete the DAGs; False while Airflow does not allow it, or may load them once more."""
    gone = True
    for dag_id in stage.copies:
        try:
            for run in stage.api.pages(f"/dags/{dag_id}/dagRuns", "dag_runs"):
                if run["state"] not in _OVER:
                    stage.api.set_run_state(dag_id, run["dag_run_id"], "failed")
            stage.api.delete(f"/dags/{dag_id}")
        except AirflowError as error:
            # When the scheduler holds the same rows, the database may let it win, and Airflow answers with 500.
            if error.status not in (_NOT_FOUND, _CONFLICT) and error.status < _SERVER_ERROR:
                raise
            gone = gone and error.status == _NOT_FOUND
        else:
            gone = False
    return gone
