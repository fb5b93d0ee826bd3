"""Runs one scenario of one lesson on a running lab and collects what came of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from backpressure.airflow import tape
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.findings import Evidence

from backpressure_lab.errors import LabError, NotRunningError, WentDownError
from backpressure_lab.lessons import ending
from backpressure_lab.lessons.ending import EVIDENCE_TASK
from backpressure_lab.lessons.queues import Queues
from backpressure_lab.lessons.result import Result
from backpressure_lab.manifest import Item

POLL_SECONDS = 0.5
_KNOWN_SECONDS = 60.0
_RUN_SECONDS = 600.0
# A worker that starts, or one that KEDA starts first, takes up work within this time.
_UNSERVED_SECONDS = 120.0
_LOOK_SECONDS = 15.0
_FINISHED = ("success", "failed")
_NOT_FOUND = 404
# What a task returned may be anything.
_UNREADABLE = (AirflowError, ValueError, TypeError, LookupError, AttributeError)

Progress = Callable[[str, Counter[str]], None]
Attempt = Generator[None, None, Result]


def run(
    api: AirflowClient,
    item: Item,
    scenario: str,
    progress: Progress = lambda _phase, _states: None,
    alive: Callable[[], bool] = lambda: True,
) -> Result:
    """Trigger the scenario, wait for its end, and judge it; raises what :func:`attempt` does."""
    going = attempt(api, item, scenario, progress, alive)
    try:
        while True:
            next(going)
            time.sleep(POLL_SECONDS)
    except StopIteration as over:
        result: Result = over.value
        return result
    finally:
        going.close()


def attempt(
    api: AirflowClient,
    item: Item,
    scenario: str,
    progress: Progress | None = None,
    alive: Callable[[], bool] = lambda: True,
) -> Attempt:
    """A run of the scenario that yields whenever it has to wait, and returns its result.

    Args:
        api: a client of the lab's Airflow.
        item: the lesson.
        scenario: one of its scenarios.
        progress: told the phase, and how many of the run's tasks are in which state; costs a request each time.
        alive: asked now and then whether there is still a lab to wait for.

    Closed before its end, or on Ctrl-C, it ends the run and gives back what that had changed. So it does when Airflow
    refuses a request, an error of the server's own say; then the result has that for its trouble.

    Raises:
        LabError: the item is not written, or Airflow cannot load its file.
        NotRunningError: the lab went away.
        AirflowError: Airflow refused a request before there was a run.
        AirflowUnreachableError: Airflow does not answer any more.
    """
    if not item.written:
        raise LabError(f"{item.id} {item.title} is not written yet.\nSee what is: ./lab list")
    if progress:
        progress("waiting for Airflow to load the lesson", Counter())
    yield from _until_known(api, item, alive)
    _unpause(api, item)
    run_id = f"{scenario}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    started = time.monotonic()
    try:
        api.trigger(item.dag_id, run_id, conf={"scenario": scenario})
        state = yield from _until_over(api, item, run_id, progress, alive)
        return _collect(api, item, scenario, run_id, state=state, seconds=time.monotonic() - started)
    except GeneratorExit:
        ending.end(api, item.dag_id, run_id)
        raise
    except KeyboardInterrupt as stop:
        # Whatever comes of it, the interrupt goes on its way.
        for why in _ended(api, item, run_id):
            stop.add_note(f"{item.id} {scenario}: {why}")
        raise
    except NotRunningError:
        if alive():
            ending.end(api, item.dag_id, run_id)
        raise
    except AirflowError as error:
        if not alive():
            raise WentDownError(f"the run {run_id}", "run again") from error
        trouble = (f"Airflow refused a request: {error}", *_ended(api, item, run_id))
    nothing = Evidence(scenario=scenario, findings=())
    return Result(item, scenario, run_id, "", nothing, time.monotonic() - started, trouble=trouble)


def _ended(api: AirflowClient, item: Item, run_id: str) -> Iterator[str]:
    """End a run that cannot be followed any more; says so if that cannot be done either."""
    try:
        ending.end(api, item.dag_id, run_id)
    except AirflowError as error:
        yield f"the run could not be ended: {error}"


def _until_known(api: AirflowClient, item: Item, alive: Callable[[], bool]) -> Generator[None, None, None]:
    """A lesson's DAG is there, and so are all helper DAGs of its file, when the file has been parsed once."""
    deadline = time.monotonic() + _KNOWN_SECONDS
    while True:
        try:
            if not api.dag(item.dag_id)["is_stale"]:
                return
        except AirflowError as error:
            if error.status != _NOT_FOUND:
                raise
        for broken in api.pages("/importErrors", "import_errors"):
            if item.file.endswith(str(broken["filename"])):
                lines = str(broken["stack_trace"]).strip().splitlines()
                raise LabError(f"Airflow cannot load {item.file}:\n  " + "\n  ".join(lines[-4:]))
        if not alive() or time.monotonic() > deadline:
            raise NotRunningError(
                f"Airflow did not load {item.file} within {_KNOWN_SECONDS:g} s.\n"
                "Look at: ./lab logs dag-processor; another Airflow needs the course's dags/, see docs/cluster.md"
            )
        yield


def _unpause(api: AirflowClient, item: Item) -> None:
    for dag in api.pages("/dags", "dags", dag_id_pattern=f"{item.dag_id}%", exclude_stale=True):
        if dag["is_paused"] and (dag["dag_id"] == item.dag_id or dag["dag_id"].startswith(f"{item.dag_id}__")):
            api.pause(dag["dag_id"], paused=False)


