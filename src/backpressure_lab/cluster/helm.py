"""``cluster/helm-values.yaml``: pools, queues, workers and their scaling for Airflow's official Helm chart.

Rendered from the manifest and from the settings of ``docker-compose.yml``. What a deployment has of its own (image,
DAGs, databases, passwords, how users log in) stays in its own values; these are laid over them.

``.venv/bin/python -m backpressure_lab.cluster.helm values.schema.json`` checks the file against the chart's schema.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from backpressure_lab import manifest
from backpressure_lab.cluster import variables, yamltext
from backpressure_lab.cluster.services import Service, services, worker_name
from backpressure_lab.manifest import Course, Queue

FILE = "cluster/helm-values.yaml"
CHART = "1.22.0"
_HEADER = f"""\
# Pools, queues, workers and their scaling for Airflow's official Helm chart, {CHART} or newer, over your own values:
#
#   helm upgrade --install airflow apache-airflow/airflow --values yours.yaml --values {FILE}
#
# Rendered from src/backpressure_lab/cluster and course.toml by `./lab dev check --fix`; edits here are lost. What yours
# must hold, and how this file is checked against the chart's schema, is in docs/cluster.md.
"""
_POOLS = "airflow-backpressure-pools"
_POOLS_FOLDER = "/opt/backpressure"
_MOST_WORKERS = 4

# What a deployment has of its own, or the chart sets: whole sections, or single options.
_NOT_OURS = {"database", "api", "api_auth", "logging", "metrics"}
_NOT_OURS_OF = {
    "core": {
        *("plugins_folder", "executor", "fernet_key", "execution_api_server_url"),
        *("simple_auth_manager_users", "simple_auth_manager_passwords_file"),
    },
    "dag_processor": {"dag_bundle_config_list"},
    "celery": {"broker_url", "result_backend"},
}


def document(course: Course) -> dict[str, Any]:
    """The whole file as plain data."""
    found = {service.name: service for service in services(course)}
    default = _default_queue(course)
    return {
        "executor": variables.airflow_settings()["core"]["executor"],
        "config": config(),
        "scheduler": {"replicas": found["scheduler"].replicas},
        "workers": {
            "celery": {
                **_worker(found[worker_name(default.name)]),
                "queue": default.name,
                # At least one worker stays for the tasks that prepare, watch and judge.
                "keda": {"enabled": True, "minReplicaCount": 1, "maxReplicaCount": _MOST_WORKERS},
                "sets": [
                    {
                        "name": worker_name(queue.name).removeprefix("worker-"),
                        "queue": queue.name,
                        **_worker(found[worker_name(queue.name)]),
                        "keda": {"minReplicaCount": 0},
                    }
                    for queue in course.queues
                    if queue is not default
                ],
            }
        },
        "extraConfigMaps": {_POOLS: {"data": _pools_file(course)}},
        "migrateDatabaseJob": {
            "args": ["bash", "-c", f"airflow db migrate && exec airflow pools import {_POOLS_FOLDER}/pools.json"],
            "extraVolumes": [{"name": "pools", "configMap": {"name": _POOLS}}],
            "extraVolumeMounts": [{"name": "pools", "mountPath": _POOLS_FOLDER, "readOnly": True}],
        },
    }


def _default_queue(course: Course) -> Queue:
    """The queue of tasks that name none."""
    name = variables.airflow_settings()["operators"]["default_queue"]
    return next(queue for queue in course.queues if queue.name == name)


def config() -> dict[str, dict[str, str]]:
    """The cluster's settings as far as they are not a deployment's own."""
    taken = {
        section: {name: _plain(value) for name, value in options.items() if name not in _NOT_OURS_OF.get(section, ())}
        for section, options in variables.airflow_settings().items()
        if section not in _NOT_OURS
    }
    return {section: options for section, options in taken.items() if options}


def _plain(value: str) -> str:
    """A value in which Compose's variables stand as their defaults."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def _worker(service: Service) -> dict[str, Any]:
    limits: dict[str, Any] = {"cpu": f"{service.cpus:g}", "memory": f"{service.memory.upper()}i"}
    limits |= {f"nvidia.com/{device}": 1 for device in service.devices}
    return {"resources": {"limits": limits}, "terminationGracePeriodSeconds": service.grace}


def _pools_file(course: Course) -> str:
    """A ConfigMap's data: the pools as ``airflow pools import`` reads them."""
    kept = ("slots", "description", "include_deferred")
    pools = {pool.name: {name: asdict(pool)[name] for name in kept} for pool in course.pools}
    return "pools.json: |\n" + textwrap.indent(json.dumps(pools, indent=2), "  ") + "\n"


def render(course: Course) -> str:
    """The text of the file."""
    return _HEADER + yamltext.text(document(course))


def problems(values: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """What the chart would not take or not read: against its schema, and beyond what that says.

    The schema takes any key at its top and in a worker set; a key that the chart does not know is ignored there, which
    is worse than an error. A set holds what ``workers.celery`` holds, and a name.
    """
    from jsonschema.validators import validator_for  # noqa: PLC0415 - the file is rendered without

    known = set(schema["properties"])
    yield from (f"{name}: the chart has no such value" for name in values if name not in known)
    kind = validator_for(schema)
    for error in kind(schema).iter_errors(values):
        yield f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    celery = schema["properties"]["workers"]["properties"]["celery"]
    one = {"properties": celery["properties"], "definitions": schema.get("definitions", {})}
    for number, found in enumerate(values["workers"]["celery"]["sets"]):
        place, unknown = f"workers.celery.sets.{number}", set(found) - set(celery["properties"]) - {"name"}
        yield from (f"{place}: the chart has no such value as {name}" for name in sorted(unknown))
        yield from (f"{place}: {error.message}" for error in kind(one).iter_errors(found))


def main(path: str) -> int:
    """Check the file against a copy of the chart's ``values.schema.json``; exit code 0 when the chart takes it."""
    values = yaml.safe_load((manifest.load().root / FILE).read_text(encoding="utf-8"))
    found = list(problems(values, json.loads(Path(path).read_text(encoding="utf-8"))))
    print("\n".join(found) or f"{FILE}: the chart's schema takes it")  # noqa: T201 - the command's result
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
