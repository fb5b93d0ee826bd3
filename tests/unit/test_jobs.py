"""The operator that waits for a job, and its trigger, against an upstream made of canned answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import httpx
import pytest
from airflow.sdk.exceptions import TaskDeferred
from backpressure.airflow import jobs
from backpressure.airflow import upstream as upstream_client
from backpressure.airflow.jobs import JobOperator, JobTrigger

RESULT = {"name": "report", "digest": "d"}
RUNNING = {"state": "running", "result": None}
DONE = {"state": "done", "result": RESULT}


class CannedUpstream:
    """An upstream whose job is done at the third question."""

    asked = 0

    def __init__(self, lane: str) -> None:
        self.lane = lane

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit_job(self, seconds: float, name: str) -> str:
        return f"{name}-{seconds:g}"

    def job_url(self, job_id: str) -> str:
        return f"http://upstream/jobs/{self.lane}/{job_id}"

    def job(self, job_id: str) -> dict[str, Any]:
        assert job_id == "report-6"
        CannedUpstream.asked += 1
        return DONE if CannedUpstream.asked == 3 else RUNNING


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> type[CannedUpstream]:
    """The canned upstream in place of the simulator."""
    monkeypatch.setattr(upstream_client, "Upstream", CannedUpstream)
    monkeypatch.setattr(CannedUpstream, "asked", 0)
    return CannedUpstream


def operator(*, deferrable: bool) -> JobOperator:
    """A poll of a job of six seconds that is asked after without a pause."""
    return JobOperator(task_id="poll", lane="here", name="report", seconds=6, every=0, deferrable=deferrable)


def fired(monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response]) -> list[Any]:
    """The payloads of a trigger that asks an upstream with these answers."""
    real = httpx.AsyncClient
    monkeypatch.setattr(jobs.httpx, "AsyncClient", lambda **_: real(transport=httpx.MockTransport(answer)))
    trigger = JobTrigger("http://upstream/jobs/here/1", every=0)

    async def collect() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(collect())


def test_without_the_flag_a_worker_asks_until_the_job_is_done(upstream: type[CannedUpstream]) -> None:
    """The result comes from one call of execute, which has asked three times."""
    returned = operator(deferrable=False).execute({})
    assert (returned["result"], upstream.asked) == (RESULT, 3)
    assert returned["held"] >= 0


@pytest.mark.usefixtures("upstream")
def test_with_the_flag_the_worker_only_starts_the_job() -> None:
    """It asks nothing, and leaves the job's address and the time so far for those that go on."""
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True).execute({})
    assert CannedUpstream.asked == 0
    trigger = deferred.value.trigger
    assert trigger.serialize() == (
        "backpressure.airflow.jobs.JobTrigger",
        {"url": "http://upstream/jobs/here/report-6", "every": 0},
    )
    assert deferred.value.method_name == "resume"
    kwargs = deferred.value.kwargs or {}
    assert operator(deferrable=True).resume({}, {"result": RESULT}, **kwargs)["result"] == RESULT


def test_both_ways_return_the_same_result(upstream: type[CannedUpstream]) -> None:
    """To migrate is to set a flag: what comes after the task sees no difference."""
    waited = operator(deferrable=False).execute({})
    resumed = operator(deferrable=True).resume({}, {"result": RESULT}, held=0.5)
    assert upstream.asked == 3
    assert waited["result"] == resumed["result"]
    assert resumed["held"] >= 0.5


def test_a_trigger_fires_once_when_the_job_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks as long as the job runs."""
    answers = [RUNNING, RUNNING, DONE]
    assert fired(monkeypatch, lambda _: httpx.Response(200, json=answers.pop(0))) == [{"result": RESULT}]
    assert answers == []


def test_a_lost_job_fails_the_task_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trigger hands the error over, so that it stands in the task's log and not in the triggerer's alone."""
    told = fired(monkeypatch, lambda _: httpx.Response(404))
    assert len(told) == 1
    with pytest.raises(RuntimeError, match=r"the job of 'report' was lost: .*404"):
        operator(deferrable=True).resume({}, told[0], held=0)
