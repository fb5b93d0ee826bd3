"""A client of an Airflow that is not this checkout's lab: ``--url``, with credentials from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from backpressure.airflow.client import AirflowClient, AirflowError, AirflowUnreachableError

from backpressure_lab import manifest
from backpressure_lab.errors import LabError, NotRunningError
from backpressure_lab.stack import connections

TOKEN, USER, PASSWORD = "LAB_TOKEN", "LAB_USER", "LAB_PASSWORD"
PLUGIN = "backpressure"
_NEEDED = (3, 3)
# Of one request; a server that listens and says nothing is given up after it.
_TIMEOUT = 20.0
# An API server that is started again in the middle of a run answers within this time.
_PATIENCE = 45.0
_REFUSED = (401, 403)
_COMPOSE = "of a cluster of docker-compose.yml: admin, and ADMIN_PASSWORD of .env"
_BOOTSTRAP = (
    "On the cluster of docker-compose.yml run: docker compose run --rm bootstrap\nElsewhere: see docs/cluster.md"
)


@contextmanager
def airflow(url: str) -> Iterator[AirflowClient]:
    """A client of the Airflow at ``url``, once that has shown that it can run the course.

    Raises:
        LabError: the URL is none, credentials are missing or refused, or it is no Airflow 3.3 with the course's plugin,
            pools and connections.
        NotRunningError: nothing answers there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LabError(f"--url {url!r} is no web address.\nWrite it as in --url http://127.0.0.1:8080")
    token, user, password = (os.environ.get(name) or None for name in (TOKEN, USER, PASSWORD))
    if token is None and (user is None or password is None):
        raise LabError(f"There are no credentials for {url}.\nSet {TOKEN}, or {USER} and {PASSWORD}; {_COMPOSE}.")
    try:
        with AirflowClient(url, user, password, token=token, timeout=_TIMEOUT) as api:
            _check_version(api)
            _check_course(api)
        with AirflowClient(url, user, password, token=token, timeout=_TIMEOUT, patience=_PATIENCE) as api:
            yield api
    except AirflowUnreachableError as error:
        raise NotRunningError(f"Nothing answers at {url}: {error}.\nTry: curl {url}/api/v2/version") from error
    except AirflowError as error:
        if error.status in _REFUSED:
            raise LabError(f"{url} refuses these credentials: {error.reason}.\n{_whose(token)}") from error
        raise LabError(f"Airflow refused a request: {error}") from error


def _whose(token: str | None) -> str:
    if token is not None:
        return f"The token is that of {TOKEN}; it may be too old, or its user may lack rights."
    return (
        f"They are those of {USER} and {PASSWORD}; of a cluster of docker-compose.yml: admin, ADMIN_PASSWORD of .env."
    )


def _check_version(api: AirflowClient) -> None:
    needed = ".".join(map(str, _NEEDED))
    try:
        found = str(api.get("/version")["version"])
    except AirflowError as error:
        if error.status in _REFUSED:
            raise
        raise LabError(
            f"{api.url} is no Airflow {needed}, which has /api/v2: {error}.\n"
            "Give Airflow's own address, without a path."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{api.url} answers, but not as Airflow does.\nGive Airflow's own address, without a path."
        ) from error
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if numbers[:1] != _NEEDED[:1] or numbers < _NEEDED:
        raise LabError(
            f"{api.url} is Airflow {found}; the course needs Airflow {needed}.\n"
            "Upgrade it, or run the lab here: ./lab up"
        )


def _check_course(api: AirflowClient) -> None:
    """What lessons would wait for, or fail without, in the middle of a run."""
    if PLUGIN not in {plugin["name"] for plugin in api.pages("/plugins", "plugins")}:
        raise LabError(
            f"{api.url} has no plugin {PLUGIN!r}: tasks and schedulers there cannot use the package.\n"
            "Install this project's wheel wherever Airflow runs, and start it again; see docs/cluster.md"
        )
    pools = {pool["name"] for pool in api.pages("/pools", "pools")}
    _missing(api, "pool", (pool.name for pool in manifest.load().pools if pool.name not in pools))
    known = {connection["connection_id"] for connection in api.pages("/connections", "connections")}
    _missing(api, "connection", (name for name in connections.IDS if name not in known))


def _missing(api: AirflowClient, kind: str, names: Iterable[str]) -> None:
    missing = ", ".join(map(repr, names))
    if missing:
        raise LabError(f"{api.url} has no {kind} {missing}, which lessons need.\n{_BOOTSTRAP}")
