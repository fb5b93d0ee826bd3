"""Airflow's REST API as lessons, commands and tests use it: plain httpx, a token that renews itself, whole listings.

httpx and not ``apache-airflow-client``: every task process has httpx loaded already, and the official client's import
alone costs more than a request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import httpx

from backpressure.airflow import tape

_PAGE = 100  # Airflow's own upper limit, [api] maximum_page_limit
Record = dict[str, Any]


class AirflowError(Exception):
    """Airflow refused a request; ``status`` is the HTTP status, ``reason`` what Airflow said."""

    def __init__(self, method: str, path: str, status: int, reason: str) -> None:
        super().__init__(f"{method} {path}: {status} {reason}")
        self.status = status
        self.reason = reason


class AirflowUnreachableError(Exception):
    """Airflow did not answer."""


class AirflowClient:
    """A client of one Airflow deployment.

    Args:
        url: the web address, without ``/api/v2``.
        username: of Airflow's simple or FAB auth manager.
        password: for that user.
        token: a bearer token instead of user and password.
        timeout: seconds for one request.
        patience: seconds for which a request is repeated while Airflow does not answer (a restart, say).
        hopeful: asked before each repetition whether an answer may still come.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        patience: float = 0.0,
        hopeful: Callable[[], bool] = lambda: True,
    ) -> None:
        self.url = url.rstrip("/")
        self._credentials = {"username": username or "", "password": password or ""}
        self._token = token
        self._patience = patience
        self._hopeful = hopeful
        self._http = httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    @classmethod
    def from_connection(cls, conn_id: str = "airflow_api", patience: float = 60.0) -> Self:
        """A client inside a task, from an Airflow connection (host, port, login, password)."""
        from airflow.sdk import Connection  # noqa: PLC0415 - commands use this module without Airflow

        found = Connection.get(conn_id)
        url = f"{found.schema or 'http'}://{found.host}:{found.port or 8080}"
        return cls(url, found.login, found.password, patience=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to Airflow."""
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """One request below ``/api/v2``; returns the JSON of the answer, None when there is none.

        Raises:
            AirflowError: Airflow refused it.
            AirflowUnreachableError: there was no answer within the timeout and patience.
        """
        if not tape.in_use():
            return self._patiently(method, path, **options)

        def ask() -> Any:
            try:
                return {"told": self._patiently(method, path, **options)}
            except AirflowError as error:
                return {"refused": [error.status, error.reason]}

        answer = tape.heard("airflow", [method, path, options], ask)
        if "refused" in answer:
            raise AirflowError(method, path, *answer["refused"])
        return answer["told"]

    def _patiently(self, method: str, path: str, **options: Any) -> Any:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._once(method, path, **options)
            except httpx.TransportError as error:
                if time.monotonic() >= deadline or not self._hopeful():
                    raise AirflowUnreachableError(f"no answer from {self.url}: {error}") from error
                time.sleep(0.5)

    def _once(self, method: str, path: str, **options: Any) -> Any:
        answer = self._authorised(method, path, **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED and self._credentials["username"]:
            self._token = None
            answer = self._authorised(method, path, **options)
        if answer.is_error:
            raise AirflowError(method, path, answer.status_code, _reason(answer))
        return answer.json() if answer.content else None

    def _authorised(self, method: str, path: str, **options: Any) -> httpx.Response:
        if self._token is None:
            answer = self._http.post("/auth/token", json=self._credentials)
            if answer.is_error:
                raise AirflowError("POST", "/auth/token", answer.status_code, _reason(answer))
            self._token = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._http.request(method, f"/api/v2{path}", headers=headers, **options)

    def get(self, path: str, **params: Any) -> Any:
        """GET; ``params`` are the query's."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST ``body`` as JSON."""
        return self.request("POST", path, json=body)

    def patch(self, path: str, body: Mapping[str, Any], **params: Any) -> Any:
        """PATCH ``body`` as JSON."""
        return self.request("PATCH", path, json=body, params=params)

    def delete(self, path: str) -> None:
        """DELETE."""
        self.request("DELETE", path)

    def pages(self, path: str, key: str, **params: Any) -> Iterator[Record]:
        """Every entry of a listing, however many pages it has."""
        offset = 0
        while True:
            page = self.get(path, limit=_PAGE, offset=offset, **params)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page.get("total_entries", 0):
                return

    def health(self) -> Record:
        """What Airflow says of its components."""
        found: Record = self.get("/monitor/health")
        return found

    def dag(self, dag_id: str) -> Record:
        """One DAG."""
        found: Record = self.get(f"/dags/{dag_id}")
        return found

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.patch(f"/dags/{dag_id}", {"is_paused": paused}, update_mask="is_paused")

    def trigger(self, dag_id: str, run_id: str, *, conf: Mapping[str, Any] | None = None, **fields: Any) -> Record:
        """Create a run, or return it when it is there; ``fields`` may hold ``run_after``, ``logical_date`` or ``note``.

        A request whose answer was lost is repeated, and a task that a stalled scheduler took for lost runs again: what
        has this id is then theirs.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {}), **fields}
        try:
            found: Record = self.post(f"/dags/{dag_id}/dagRuns", body)
        except AirflowError as error:
            if error.status != httpx.codes.CONFLICT:
                raise
            return self.run(dag_id, run_id)
        return found

    def run(self, dag_id: str, run_id: str) -> Record:
        """One run."""
        found: Record = self.get(f"/dags/{dag_id}/dagRuns/{run_id}")
        return found

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a run ``success``, ``failed`` or ``queued``; its running tasks are ended."""
        self.patch(f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state}, update_mask="state")

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task instance ``success``, ``failed`` or ``skipped``; its process ends at its next heartbeat."""
        self.patch(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}", {"new_state": state})

    def task_instances(self, dag_id: str = "~", run_id: str = "~", **params: Any) -> list[Record]:
        """The task instances of a run, or of all runs with ``~``, as Airflow lists them."""
        return list(self.pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances", **params))

    def task_log(self, record: Mapping[str, Any]) -> list[Record]:
        """The log of a task instance's last try, event by event: ``timestamp``, ``event`` and what else it has."""
        path = f"/dags/{record['dag_id']}/dagRuns/{record['dag_run_id']}/taskInstances/{record['task_id']}"
        number = max(int(record["try_number"]), 1)
        told = self.get(f"{path}/logs/{number}", map_index=record["map_index"], full_content=True)
        return [event if isinstance(event, dict) else {"event": event} for event in told["content"]]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """An XCom's value, deserialized; None when there is none."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.get(path, deserialize=False, map_index=map_index)["value"]
        except AirflowError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail", answer.text)
    except (ValueError, AttributeError):
        return answer.text[:300]
    return str(detail)[:500]
