"""Makes pools and connections over REST: ``python -m backpressure_lab.stack.bootstrap``, once a start.

A pool that is there keeps its size, which a learner may have changed; ``./lab reset --pools`` sets it back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from backpressure import pools
from backpressure.airflow import borrowed
from backpressure.airflow.celery import CONNECTION_ID
from backpressure.airflow.client import AirflowClient, AirflowError

from backpressure_lab import manifest
from backpressure_lab.lessons import ending
from backpressure_lab.stack import postgres, settings
from backpressure_lab.stack.context import Context

_CONFLICT = 409


def client(context: Context, patience: float = 0.0, hopeful: Callable[[], bool] = lambda: True) -> AirflowClient:
    """A client of this lab's Airflow, as its admin."""
    password = context.secrets.admin_password
    return AirflowClient(context.url, settings.ADMIN, password, patience=patience, hopeful=hopeful)


def specs() -> list[pools.PoolSpec]:
    """The manifest's pools."""
    course = manifest.load()
    return [pools.PoolSpec(pool.name, pool.slots, pool.description, pool.include_deferred) for pool in course.pools]


def connections(context: Context) -> list[dict[str, Any]]:
    """What lessons connect to; hosts and ports are this start's."""
    secrets, ports = context.secrets, context.ports
    loopback = {"conn_type": "http", "host": "127.0.0.1"}
    databases = [
        {
            "connection_id": conn_id,
            "conn_type": "postgres",
            "host": str(context.layout.sockets),
            "schema": name,
            "login": name,
            "password": password,
            "description": description,
        }
        for conn_id, name, password, description in (
            (
                "lab_postgres",
                "lab",
                secrets.lab_password,
                f"the lessons' application database; its role may hold {postgres.LAB_CONNECTION_LIMIT} connections",
            ),
            ("backpressure_db", "backpressure", secrets.backpressure_password, "shared state of limiters and breakers"),
        )
    ]
    broker = {
        "connection_id": CONNECTION_ID,
        "conn_type": "redis",
        "host": str(context.layout.sockets / "valkey.sock"),
        "extra": json.dumps({"workers": [f"{worker.name}@lab" for worker in manifest.load().workers]}),
        "description": "the broker of the Celery workers",
    }
    return [
        broker,
        loopback
        | {
            "connection_id": "airflow_api",
            "port": ports.api,
            "login": settings.ADMIN,
            "password": secrets.admin_password,
            "description": "this Airflow's own REST API",
        },
        loopback
        | {
            "connection_id": "upstream",
            "port": ports.upstream,
            "password": secrets.control_token,
            "description": "the upstream simulator",
        },
        loopback
        | {
            "connection_id": "metrics",
            "port": ports.metrics,
            "password": secrets.control_token,
            "description": "the StatsD receiver",
        },
        *databases,
    ]


def ensure_connection(api: AirflowClient, connection: dict[str, Any]) -> None:
    """Create the connection, or make it as given: ports change from start to start."""
    try:
        api.post("/connections", connection)
    except AirflowError as error:
        if error.status != _CONFLICT:
            raise
        api.patch(f"/connections/{connection['connection_id']}", connection)


def main() -> None:
    """Make what is missing and say what was done."""
    context = Context.load()
    with client(context, patience=30) as api:
        for connection in connections(context):
            ensure_connection(api, connection)
        for name, change in pools.ensure_all(api, specs()).items():
            print(f"pool {name}: {change}")
        for news in ending.end_cut_off(api, (item.dag_id for item in manifest.load().items)):
            print(news)
        for loan in borrowed.give_back(api):
            print(f"gave back for a run that was cut off: {loan}")


if __name__ == "__main__":
    main()
