"""The Airflow connections that lessons use, in the local lab and in a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backpressure.airflow.celery import CONNECTION_ID as BROKER

from backpressure_lab.stack import postgres, settings

Address = tuple[str, int]
IDS = ("airflow_api", "upstream", "metrics", BROKER, "lab_postgres", "backpressure_db")


@dataclass(frozen=True)
class Servers:
    """Where tasks find the lab's servers, each as host and port; a port of None belongs to a unix socket's folder.

    ``broker`` is a host and port, or the path of a unix socket and None.
    """

    airflow: Address
    upstream: Address
    metrics: Address
    database: tuple[str, int | None]
    broker: tuple[str, int | None]


def connections(servers: Servers, secrets: Mapping[str, str], workers: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What lessons connect to.

    Args:
        servers: where it is; hosts and ports may be this start's.
        secrets: ``admin_password``, ``control_token``, ``lab_password``, ``backpressure_password``, and
            ``redis_password`` where the broker asks for one.
        workers: the names of the Celery workers, where they are known beforehand.
    """
    token = {"password": secrets["control_token"]}
    admin = {"login": settings.ADMIN, "password": secrets["admin_password"]}
    broker = {"password": secrets["redis_password"]} if "redis_password" in secrets else {}
    broker |= {"extra": json.dumps({"workers": list(workers)})} if workers else {}
    limit = f"its role may hold {postgres.LAB_CONNECTION_LIMIT} connections"
    api, upstream, metrics, workers_broker, application, shared = IDS
    return [
        _connection(api, "http", servers.airflow, "this Airflow's own REST API", **admin),
        _connection(upstream, "http", servers.upstream, "the upstream simulator", **token),
        _connection(metrics, "http", servers.metrics, "the StatsD receiver", **token),
        _connection(workers_broker, "redis", servers.broker, "the broker of the Celery workers", **broker),
        _database(application, "lab", servers, secrets, f"the lessons' application database; {limit}"),
        _database(shared, "backpressure", servers, secrets, "shared state of limiters and breakers"),
    ]


def _database(
    connection_id: str, name: str, servers: Servers, secrets: Mapping[str, str], words: str
) -> dict[str, Any]:
    password = secrets[f"{name}_password"]
    return _connection(connection_id, "postgres", servers.database, words, schema=name, login=name, password=password)


def _connection(
    connection_id: str, kind: str, where: tuple[str, int | None], words: str, **fields: str
) -> dict[str, Any]:
    host, port = where
    place = {"host": host} | ({"port": port} if port is not None else {})
    return {"connection_id": connection_id, "conn_type": kind, "description": words, **place, **fields}
