"""Every written lesson proves itself on a live scheduler, in every scenario; and the verdict is the scheduler's."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import threading
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from backpressure import pools
from backpressure.airflow import borrowed
from support.lab import Lab, wait_until

from backpressure_lab import manifest
from backpressure_lab.lessons.result import load_kept
from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

WRITTEN = manifest.load().written
POOL_LESSON = "106.2.1"


@dataclass(frozen=True)
class Proved:
    """What ``./lab prove --all`` made of the written lessons, and the lab's pools before and after."""

    code: int
    stderr: str
    results: dict[tuple[str, str], dict[str, Any]]
    pools: tuple[dict[str, int], dict[str, int]]
    suites: list[str]
    page: str


@pytest.fixture(scope="session")
def proved(lab: Lab, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Proved:
    """Every scenario of every lesson that is asked for, run once, side by side as far as they may."""
    asked = {item.callspec.params.get("item") for item in request.session.items if hasattr(item, "callspec")}
    items = [item.id for item in WRITTEN if item.id in asked]
    which = items if 0 < len(items) < len(WRITTEN) else ["--all"]
    folder = tmp_path_factory.mktemp("proofs")
    files = {kind: folder / f"proofs.{kind}" for kind in ("json", "junit", "html")}
    before = _pools(lab)
    # One lesson a core: how many the machine bears for a while is not what is tried here.
    width = ("--jobs", str(os.cpu_count() or 2))
    done = lab("prove", *which, *width, *(f"--{kind}={path}" for kind, path in files.items()), timeout=2400)
    results = json.loads(files["json"].read_text(encoding="utf-8")) if files["json"].is_file() else []
    suites = ET.parse(files["junit"]).findall("testsuite") if files["junit"].is_file() else []  # noqa: S314 - our own
    return Proved(
        done.returncode,
        done.stderr,
        {(result["item"], result["scenario"]): result for result in results},
        (before, _pools(lab)),
        [str(suite.get("name")) for suite in suites],
        files["html"].read_text(encoding="utf-8") if files["html"].is_file() else "",
    )


@pytest.fixture(scope="session")
def accepted(lab: Lab, proved: Proved) -> dict[tuple[str, str], dict[str, Any]]:
    """What ``./lab dev accept`` says of these runs, by item and check."""
    assert proved.results, proved.stderr
    checks = json.loads(lab("dev", "accept", "--json").stdout)
    return {(check["item"], check["name"]): check for check in checks}


def _pools(lab: Lab) -> dict[str, int]:
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=30) as api:
        return {pool["name"]: pool["slots"] for pool in api.pages("/pools", "pools")}


TIMES = ("scheduled_when", "queued_when", "start_date", "end_date")


def _account(lab: Lab, proved: Proved, item: str, scenario: str) -> str:
    """Each task of a scenario with its times, and what was proved beside it: the lab that knows is soon gone."""

    def span(result: dict[str, Any]) -> tuple[dt.datetime, dt.datetime]:
        end = dt.datetime.fromisoformat(result["at"])
        return end - dt.timedelta(seconds=result["seconds"]), end

    spans = {" ".join(which): span(result) for which, result in proved.results.items()}
    began, ended = spans.pop(f"{item} {scenario}")
    beside = [f"{name} ({a:%T} to {b:%T})" for name, (a, b) in spans.items() if a < ended and b > began]
    kept = load_kept(Layout.of(home=lab.home), manifest.load().item(item), scenario)
    tasks = [
        " ".join(
            [(record.get(time) or "-")[11:23] for time in TIMES]
            + [str(record[key]) for key in ("dag_id", "task_id", "map_index", "state")]
        )
        for record in (kept.data["records"] if kept else ())
    ]
    head = f"{item} {scenario} ({began:%T} to {ended:%T}); beside it: {', '.join(beside) or 'nothing'}"
    return "\n".join([head, ", ".join(TIMES), *sorted(tasks)])


@pytest.mark.parametrize(
    ("item", "scenario"),
    [(item.id, scenario) for item in WRITTEN for scenario in item.scenarios],
)
def test_a_scenario_is_as_expected(lab: Lab, proved: Proved, item: str, scenario: str) -> None:
    """Bullets hold exactly where the manifest says so."""
    assert (item, scenario) in proved.results, proved.stderr
    result = proved.results[item, scenario]
    if (result["verdict"], result["reasons"]) != ("as expected", []):
        pytest.fail("\n".join([result["verdict"], *result["reasons"], _account(lab, proved, item, scenario)]))


