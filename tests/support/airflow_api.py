"""An imagined REST API that answers as Airflow 3.3 does, refusals included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from backpressure.airflow.client import AirflowError


class Airflow:
    """The pool routes of Airflow's REST API, with its refusals."""

    def __init__(self, **slots: int) -> None:
        self.pools: dict[str, dict[str, Any]] = {}
        for name, count in {"default_pool": 128, **slots}.items():
            self.post("/pools", {"name": name, "slots": count, "description": "", "include_deferred": False})

    def get(self, path: str, **_: Any) -> Any:
        """One pool, in Airflow's words."""
        name = self._known("GET", path)
        counts = dict.fromkeys(("occupied", "running", "queued", "scheduled", "deferred"), 0)
        found = self.pools[name]
        return found | {f"{state}_slots": count for state, count in counts.items()} | {"open_slots": found["slots"]}

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create; 409 when it is there."""
        if body["name"] in self.pools:
            raise AirflowError("POST", path, 409, "exists")
        self.pools[body["name"]] = dict(body)

    def patch(self, path: str, body: Mapping[str, Any], **params: Any) -> Any:
        """Change; Airflow wants the whole of an ordinary pool, and a mask for the default one."""
        name = self._known("PATCH", path)
        mask = params.get("update_mask")
        if name == "default_pool":
            if not mask or set(body) - {"slots", "include_deferred"}:
                raise AirflowError("PATCH", path, 400, "Only slots and included_deferred can be modified")
        elif not {"pool", "slots", "include_deferred"} <= set(body) or "name" in body:
            raise AirflowError("PATCH", path, 422, "fields")
        self.pools[name].update({key: value for key, value in body.items() if key != "pool"})

    def delete(self, path: str) -> None:
        """Delete; 404 when there is none."""
        del self.pools[self._known("DELETE", path)]

    def _known(self, method: str, path: str) -> str:
        name = unquote(urlsplit(path).path.removeprefix("/pools/"))  # as a server reads it
        if name not in self.pools:
            raise AirflowError(method, path, 404, "not found")
        return name
