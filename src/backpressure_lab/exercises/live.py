"""The second tier of a check: the submission runs on the lab's scheduler, and what happened is looked at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from backpressure import pools
from backpressure.airflow.client import AirflowError
from backpressure.airflow.run import EXECUTION_STATES

from backpressure_lab.errors import NotRunningError
from backpressure_lab.exercises.facts import Facts
from backpressure_lab.exercises.seen import Load, Seen
from backpressure_lab.exercises.staging import NOT_FOUND, OVER, Lab, Play, Stage, staged, until

__all__ = ["watch"]

_KNOWN_SECONDS = 30.0
_RUN_SECONDS = 120.0
_STUCK_SECONDS = 30.0


def watch(lab: Lab, play: Play, facts: Facts, load: Load) -> Seen:
    """Run the submission with this load and tell what was seen; nothing of it is left afterwards.

    Raises:
        NotRunningError: the lab went away, does not load DAG files, or kept a task from its work.
    """
    with staged(lab, play, facts, load) as stage:
        begun = {lane: _begin(stage, lane, settings) for lane, settings in load.lanes.items()}
        trouble = f"Airflow did not load the exercise within {_KNOWN_SECONDS:g} s.\n{lab.place.advice}"
        until(lambda: _known(stage), _KNOWN_SECONDS, lab.alive, trouble)
        _trigger(stage, load)
        over = _over(stage, load, lab.alive)
        if stage.trouble is not None:
            raise NotRunningError(f"A task could not do its work: {stage.trouble}")
        return _seen(stage, facts, load, begun, over=over)


def _begin(stage: Stage, lane: str, settings: Mapping[str, Any]) -> float:
    with stage.upstream(lane) as upstream:
        return upstream.begin(**settings)


def _known(stage: Stage) -> bool:
    for dag_id in stage.copies:
        try:
            stage.api.dag(dag_id)
        except AirflowError as error:
            if error.status != NOT_FOUND:
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
        # Who is queued has a slot and waits for a process: that is the machine's doing, not the submission's.
        if str(states) != seen or any(state in EXECUTION_STATES for _, state in states):
            seen, changed = str(states), time.monotonic()
        runs = _runs(stage)
        return len(runs) >= load.copies * load.runs and all(run["state"] in OVER for run in runs)

    def stuck() -> bool:
        return ended() or time.monotonic() - changed > _STUCK_SECONDS

    return until(stuck, _RUN_SECONDS, alive) and ended()


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
