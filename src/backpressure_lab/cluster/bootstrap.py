"""Makes the cluster's pools and connections over REST: a job that runs at a start, and at every ``compose up`` after.

Lessons may be running then, so it ends no run; unlike the lab's own start, before which every task process is gone.
"""

from __future__ import annotations

import os
from pathlib import Path

from backpressure.airflow.client import AirflowClient

from backpressure_lab import manifest
from backpressure_lab.cluster import places
from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.connections import Servers, connections
from backpressure_lab.stack.settings import ADMIN


def main() -> None:
    """Make what is missing and say what was done."""
    servers = Servers(
        airflow=places.address("LAB_AIRFLOW"),
        upstream=places.address("LAB_UPSTREAM"),
        metrics=places.address("LAB_METRICS"),
        database=places.address("LAB_POSTGRES"),
        broker=places.address("LAB_REDIS"),
    )
    names = ("admin_password", "lab_password", "backpressure_password", "control_token", "redis_password")
    wanted = connections(servers, {name: places.secret(name) for name in names})
    course = manifest.load(Path(os.environ["LAB_ROOT"]) / "course.toml")
    with AirflowClient(places.airflow_url(), ADMIN, places.secret("admin_password"), patience=60) as api:
        bootstrap.make(api, wanted, course)
        bootstrap.give_back(api)


if __name__ == "__main__":
    main()
