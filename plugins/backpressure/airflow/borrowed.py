"""What a run changes and must give back: pools, pauses, files, workers, upstreams. Noted before the change is made.

Each change is a Variable ``borrowed.KIND.NAME`` that holds the run and the state before. ``give_back`` undoes a run's
changes and removes the notes; a run that was killed leaves its notes, and the next start of the lab gives back for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from backpressure import pools
from backpressure.airflow.celery import Workers, WorkersError
from backpressure.airflow.client import AirflowClient, AirflowError

PREFIX = "borrowed."
LANE = "lane"
_CONFLICT = 409
_NOT_FOUND = 404
_FINISHED = ("success", "failed")
# A worker that died is started again within this time, and then has its own queues and size.
_RESTART_SECONDS = 45.0


def borrow(api: AirflowClient, kind: str, name: str, before: Any, *, dag_id: str, run_id: str) -> None:
    """Note the state before a change; the first note of a name wins, later ones of the same run are no news.

    A note that a run has left which is over passes to this run: what there was before that one is to be given back.
    """
    key = _key(kind, name)
    note = {"kind": kind, "name": name, "before": before, "dag_id": dag_id, "run_id": run_id}
    try:
        api.post("/variables", {"key": key, "value": json.dumps(note)})
    except AirflowError as error:
        if error.status != _CONFLICT:
            raise
        for left in notes(api):
            if (left["kind"], left["name"]) == (kind, name) and left["run_id"] != run_id and not _is_active(api, left):
                passed = left | {"dag_id": dag_id, "run_id": run_id}
                api.patch(f"/variables/{quote(key, safe='')}", {"key": key, "value": json.dumps(passed)})


def notes(api: AirflowClient) -> list[dict[str, Any]]:
    """Every note there is."""
    entries = api.pages("/variables", "variables", variable_key_pattern=f"{PREFIX}%")
    return [json.loads(entry["value"]) for entry in entries if entry["key"].startswith(PREFIX)]


def give_back(
    api: AirflowClient,
    run_id: str | None = None,
    workers: Callable[[], Workers] | None = None,
    reset_lane: Callable[[str], object] | None = None,
) -> list[str]:
    """Undo what ``run_id`` changed, or, without it, what any run that is over has left; says what was undone.

    What cannot be undone keeps its note, and does not keep the rest from being undone.

    Args:
        api: where pools, pauses and notes are.
        run_id: whose changes.
        workers: how Celery's workers are told. Without it they start anew after this, as the lab's do, and have their
            own queues and size again.
        reset_lane: how an upstream's lane is reset, which only a task can. Without it a run's lanes are left to its own
            teardown, and forgotten when no run is named: the upstream has started anew.

    Raises:
        ExceptionGroup: some changes could not be undone.
    """
    undone, errors = [], []
    for note in notes(api):
        try:
            if note["run_id"] != run_id if run_id is not None else _is_active(api, note):
                continue
            if note["kind"] == LANE and reset_lane is None and run_id is not None:
                continue
            _undo(api, note, workers, reset_lane)
            _forget(api, note)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other notes are not to suffer for it
            error.add_note(f"{note['kind']} {note['name']}")
            errors.append(error)
        else:
            undone.append(f"{note['kind']} {note['name']}")
    if errors:
        raise ExceptionGroup(f"not given back: {'; '.join(map(str, errors))}", errors)
    return undone


def _undo(
    api: AirflowClient,
    note: dict[str, Any],
    workers: Callable[[], Workers] | None,
    reset_lane: Callable[[str], object] | None,
) -> None:
    kind, name, before = note["kind"], note["name"], note["before"]
    if kind == LANE:
        if reset_lane is not None:
            reset_lane(name)
    elif kind in _UNDO_WORKER:
        if workers is not None:
            _UNDO_WORKER[kind](workers(), name, before)
    elif kind in _UNDO:
        _UNDO[kind](api, name, before)
    else:
        raise LookupError(f"nobody knows how to give back {kind!r} {name!r}: a later release may have noted it")


def _is_active(api: AirflowClient, note: dict[str, Any]) -> bool:
    try:
        return api.run(note["dag_id"], note["run_id"])["state"] not in _FINISHED
    except AirflowError as error:
        if error.status == _NOT_FOUND:
            return False
        raise


def _forget(api: AirflowClient, note: dict[str, Any]) -> None:
    try:
        api.delete(f"/variables/{quote(_key(note['kind'], note['name']), safe='')}")
    except AirflowError as error:
        if error.status != _NOT_FOUND:
            raise


def _key(kind: str, name: str) -> str:
    return f"{PREFIX}{kind}.{name}"


def _undo_pool(api: AirflowClient, name: str, before: int | None) -> None:
    if before is None:
        pools.remove(api, name)
    elif pools.status(api, name) is not None:
        pools.resize(api, name, before)


def _undo_pause(api: AirflowClient, name: str, before: bool) -> None:  # noqa: FBT001 - the note's value
    api.pause(name, paused=before)


def _undo_file(_api: AirflowClient, _name: str, before: str) -> None:
    Path(before).unlink(missing_ok=True)


def consumer(worker: str, queue: str) -> str:
    """The name of a note about a worker's taking tasks from a queue: two runs may change one worker's queues."""
    return f"{worker}/{queue}"


def _undo_consumer(workers: Workers, name: str, before: bool) -> None:  # noqa: FBT001 - the note's value
    worker, _, queue = name.partition("/")
    _wait_for(workers, worker)
    if before is not (queue in workers.queues(worker)):
        change = workers.add_consumer if before else workers.cancel_consumer
        change(worker, queue)


def _undo_size(workers: Workers, worker: str, before: int) -> None:
    _wait_for(workers, worker)
    workers.resize(worker, before)


def _wait_for(workers: Workers, worker: str) -> None:
    if not workers.answers(worker, _RESTART_SECONDS):
        raise WorkersError(f"{worker} does not answer; the next start of the lab starts it anew")


_UNDO: dict[str, Callable[[AirflowClient, str, Any], None]] = {
    "pool": _undo_pool,
    "pause": _undo_pause,
    "file": _undo_file,
}
_UNDO_WORKER: dict[str, Callable[[Workers, str, Any], None]] = {"consumer": _undo_consumer, "worker_size": _undo_size}
