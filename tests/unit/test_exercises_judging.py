"""Exercises in judging records: each answer's function gets what its author says, for whatever is drawn."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import pytest

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.facts import DagFacts, Facts

# Loading a file of these imports Airflow.
pytestmark = pytest.mark.slow
FUNCTIONS = {"106.8": "shown", "106.10": "cause"}
COURSE = manifest.load()
FILES = [catalog.find(COURSE, name) for name in FUNCTIONS]
ANSWERS = [(files, path) for files in FILES for path in (*files.right, *files.wrong) if path.stem != "not_reported"]
FACTS = Facts(DagFacts("x", 1, 1, ()), ())


@pytest.mark.parametrize(
    ("files", "path"), ANSWERS, ids=[f"{files.exercise.id} {path.stem}" for files, path in ANSWERS]
)
def test_the_first_mistake_is_the_one_that_the_file_is_named_after(files: catalog.Files, path: Path) -> None:
    """In a hundred checks; right answers make none."""
    spec = importlib.util.spec_from_file_location(f"judging_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Any = getattr(module, FUNCTIONS[files.exercise.id])
    first = set()
    for seed in range(100):
        load = files.draw(random.Random(seed), FACTS)  # noqa: S311 - made-up work
        told = {one["case"]: one for one in load.conf["cases"]}
        wrong = [case.code for number, case in load.sealed.items() if function(told[number]) != case.truth]
        first.add(wrong[0] if wrong else "")
    assert first == {path.stem if path in files.wrong else ""}
