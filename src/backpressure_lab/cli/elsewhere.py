"""A client of an Airflow that is not this checkout's lab: ``--url``, with credentials from the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from backpressure.airflow.client import AirflowClient, AirflowError, AirflowUnreachableError
from backpressure.airflow.run import CONTROL_POOL

from backpressure_lab.errors import LabError, NotRunningError

TOKEN, USER, PASSWORD = "LAB_TOKEN", "LAB_USER", "LAB_PASSWORD"
_MAJOR = "3"
_PATIENCE = 20.0
_REFUSED = (401, 403)
_NOT_FOUND = 404


@contextmanager
def airflow(url: str) -> Iterator[AirflowClient]:
    """A client of the Airflow at ``url``, once that has shown that it can run the course.

    Raises:
        LabError: the URL is none, credentials are missing or refused, or it is no Airflow 3 with the course's pools.
        NotRunningError: nothing answers there.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LabError(f"--url {url!r} is no web address.\nWrite it as in --url http://127.0.0.1:8080")
    token, user, password = (os.environ.get(name) or None for name in (TOKEN, USER, PASSWORD))
    if token is None and (user is None or password is None):
        raise LabError(f"There are no credentials for {url}.\nSet {TOKEN}, or {USER} and {PASSWORD}, and run it again.")
    with AirflowClient(url, user, password, token=token, patience=0.0, timeout=_PATIENCE) as api:
        try:
            _check(api, url)
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
    return f"They are those of {USER} and {PASSWORD}."


def _check(api: AirflowClient, url: str) -> None:
    try:
        found = str(api.get("/version")["version"])
    except AirflowError as error:
        if error.status != _NOT_FOUND:
            raise
        raise LabError(
            f"{url} is no Airflow {_MAJOR}: it has no /api/v2.\nThe course needs Airflow 3.3; give its address, "
            "without a path."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{url} answers, but not as Airflow does.\nGive Airflow's own address, without a path."
        ) from error
    if found.split(".", maxsplit=1)[0] != _MAJOR:
        raise LabError(f"{url} is Airflow {found}; the course needs Airflow 3.3.")
    if CONTROL_POOL not in {pool["name"] for pool in api.pages("/pools", "pools")}:
        raise LabError(
            f"{url} has no pool {CONTROL_POOL!r}: its tasks would wait for ever.\n"
            "Make the course's pools and connections there first; see docs/cluster.md."
        )
