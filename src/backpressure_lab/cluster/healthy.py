"""Whether a service of the cluster is healthy: ``… -m backpressure_lab.cluster.healthy QUESTION``, exit code 0 or 1.

The question is a URL, which must answer 200; a component of Airflow's own health page (``metadatabase``,
``dag_processor``, ``triggerer``), which must be healthy; or ``worker``: this host's Celery worker must answer a ping.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

from backpressure_lab.cluster import places
from backpressure_lab.errors import LabError

_SECONDS = 5.0
# What is asked is this container or its neighbour: a proxy that the engine passes on is for other addresses.
_open = build_opener(ProxyHandler({})).open


def answers(url: str) -> bool:
    """Whether the URL answers 200."""
    try:
        with _open(url, timeout=_SECONDS) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (OSError, HTTPException):
        return False


def component(name: str, url: str) -> bool:
    """Whether Airflow calls one of its components healthy."""
    try:
        with _open(f"{url}/api/v2/monitor/health", timeout=_SECONDS) as answer:
            told = json.load(answer).get(name) or {}
    except (OSError, HTTPException, ValueError):
        return False
    return bool(told.get("status") == "healthy")


def worker(broker: str, name: str) -> bool:
    """Whether the Celery worker of this name answers."""
    from celery import Celery  # noqa: PLC0415 - the other questions need no Celery
    from kombu.exceptions import KombuError  # noqa: PLC0415 - the same

    with Celery(broker=broker, set_as_current=False) as app:
        try:
            return bool(app.control.ping(destination=[name], timeout=_SECONDS))
        except (OSError, KombuError, *app.connection().connection_errors):
            return False


def main(question: str) -> int:
    """Ask, and answer by the exit code."""
    if question == "worker":
        host = os.environ.get("HOSTNAME", socket.gethostname())
        return int(not worker(os.environ["AIRFLOW__CELERY__BROKER_URL"], f"celery@{host}"))
    if question.startswith("http://"):
        return int(not answers(question))
    try:
        return int(not component(question, places.airflow_url()))
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the engine keeps what a health command says
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
