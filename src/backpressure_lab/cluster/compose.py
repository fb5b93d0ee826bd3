"""``docker-compose.yml``, rendered from the services: what is written here is how Compose wants it said."""

from __future__ import annotations

from typing import Any

import yaml

from backpressure_lab.cluster import places, variables, yamltext
from backpressure_lab.cluster.services import Service, services
from backpressure_lab.manifest import Course

FILE = "docker-compose.yml"
_IMAGE = "${LAB_IMAGE:-airflow-backpressure-lab}"
_HEADER = """\
# The lab as a Celery cluster: PostgreSQL, a broker, two schedulers, workers for each queue.
#
#   ./lab compose-env                                    once: passwords into .env
#   docker compose up --build --detach                   http://127.0.0.1:8080, user admin, ADMIN_PASSWORD of .env
#   docker compose up --detach --scale worker-default=4  more workers for one queue
#   docker compose --profile observability up --detach   and Prometheus and Grafana
#
# Rendered from src/backpressure_lab/cluster and course.toml by `./lab dev check --fix`; edits here are lost. Changes of
# your own belong into docker-compose.override.yml. More in docs/cluster.md.
"""


class _Dumper(yamltext.Dumper):
    """Names what several services share."""

    def generate_anchor(self, node: yaml.Node) -> str:
        """What the lines say that several services share: where logs go, or Airflow's variables."""
        assert isinstance(node, yaml.MappingNode)
        return "logging" if node.value[0][0].value == "driver" else "airflow"


def document(course: Course) -> dict[str, Any]:
    """The whole file as plain data."""
    found = services(course)
    airflow = variables.airflow()
    logging = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    named = [volume.split(":")[0] for service in found for volume in service.volumes if not volume.startswith(".")]
    used = dict.fromkeys(name for service in found for name in service.secrets)
    return {
        "name": "airflow-backpressure-lab",
        "x-airflow-environment": airflow,
        "x-logging": logging,
        "services": {service.name: _service(service, airflow, logging) for service in found},
        "volumes": dict.fromkeys(["task-logs", *named]),
        "secrets": {name: {"environment": name.upper()} for name in used},
    }


def render(course: Course) -> str:
    """The text of the file."""
    return _HEADER + yamltext.text(document(course), _Dumper)


def _service(service: Service, airflow: dict[str, str], logging: dict[str, Any]) -> dict[str, Any]:
    own = {} if service.image else {"build": {"context": ".", "dockerfile": "Dockerfile"}, "init": True}
    logs = [f"task-logs:{places.LAYOUT.home / 'task-logs'}"] if service.airflow else []
    wanted = {
        "profiles": [service.profile] if service.profile else [],
        "command": list(service.command),
        "environment": airflow if service.airflow else service.environment,
        "secrets": list(service.secrets),
        "volumes": [*logs, *service.volumes],
        "ports": list(service.ports),
        "depends_on": {name: {"condition": condition} for name, condition in service.after.items()},
        "healthcheck": _healthcheck(service),
    }
    return {
        "image": service.image or _IMAGE,
        **own,
        **{key: value for key, value in wanted.items() if value},
        "restart": "on-failure:5" if service.once else "unless-stopped",
        "stop_grace_period": f"{service.grace}s",
        "security_opt": ["no-new-privileges:true"],
        "logging": logging,
        "deploy": _deploy(service),
    }


def _healthcheck(service: Service) -> dict[str, Any]:
    if service.once:
        return {}
    test = list(service.health) if service.health[0].startswith("CMD") else ["CMD", *service.health]
    often = {"interval": "10s", "timeout": "10s", "retries": 6}
    return {"test": test, **often, "start_period": "90s", "start_interval": "2s"}


def _deploy(service: Service) -> dict[str, Any]:
    resources: dict[str, Any] = {"limits": {"cpus": f"{service.cpus:g}", "memory": service.memory}}
    if service.devices:
        devices = [{"driver": "nvidia", "count": 1, "capabilities": list(service.devices)}]
        resources["reservations"] = {"devices": devices}
    replicas = {"replicas": service.replicas} if service.replicas != 1 else {}
    return {**replicas, "resources": resources}
