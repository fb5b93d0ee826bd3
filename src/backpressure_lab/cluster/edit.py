"""``cluster/edit.yml``, laid over ``docker-compose.yml``: the clone's own files in place of the image's."""

from __future__ import annotations

from typing import Any

import yaml

from backpressure_lab.cluster import places, yamltext
from backpressure_lab.cluster.services import services
from backpressure_lab.manifest import Course

FILE = "cluster/edit.yml"
PYTHON = "3.13"
"""The interpreter of the image, in whose folders the package lies."""

FOLDERS = {
    "./dags": places.LAYOUT.dags,
    "./work": places.LAYOUT.work,
    "./plugins/backpressure": f"/opt/venv/lib/python{PYTHON}/site-packages/backpressure",
    "./.lab/cluster/checks": places.LAYOUT.checks,
    "./.lab/cluster/submissions": places.LAYOUT.submissions,
}
_HEADER = f"""\
# The clone's own DAG files, package and exercises in place of the image's, to be edited while the cluster runs.
#
#   mkdir -p work .lab/cluster/checks .lab/cluster/submissions
#   docker compose --file docker-compose.yml --file {FILE} up --detach
#
# A folder that is missing is an error: Docker would make it, owned by root. Rendered from src/backpressure_lab/cluster
# by `./lab dev check --fix`; edits here are lost. More in docs/cluster.md.
"""


class _Dumper(yamltext.Dumper):
    """Names what all services share."""

    def generate_anchor(self, node: yaml.Node) -> str:  # noqa: ARG002 - there is one
        """The folders."""
        return "folders"


def document(course: Course) -> dict[str, Any]:
    """The whole file as plain data."""
    found = [service.name for service in services(course) if service.airflow and not service.once]
    folders = [_mount(source, str(target)) for source, target in FOLDERS.items()]
    # Checks of exercises set it up, and read its log, from outside the cluster.
    port = f"127.0.0.1:${{UPSTREAM_PORT:-{places.UPSTREAM_PORT}}}:{places.UPSTREAM_PORT}"
    return {"services": {name: {"volumes": folders} for name in found} | {places.UPSTREAM: {"ports": [port]}}}


def _mount(source: str, target: str) -> dict[str, Any]:
    bind = {"type": "bind", "source": source, "target": target, "read_only": True}
    return bind | {"bind": {"create_host_path": False}}


def render(course: Course) -> str:
    """The text of the file."""
    return _HEADER + yamltext.text(document(course), _Dumper)