def _until_over(
    api: AirflowClient, item: Item, run_id: str, progress: Progress | None, alive: Callable[[], bool]
) -> Generator[None, None, str]:
    deadline, next_look = time.monotonic() + _RUN_SECONDS, time.monotonic() + _LOOK_SECONDS
    queues, vain = Queues(api, run_id), ""
    while True:
        state = str(api.run(item.dag_id, run_id)["state"])
        if progress:
            words = "another run of this lesson is active" if state == "queued" else state
            progress(vain or words, _states(api, item, run_id))
        if state in _FINISHED:
            return state
        if time.monotonic() > next_look:
            next_look = time.monotonic() + _LOOK_SECONDS
            vain = _unserved(queues.unserved())
        if not alive():
            raise WentDownError(f"the run {run_id}", "run again")
        if time.monotonic() > deadline:
            left = dict(_states(api, item, run_id))
            raise NotRunningError(
                f"The run {run_id} of {item.id} was not over after {_RUN_SECONDS:g} s and was ended: {left}.\n"
                "Look at: ./lab status"
            )
        yield


def _unserved(seconds: Mapping[str, float]) -> str:
    """What to say while queues are not served.

    Raises:
        NotRunningError: one has not been for so long that it is not worth waiting.
    """
    if not seconds:
        return ""
    queue = max(seconds, key=seconds.__getitem__)
    words = f"no worker takes from queue {queue!r}"
    if seconds[queue] < _UNSERVED_SECONDS:
        return words
    raise NotRunningError(
        f"{words[0].upper()}{words[1:]}: tasks have waited there for {seconds[queue]:.0f} s, none runs, and none has "
        "started.\n"
        "In this lab look at: ./lab status\n"
        f"On the cluster of docker-compose.yml run: docker compose up --detach worker-{queue.replace('_', '-')}\n"
        "Elsewhere see which workers there are: airflow celery list-workers"
    )


def _states(api: AirflowClient, item: Item, run_id: str) -> Counter[str]:
    return Counter(str(record["state"] or "none") for record in api.task_instances(item.dag_id, run_id))


def _collect(api: AirflowClient, item: Item, scenario: str, run_id: str, *, state: str, seconds: float) -> Result:
    records = api.task_instances(item.dag_id, run_id)
    evidence, trouble = _evidence(api, item, scenario, run_id, records)
    records += _helpers(api, item, run_id)
    heard = None
    with contextlib.suppress(ValueError, AirflowError):
        heard = tape.Tape.unpacked(api.xcom(item.dag_id, run_id, EVIDENCE_TASK, tape.XCOM_KEY))
    return Result(item, scenario, run_id, state, evidence, seconds, records, trouble, _left(api, run_id), heard)


def _evidence(
    api: AirflowClient, item: Item, scenario: str, run_id: str, records: Sequence[Mapping[str, Any]]
) -> tuple[Evidence, tuple[str, ...]]:
    """The lesson's evidence, or why there is none; that is this run's trouble, not that of others beside it."""
    nothing = Evidence(scenario=scenario, findings=())
    try:
        found = api.xcom(item.dag_id, run_id, EVIDENCE_TASK)
        if found is not None:
            return Evidence.from_dict(found), ()
    except _UNREADABLE as error:
        return nothing, (f"the evidence of the task '{EVIDENCE_TASK}' cannot be read: {error}",)
    ended = next((record["state"] for record in records if record["task_id"] == EVIDENCE_TASK), "missing")
    why = f"(its state: {ended}){_last_error(api, item, run_id)}"
    return nothing, (f"the task '{EVIDENCE_TASK}' gave no evidence {why}",)


def _left(api: AirflowClient, run_id: str) -> tuple[str, ...]:
    """What the run has not given back by itself, which is done now."""
    try:
        return tuple(f"{change} was left changed" for change in ending.give_back(api, run_id))
    except ExceptionGroup as errors:
        return tuple(str(error) for error in errors.exceptions)


def _last_error(api: AirflowClient, item: Item, run_id: str) -> str:
    """What the task's log says of its end: the exception and the place in the lesson that raised it."""
    path = f"/dags/{item.dag_id}/dagRuns/{run_id}/taskInstances/{EVIDENCE_TASK}/logs/1"
    try:
        events = api.get(path, full_content=True)["content"]
    except (AirflowError, KeyError, TypeError):
        return "; its log is in Airflow"
    for event in reversed(events):
        for error in event.get("error_detail") or [] if isinstance(event, dict) else []:
            places = [frame for frame in error["frames"] if item.file.endswith(frame["filename"].rpartition("/")[2])]
            place = f" at {item.file}:{places[-1]['lineno']}" if places else ""
            return f": {error['exc_type']}: {error['exc_value']}{place}"
    return "; its log is in Airflow"


def _helpers(api: AirflowClient, item: Item, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for dag in api.pages("/dags", "dags", dag_id_pattern=f"{item.dag_id}__%"):
        for helper in api.pages(f"/dags/{dag['dag_id']}/dagRuns", "dag_runs", order_by="-run_after"):
            if helper["dag_run_id"].startswith(f"{run_id}__"):
                found += api.task_instances(dag["dag_id"], helper["dag_run_id"])
    return found
