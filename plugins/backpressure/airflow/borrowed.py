"""What a run changes and must give back: pools, pauses, switches. Noted in Airflow itself before the change is made.

Each change is a Variable ``borrowed.KIND.NAME`` that holds the run and the state before. ``give_back`` undoes a run's
changes and removes the notes; a run that was killed leaves its notes, and the next start of the lab gives back for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from backpressure import pools
from backpressure.airflow.client import AirflowClient, AirflowError

PREFIX = "borrowed."
_CONFLICT = 409
_NOT_FOUND = 404
_FINISHED = ("success", "failed")


def borrow(api: AirflowClient, kind: str, name: str, before: Any, *, dag_id: str, run_id: str) -> None:
    """Note the state before a change; the first note of a name wins, later ones of the same run are no news."""
    note = {"kind": kind, "name": name, "before": before, "dag_id": dag_id, "run_id": run_id}
    try:
        api.post("/variables", {"key": _key(kind, name), "value": json.dumps(note)})
    except AirflowError as error:
        if error.status != _CONFLICT:
            raise


def notes(api: AirflowClient) -> list[dict[str, Any]]:
    """Every note there is."""
    entries = api.pages("/variables", "variables", variable_key_pattern=f"{PREFIX}%")
    return [json.loads(entry["value"]) for entry in entries if entry["key"].startswith(PREFIX)]


def give_back(api: AirflowClient, run_id: str | None = None) -> list[str]:
    """Undo what ``run_id`` changed, or, without it, what any run that is over has left; says what was undone."""
    undone = []
    for note in notes(api):
        if note["run_id"] != run_id if run_id is not None else _is_active(api, note):
            continue
        _UNDO[note["kind"]](api, note["name"], note["before"])
        _forget(api, note)
        undone.append(f"{note['kind']} {note['name']}")
    return undone


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


_UNDO: dict[str, Callable[[AirflowClient, str, Any], None]] = {"pool": _undo_pool, "pause": _undo_pause}
