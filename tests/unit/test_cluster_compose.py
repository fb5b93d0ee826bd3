"""docker-compose.yml: what the code says, what Compose accepts, and what one may expect of a cluster's services."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from backpressure_lab import manifest
from backpressure_lab.cluster import compose, dotenv
from backpressure_lab.cluster.services import worker_name

COURSE = manifest.load()
TEXT = (COURSE.root / compose.FILE).read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
JOBS = {"migrate", "bootstrap"}

for_each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_file_is_what_the_code_says() -> None:
    """Settings, queues and images are written once; ./lab dev check --fix renders the file from them."""
    assert compose.render(COURSE) == TEXT


def test_compose_accepts_it() -> None:
    """The file is valid by the Compose Specification's own schema, of the version that check-jsonschema carries."""
    schema = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(FILE, json.loads(schema.read_text(encoding="utf-8")))


def test_every_queue_of_the_manifest_has_its_workers() -> None:
    """A queue that nobody serves keeps its tasks for ever, and their pool slots with them."""
    served = {
        service["command"][service["command"].index("--queues") + 1]
        for service in SERVICES.values()
        if "--queues" in service.get("command", [])
    }
    assert served == {queue.name for queue in COURSE.queues}
    assert {worker_name(queue.name) for queue in COURSE.queues} <= set(SERVICES)


@for_each_service
def test_a_service_is_healthy_or_ends(name: str) -> None:
    """Jobs end and are tried again when they fail; everything else says that it is healthy and comes back."""
    service = SERVICES[name]
    assert ("healthcheck" in service) == (name not in JOBS)
    assert service["restart"] == ("on-failure:5" if name in JOBS else "unless-stopped")


@for_each_service
def test_a_service_waits_for_health(name: str) -> None:
    """What it stands on is there, and healthy or done, before it starts; jobs are waited for until they are done."""
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] == ("service_completed_successfully" if other in JOBS else "service_healthy")


@for_each_service
def test_a_service_is_bounded(name: str) -> None:
    """Memory, processors and logs have a limit, privileges cannot grow, and what scales has no fixed name."""
    service = SERVICES[name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "container_name" not in service
    assert "privileged" not in service
    assert "network_mode" not in service


def test_only_loopback_is_published() -> None:
    """Nobody on the network reaches the cluster, and databases are not published at all."""
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"api-server", "grafana"}
    assert all(port.startswith("127.0.0.1:") for found in ports.values() for port in found)


def test_what_must_outlive_a_container_is_in_a_named_volume() -> None:
    """The database and what waits in queues; and no volume is declared that nobody uses."""
    named = {name: volumes[0].split(":")[0] for name, one in SERVICES.items() if (volumes := one.get("volumes"))}
    assert (named["postgres"], named["redis"]) == ("database", "queues")
    used = {volume.split(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])}
    assert set(FILE["volumes"]) == {name for name in used if not name.startswith(".")}


def test_there_is_no_default_password() -> None:
    """Every password, key and token comes from .env, and Compose refuses to start without it."""
    asked = set(re.findall(r"\$\{([A-Z_]+):\?run ./lab compose-env\}", TEXT))
    mounted = {source["environment"] for source in FILE["secrets"].values()}
    assert asked | mounted == set(dotenv.variables())
    for name, value in FILE["x-airflow-environment"].items():
        if re.search("PASSWORD|SECRET|KEY|CONN|URL|BACKEND", name) and not name.endswith(
            ("_FILE", "_SERVER_URL", "BASE_URL")
        ):
            assert re.search(r"\$\{[A-Z_]+:\?", value), name


def test_no_secret_is_on_a_command_line() -> None:
    """A list of processes shows commands to everybody: they name files and no values."""
    for service in SERVICES.values():
        words = " ".join([*service.get("command", []), *service.get("healthcheck", {}).get("test", [])])
        assert not re.search(r"(?<!\$)\$\{?[A-Z_]*(PASSWORD|SECRET|TOKEN|KEY)", words)


def test_two_schedulers_and_what_module_14_says_of_workers() -> None:
    """Two schedulers from the start; a memory limit for high_memory; a device for gpu, which has a profile."""
    assert SERVICES["scheduler"]["deploy"]["replicas"] == 2
    ordinary, heavy = (
        SERVICES[f"worker-{name}"]["deploy"]["resources"]["limits"]["memory"] for name in ("default", "high-memory")
    )
    assert (ordinary, heavy) == ("2g", "4g")
    gpu = SERVICES["worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_files_that_are_mounted_are_there() -> None:
    """A folder that is missing would be made by Docker, empty and owned by root."""
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    folders = [COURSE.root / source for source in mounted if source.startswith("./")]
    assert folders
    assert all(folder.is_dir() for folder in folders)
    for path in (COURSE.root / "cluster").rglob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))
