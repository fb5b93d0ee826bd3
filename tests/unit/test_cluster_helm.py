"""The values for Airflow's Helm chart: what the code says, what the manifest has, and what the chart takes."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from backpressure_lab import manifest
from backpressure_lab.cluster import compose, helm

COURSE = manifest.load()
TEXT = (COURSE.root / helm.FILE).read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
CELERY: dict[str, Any] = VALUES["workers"]["celery"]
SCHEMA = "HELM_CHART_SCHEMA"

# As much of a chart's schema as these tests need; the real one takes any key at its top and in a worker set, too.
_SMALL = {
    "type": "object",
    "properties": {
        **{name: {} for name in ("executor", "config", "scheduler", "extraConfigMaps", "migrateDatabaseJob")},
        "workers": {
            "properties": {
                "celery": {
                    "type": "object",
                    "properties": {
                        "queue": {"type": "string"},
                        "keda": {"properties": {"minReplicaCount": {"type": ["integer", "null"]}}},
                        **{name: {} for name in ("resources", "terminationGracePeriodSeconds")},
                        "sets": {"items": {"type": "object", "additionalProperties": {}}},
                    },
                }
            }
        },
    },
}


def test_the_file_is_what_the_code_says() -> None:
    """Queues, pools and settings are written once; ./lab dev check --fix renders the file from them."""
    assert helm.render(COURSE) == TEXT


def test_every_queue_has_workers_that_scale() -> None:
    """One set for each queue besides the default one; KEDA may end all workers but the last of the default queue."""
    served = [CELERY["queue"], *(one["queue"] for one in CELERY["sets"])]
    assert sorted(served) == sorted(queue.name for queue in COURSE.queues)
    assert CELERY["keda"]["enabled"]
    assert CELERY["keda"]["minReplicaCount"] == 1
    assert {one["keda"]["minReplicaCount"] for one in CELERY["sets"]} == {0}
    assert "nvidia.com/gpu" in next(one for one in CELERY["sets"] if one["queue"] == "gpu")["resources"]["limits"]


def test_the_pools_are_the_manifests() -> None:
    """They are imported after each migration, from a file in the format of ``airflow pools import``."""
    (found,) = (json.loads(yaml.safe_load(one["data"])["pools.json"]) for one in VALUES["extraConfigMaps"].values())
    assert {name: pool["slots"] for name, pool in found.items()} == {pool.name: pool.slots for pool in COURSE.pools}
    job = VALUES["migrateDatabaseJob"]
    (volume,), (mount,) = job["extraVolumes"], job["extraVolumeMounts"]
    assert volume["configMap"]["name"] in VALUES["extraConfigMaps"]
    assert f"airflow pools import {mount['mountPath']}/pools.json" in job["args"][-1]


def test_settings_are_those_of_compose_without_secrets_and_places() -> None:
    """What is set here is set so in docker-compose.yml, too; nothing refers to .env or to a host of that cluster."""
    file = yaml.safe_load((COURSE.root / compose.FILE).read_text(encoding="utf-8"))
    environment = file["x-airflow-environment"]
    for section, options in VALUES["config"].items():
        for name, value in options.items():
            there = environment[f"AIRFLOW__{section.upper()}__{name.upper()}"]
            assert value in (there, there.partition(":-")[2].rstrip("}")), (section, name)
    assert "$" not in TEXT
    assert not [service for service in file["services"] if f"{service}:" in str(VALUES["config"])]


def test_what_the_chart_would_ignore_or_refuse_is_told() -> None:
    """An unknown value at the top or in a set, which the chart ignores silently, and one of a wrong type."""
    assert list(helm.problems(VALUES, _SMALL)) == []
    wrong = copy.deepcopy(VALUES)
    wrong["pools"] = []
    wrong["workers"]["celery"]["sets"][0]["queues"] = "high_priority"
    wrong["workers"]["celery"]["keda"]["minReplicaCount"] = "one"
    wrong["workers"]["celery"]["sets"][1]["queue"] = 7
    unknown, kind, key, kind_in_set = helm.problems(wrong, _SMALL)
    assert unknown == "pools: the chart has no such value"
    assert "workers.celery.keda.minReplicaCount" in kind
    assert key == "workers.celery.sets.0: the chart has no such value as queues"
    assert kind_in_set == "workers.celery.sets.1: 7 is not of type 'string'"


@pytest.mark.skipif(
    SCHEMA not in os.environ, reason=f"{SCHEMA} names no values.schema.json of the chart: docs/cluster.md"
)
def test_the_charts_published_schema_takes_it() -> None:
    """The schema is the chart's own, of the release that the file names or a newer one."""
    schema = json.loads(Path(os.environ[SCHEMA]).read_text(encoding="utf-8"))
    assert list(helm.problems(VALUES, schema)) == []
