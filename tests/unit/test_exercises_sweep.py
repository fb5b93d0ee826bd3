"""What a killed check leaves behind is removed by the next grading, and what a running one needs is not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from backpressure.airflow.client import AirflowError
from backpressure.airflow.upstream import Endpoint

from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.staging import TROUBLE, _owner, sweep


class Api:
    """An Airflow that knows a run of each DAG until it is deleted, and notes what is done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.known = {"x__1_0"}

    def pages(self, path: str, _name: str) -> list[dict[str, Any]]:
        """The runs of a DAG."""
        dag_id = path.split("/")[2]
        if dag_id not in self.known:
            raise AirflowError("GET", path, 404, "not found")
        return [{"dag_run_id": "check-0", "state": "running"}]

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Note the end of a run."""
        self.done.append(f"{dag_id} {run_id} {state}")

    def delete(self, path: str) -> None:
        """Note what is gone."""
        self.done.append(f"deleted {path}")
        self.known.discard(path.rsplit("/", maxsplit=1)[-1])


@pytest.mark.parametrize(
    ("owner", "swept"),
    [
        (_owner(), 0),
        ([os.getpid(), psutil.Process().create_time()], 0),
        ([os.getpid(), 1.0], 1),
        ([2**22 + 1, 1.0], 1),
        (None, 0),
    ],
    ids=["running", "running, as written before", "another process of the same id", "gone", "half written"],
)
def test_only_what_nobody_owns_any_more_is_removed(tmp_path: Path, owner: Any, swept: int) -> None:
    """With its runs, DAGs, pools and files."""
    place, api = Place(tmp_path / "checks", tmp_path / "submissions", Endpoint("http://none")), Api()
    plan = place.checks / "x__1.json"
    files = [plan, plan.with_suffix(".py"), plan.with_suffix(TROUBLE), place.submissions / "x__1.py"]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.write_text("", encoding="utf-8")
    plan.write_text(json.dumps({"owner": owner, "copies": ["x__1_0"], "pools": {"a": "x__1__a"}}), encoding="utf-8")
    asked: Any = api
    assert sweep(place, asked) == swept
    assert [path.exists() for path in files] == [not swept] * 4
    gone = ["x__1_0 check-0 failed", "deleted /dags/x__1_0", "deleted /pools/x__1__a"]
    assert api.done == (gone if swept else [])