@pytest.mark.parametrize("item", [item.id for item in WRITTEN])
def test_a_lessons_proof_is_honest(accepted: dict[tuple[str, str], dict[str, Any]], item: str) -> None:
    """On other records, without work, from one source only: each finding is what the records make it."""
    names = ("sign", "replay", "swap", "sources", "no work", "restored")
    assert {name: accepted[item, name]["details"] for name in names if not accepted[item, name]["passed"]} == {}
    assert accepted[item, "repeats"]["passed"] is not False, accepted[item, "repeats"]["details"]


def test_proving_leaves_the_lab_as_it_was(lab: Lab, proved: Proved) -> None:
    """Pools have the sizes that they had, none is left over, and no run has anything to give back."""
    before, after = proved.pools
    assert after == before
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=30) as api:
        assert borrowed.notes(api) == []


def test_every_report_has_every_scenario(proved: Proved) -> None:
    """Exit code, JUnit and page tell of the same scenarios; the page has a picture of each and needs no network."""
    assert proved.code == 0, proved.stderr
    assert sorted(proved.suites) == sorted(f"{item} {scenario}" for item, scenario in proved.results)
    assert proved.page.count("<img ") == len(proved.results)
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|@import|url\(', proved.page) == []


def test_a_pool_resized_from_outside_flips_the_verdict(lab: Lab) -> None:
    """The verdict is what the scheduler did: somebody else's larger pool makes the same lesson fail."""
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=30) as api:
        over = threading.Event()
        done = {}

        def run() -> None:
            done["run"] = lab("run", POOL_LESSON, "--json")
            over.set()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: pools.status(api, "pool_limiting") or over.is_set(), 120, "the lesson makes its pool")
            pools.resize(api, "pool_limiting", 5)
        finally:
            thread.join()
    result = json.loads(done["run"].stdout)
    assert done["run"].returncode == 1
    assert result["verdict"] == "not as expected"
    limits = next(finding for finding in result["findings"] if finding["bullet"] == "Set pool slot limits")
    assert limits["holds"] is False
    assert limits["observed"] > limits["limit"]


def test_a_second_run_of_a_lesson_waits_for_the_first(lab: Lab) -> None:
    """Two runs at once do not disturb each other: the second starts when the first is over."""
    done = []
    threads = [threading.Thread(target=lambda: done.append(lab("run", POOL_LESSON, "--json"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(one.stdout)["verdict"] for one in done] == ["as expected", "as expected"]


def test_unknown_names_are_answered_with_the_nearest(lab: Lab) -> None:
    """A mistyped lesson or scenario ends with code 2, the nearest name, and no traceback."""
    unknown = lab("run", "106.2.11")
    assert unknown.returncode == 2
    assert "106.2.1" in unknown.stderr
    unknown = lab("run", POOL_LESSON, "--scenario", "poold")
    assert unknown.returncode == 2
    assert "'pooled'" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_broken_file_is_shown_and_the_rest_goes_on(lab: Lab) -> None:
    """A DAG file with a syntax error is named by status with its line; other lessons stay loaded."""
    broken = Layout.of().work / "broken_by_a_test.py"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text("from airflow.sdk import DAG\nwith DAG('x'\n", encoding="utf-8")
    try:

        def shown() -> bool:
            report = json.loads(lab("status", "--json").stdout)
            return any("broken_by_a_test.py" in error["filename"] for error in report["import_errors"])

        wait_until(shown, 30, "status shows the broken file")
        words = lab("status").stdout
        assert "broken_by_a_test.py" in words
        assert "line 2" in words
        with bootstrap.client(Context.load(Layout.of(home=lab.home))) as api:
            assert api.dag("106_02_01_pool_limiting")["is_stale"] is False
    finally:
        broken.unlink()


def test_edits_are_seen_at_once(lab: Lab) -> None:
    """A new file is loaded within 5 s and a new task of a known file within 2 s, with time for a busy machine."""
    path = Layout.of().work / "edited_by_a_test.py"
    path.parent.mkdir(exist_ok=True)
    text = "from airflow.sdk import DAG\nfrom airflow.providers.standard.operators.empty import EmptyOperator\n"
    text += "with DAG('edited_by_a_test', schedule=None):\n    EmptyOperator(task_id='one')\n"
    with bootstrap.client(Context.load(Layout.of(home=lab.home)), patience=10) as api:

        def tasks() -> set[str]:
            known = {dag["dag_id"] for dag in api.pages("/dags", "dags", dag_id_pattern="edited_by_a_test")}
            return {task["task_id"] for task in api.get("/dags/edited_by_a_test/tasks")["tasks"]} if known else set()

        try:
            path.write_text(text, encoding="utf-8")
            wait_until(lambda: tasks() == {"one"}, 15, "a new file is loaded")
            path.write_text(text + "    EmptyOperator(task_id='two')\n", encoding="utf-8")
            wait_until(lambda: tasks() == {"one", "two"}, 10, "a new task of a known file is seen")
        finally:
            path.unlink()
