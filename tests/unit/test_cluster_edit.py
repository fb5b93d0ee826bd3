"""cluster/edit.yml: what is mounted for editing lands where the image has it, and nothing but loopback is opened."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import jsonschema
import yaml
from support.dockerfile import instructions

from backpressure_lab import manifest
from backpressure_lab.cluster import compose, edit, places
from backpressure_lab.stack.layout import Layout

COURSE = manifest.load()
TEXT = (COURSE.root / edit.FILE).read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
BASE: dict[str, dict[str, Any]] = yaml.safe_load((COURSE.root / compose.FILE).read_text(encoding="utf-8"))["services"]


def test_the_file_is_what_the_code_says() -> None:
    """./lab dev check --fix renders it."""
    assert edit.render(COURSE) == TEXT


def test_compose_accepts_it_over_the_other_file() -> None:
    """It is valid by the Compose Specification's schema, and names no service that the other file has not."""
    schema = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(yaml.safe_load(TEXT), json.loads(schema.read_text(encoding="utf-8")))
    assert set(SERVICES) <= set(BASE)


def test_whatever_parses_or_runs_dags_has_the_same_files() -> None:
    """A worker that has another file than the DAG processor would run another task than was planned."""
    runs = {name for name, one in BASE.items() if "airflow" in one.get("command", [])}
    assert runs <= set(SERVICES)
    mounted = [one["volumes"] for one in SERVICES.values() if "volumes" in one]
    assert all(volumes == mounted[0] for volumes in mounted)
    assert all(one["read_only"] and not one["bind"]["create_host_path"] for one in mounted[0])


def test_a_folder_lands_where_the_image_and_its_airflow_look() -> None:
    """DAGs where COPY puts them, checks and work where the bundles are, the package where the image's Python has it."""
    targets = {one["source"]: one["target"] for one in SERVICES["dag-processor"]["volumes"]}
    steps = instructions((COURSE.root / "Dockerfile").read_text(encoding="utf-8"))
    assert ("COPY", f"dags {targets['./dags']}") in steps
    bundles = json.loads(BASE["dag-processor"]["environment"]["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    loaded = {bundle["name"]: bundle["kwargs"]["path"] for bundle in bundles}
    here = {"./dags": "lessons", "./work": "work", "./.lab/cluster/checks": "checks"}
    assert loaded == {name: targets[source] for source, name in here.items()}
    (python,) = {re.sub(r"^python:([\d.]+)-.*", r"\1", rest) for word, rest in steps if word == "FROM"}
    assert targets["./plugins/backpressure"] == f"/opt/venv/lib/python{python}/site-packages/backpressure"


def test_a_check_finds_both_folders_where_it_writes() -> None:
    """What ./lab check --url writes to by default is what is mounted, and the two lie side by side inside, too."""
    layout, folders = Layout(COURSE.root, COURSE.root / ".lab"), edit.FOLDERS
    for name in ("checks", "submissions"):
        here = (layout.cluster / name).relative_to(layout.root)
        assert folders[f"./{here}"] == getattr(places.LAYOUT, name)
    assert places.LAYOUT.checks.parent == places.LAYOUT.submissions.parent


def test_only_loopback_is_published() -> None:
    """The upstream, whose settings and log have a token."""
    assert [one["ports"] for one in SERVICES.values() if "ports" in one] == [["127.0.0.1:${UPSTREAM_PORT:-8090}:8090"]]
