"""Every exercise on a live scheduler: starters fail, right answers pass, and each wrong one gets its own message."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from support.lab import Lab

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog, verdict
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.staging import Lab as Deployment
from backpressure_lab.stack import bootstrap
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

pytestmark = pytest.mark.live

COURSE = manifest.load()
EXERCISES = [catalog.find(COURSE, exercise.id) for exercise in COURSE.exercises]
ANSWERS = [(files, path) for files in EXERCISES for path in (files.starter, *files.right, *files.wrong)]
NAMES = [f"{files.exercise.id} {path.parent.name} {path.stem}" for files, path in ANSWERS]
# Checks wait more than they work; more at once make starts so slow that nothing overlaps any more.
_AT_ONCE = 2


@pytest.fixture(scope="module")
def verdicts(lab: Lab, request: pytest.FixtureRequest) -> dict[Path, Future[verdict.Verdict]]:
    """What a check says of each answer asked for, several side by side in one lab, as when a class is graded."""
    asked = {item.callspec.params.get("path") for item in request.session.items if hasattr(item, "callspec")}
    context = Context.load(Layout.of(home=lab.home))

    def checked(files: catalog.Files, path: Path) -> verdict.Verdict:
        facts, found = verdict.first_tier(files, path)
        if facts is None or found.messages:
            return found
        with bootstrap.client(context, patience=60) as api:
            return verdict.second_tier(files, path, facts, Deployment(Place.here(context), api, lambda: True))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {path: pool.submit(checked, files, path) for files, path in ANSWERS if path in asked}


@pytest.mark.parametrize(("files", "path"), ANSWERS, ids=NAMES)
def test_an_answer_gets_the_verdict_that_its_author_says(
    verdicts: dict[Path, Future[verdict.Verdict]], files: catalog.Files, path: Path
) -> None:
    """A right answer passes; a wrong one's first message has the name of its file; a starter fails when it runs."""
    found = verdicts[path].result()
    said = [(message.code, message.text) for message in found.messages]
    if path in files.right:
        assert said == []
        assert found.passed
    elif path == files.starter:
        assert (found.tier, found.passed, bool(said)) == ("live", False, True)
    else:
        assert [code for code, _ in said][:1] == [path.stem], said


def test_nothing_of_a_check_is_left(lab: Lab, verdicts: dict[Path, Future[verdict.Verdict]]) -> None:
    """No DAG, pool or file of the checks is there any more."""
    assert verdicts
    context = Context.load(Layout.of(home=lab.home))
    names = [files.dag_id for files in EXERCISES]
    with bootstrap.client(context, patience=60) as api:
        dags = [dag["dag_id"] for name in names for dag in api.pages("/dags", "dags", dag_id_pattern=f"{name}__%")]
        pools = [pool["name"] for pool in api.pages("/pools", "pools")]
    assert dags == []
    assert [pool for pool in pools if pool.startswith(tuple(names))] == []
    assert [
        path.name for folder in ("checks", "submissions") for path in (context.layout.home / folder).glob("*.*")
    ] == []
