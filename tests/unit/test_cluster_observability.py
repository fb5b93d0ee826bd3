"""The observability profile: what is drawn is what the exporter tells, and what lesson 106.5.1 teaches is drawn."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import yaml

from backpressure_lab import manifest

COURSE = manifest.load()
FOLDER = COURSE.root / "cluster"
MAPPINGS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "statsd-exporter/mapping.yml").read_text(encoding="utf-8"))[
    "mappings"
]
DASHBOARD = json.loads((FOLDER / "grafana/dashboards/backpressure.json").read_text(encoding="utf-8"))
DRAWN = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])


def _mapped(name: str) -> str | None:
    """The Prometheus metric that a name of Airflow's becomes."""
    for mapping in MAPPINGS:
        pattern = mapping["match"]
        if mapping.get("match_type") != "regex":
            pattern = re.escape(pattern).replace(r"\*", "[^.]+")
        if re.fullmatch(pattern, name):
            return str(mapping["name"])
    return None


def _taught() -> set[str]:
    """The metrics of the lesson's dashboard that is wired rightly, for some pool, DAG and task."""
    source = (COURSE.root / COURSE.item("106.5.1").file).read_text(encoding="utf-8")
    (gauges,) = (
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GAUGES"
    )
    names = {"POOL": "a_pool", "DAG_ID": "a_dag"}
    wired = eval(compile(ast.Expression(gauges), "GAUGES", "eval"), {"__builtins__": {}}, names)["wired"]  # noqa: S307 - a literal of the course's own
    return {f"airflow.{name}" for group in wired.values() for name in group}


def test_what_is_drawn_is_what_the_exporter_tells() -> None:
    """A panel on a name that no mapping makes would stay empty."""
    made = {mapping["name"]: mapping.get("observer_type") for mapping in MAPPINGS}
    known = {f"{name}_bucket" if kind == "histogram" else name for name, kind in made.items()}
    drawn = set(re.findall(r"airflow_\w+", DRAWN))
    assert drawn
    assert drawn <= known


def test_the_metrics_that_the_lesson_teaches_are_drawn() -> None:
    """Depth, utilisation and lag: from Airflow's names through the mapping to a panel."""
    taught = _taught()
    assert len(taught) >= 4
    for name in taught:
        metric = _mapped(name)
        assert metric, name
        assert metric in DRAWN, name


def test_a_task_of_a_group_is_mapped_too() -> None:
    """Its id has a dot."""
    assert _mapped("airflow.dag.a_dag.a_group.a_task.scheduled_duration") == "airflow_task_scheduled_duration_seconds"


def test_panels_have_places_of_their_own() -> None:
    """No id twice, and no panel on top of another."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
