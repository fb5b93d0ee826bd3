"""The manifest ``course.toml``: its loader, and the course that it describes."""

from backpressure_lab.manifest.loader import load
from backpressure_lab.manifest.model import (
    Course,
    Exercise,
    Item,
    Pool,
    Queue,
    Scenario,
    Section,
    State,
    UnknownItemError,
    Worker,
)
from backpressure_lab.manifest.problems import ManifestError, Problem

__all__ = [
    "Course",
    "Exercise",
    "Item",
    "ManifestError",
    "Pool",
    "Problem",
    "Queue",
    "Scenario",
    "Section",
    "State",
    "UnknownItemError",
    "Worker",
    "load",
]
