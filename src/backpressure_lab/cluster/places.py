"""Where things are inside the cluster: the names that its services call each other by, and the image's folders."""

from __future__ import annotations

import os
from pathlib import Path

from backpressure_lab.errors import LabError
from backpressure_lab.stack.layout import Layout

API_SERVER, POSTGRES, REDIS, UPSTREAM, METRICS = "api-server", "postgres", "redis", "upstream", "metrics"
STATSD_EXPORTER = "statsd-exporter"

API_PORT = 8080
POSTGRES_PORT = 5432
REDIS_PORT = 6379
UPSTREAM_PORT = 8090
METRICS_PORT = 8125
STATSD_PORT = 8125  # UDP, beside the TCP port of the same number
STATSD_EXPORTER_PORT = 9125  # UDP
STATSD_EXPORTER_HTTP_PORT = 9102
SCHEDULER_HEALTH_PORT = 8974  # Airflow's default, [scheduler] scheduler_health_check_server_port

# The image keeps the course where a checkout has it, and writes to one folder only.
LAYOUT = Layout(root=Path("/opt/lab"), home=Path("/var/lib/lab"))
SECRETS = Path("/run/secrets")

ADDRESSES = {
    "LAB_AIRFLOW": (API_SERVER, API_PORT),
    "LAB_POSTGRES": (POSTGRES, POSTGRES_PORT),
    "LAB_REDIS": (REDIS, REDIS_PORT),
    "LAB_UPSTREAM": (UPSTREAM, UPSTREAM_PORT),
    "LAB_METRICS": (METRICS, METRICS_PORT),
}
"""The variables by which the lab's own programs in the cluster learn where its servers are."""


def address(variable: str) -> tuple[str, int]:
    """Host and port of one of the cluster's servers, for a program that runs in the cluster.

    Raises:
        LabError: the variable is missing or is not ``host:port``.
    """
    host, _, port = os.environ.get(variable, "").rpartition(":")
    if not host or not port.isdecimal():
        raise LabError(f"{variable}={os.environ.get(variable)!r} is not host:port; docker-compose.yml sets it.")
    return host, int(port)


def airflow_url() -> str:
    """Airflow's web address, for a program that runs in the cluster."""
    host, port = address("LAB_AIRFLOW")
    return f"http://{host}:{port}"


def secret(name: str) -> str:
    """A secret that Compose has mounted for this service.

    Raises:
        LabError: it is missing or empty.
    """
    path = Path(os.environ.get("LAB_SECRETS", SECRETS)) / name
    try:
        found = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise LabError(
            f"{path}: {error.strerror}. docker-compose.yml gives it to the services that need it."
        ) from error
    if not found:
        raise LabError(f"{path} is empty.\nMake .env with ./lab compose-env and start the service again.")
    return found
