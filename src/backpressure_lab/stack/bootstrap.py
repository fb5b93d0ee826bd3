"""Makes pools and connections over REST: ``python -m backpressure_lab.stack.bootstrap``, once a start.

A pool that is there keeps its size, which a learner may have changed; ``./lab reset --pools`` sets it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from backpressure import pools
from backpressure.airflow import borrowed
from backpressure.airflow.client import AirflowClient, AirflowError

from backpressure_lab import manifest
from backpressure_lab.lessons import ending
from backpressure_lab.stack import settings
from backpressure_lab.stack.connections import Servers, connections
from backpressure_lab.stack.context import Context

_CONFLICT = 409


def client(context: Context, patience: float = 0.0, hopeful: Callable[[], bool] = lambda: True) -> AirflowClient:
    """A client of this lab's Airflow, as its admin."""
    password = context.secrets.admin_password
    return AirflowClient(context.url, settings.ADMIN, password, patience=patience, hopeful=hopeful)


def specs(course: manifest.Course) -> list[pools.PoolSpec]:
    """The manifest's pools."""
    return [pools.PoolSpec(pool.name, pool.slots, pool.description, pool.include_deferred) for pool in course.pools]


def servers(context: Context) -> Servers:
    """Where this lab's servers are; ports are this start's."""
    ports, sockets = context.ports, context.layout.sockets
    return Servers(
        airflow=("127.0.0.1", ports.api),
        upstream=("127.0.0.1", ports.upstream),
        metrics=("127.0.0.1", ports.metrics),
        database=(str(sockets), None),
        broker=(str(sockets / "valkey.sock"), None),
    )


def ensure_connection(api: AirflowClient, connection: dict[str, Any]) -> None:
    """Create the connection, or make it as given: ports change from start to start."""
    try:
        api.post("/connections", connection)
    except AirflowError as error:
        if error.status != _CONFLICT:
            raise
        api.patch(f"/connections/{connection['connection_id']}", connection)


def make(api: AirflowClient, wanted: Iterable[dict[str, Any]], course: manifest.Course) -> None:
    """Make what is missing, and say what was made; safe while lessons run."""
    for connection in wanted:
        ensure_connection(api, connection)
    for name, change in pools.ensure_all(api, specs(course)).items():
        print(f"pool {name}: {change}")


def give_back(api: AirflowClient) -> None:
    """Give back what runs that are over have left, and say what; safe while lessons run."""
    for loan in borrowed.give_back(api):
        print(f"gave back for a run that was cut off: {loan}")


def main() -> None:
    """Bootstrap the local lab."""
    context, course = Context.load(), manifest.load()
    workers = [f"{worker.name}@lab" for worker in course.workers]
    with client(context, patience=30) as api:
        make(api, connections(servers(context), asdict(context.secrets), workers), course)
        # Only here: no task of an earlier start is alive. A cluster's bootstrap may be run in the middle of lessons.
        for news in ending.end_cut_off(api, (item.dag_id for item in course.items)):
            print(news)
        give_back(api)


if __name__ == "__main__":
    main()
