"""A lesson's own run, seen from inside its tasks: Airflow's API, what the run changes, and what its tasks did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Self, TypeVar

from backpressure import pools
from backpressure.airflow import borrowed
from backpressure.airflow.celery import Workers
from backpressure.airflow.client import AirflowClient, AirflowError
from backpressure.pools import PoolSpec, PoolStatus

if TYPE_CHECKING:
    from pathlib import Path

    from backpressure.timeline import Timeline

CONTROL_POOL = "lab_control"
# Judges and controllers must not wait behind the load that they look at.
CONTROL: dict[str, Any] = {"pool": CONTROL_POOL, "priority_weight": 1_000_000, "weight_rule": "absolute"}

TERMINAL = ("success", "failed", "skipped", "upstream_failed", "removed")
EXECUTION_STATES = ("queued", "running")
"""A task instance has a slot: of one that is queued, a process is on its way. Airflow calls these states so, too."""

_NOT_FOUND = 404
_READING_SECONDS = 6.0

T = TypeVar("T")
Record = dict[str, Any]


class Run:
    """The run that a task belongs to.

    Changes to pools, pauses and workers made through it are undone when the run is over, also when it was killed; so is
    what its tasks set at an upstream.
    """

    def __init__(self, api: AirflowClient, dag_id: str, run_id: str, params: dict[str, Any]) -> None:
        self.api = api
        self.dag_id = dag_id
        self.run_id = run_id
        self.params = params
        self._unpaused: set[str] = set()

    @classmethod
    def current(cls) -> Self:
        """The run of the task that calls this."""
        from airflow.sdk import get_current_context  # noqa: PLC0415 - commands read runs without Airflow

        context = get_current_context()
        dag_run = context["dag_run"]
        return cls(AirflowClient.from_connection(), dag_run.dag_id, dag_run.run_id, dict(context["params"]))

    @property
    def scenario(self) -> str:
        """The scenario that this run plays."""
        return str(self.params["scenario"])

    # What the run changes

    def create_pool(self, name: str, slots: int, *, include_deferred: bool = False) -> PoolStatus:
        """Create a pool for the length of this run, replacing one that an earlier run left; returns it as read back."""
        self.borrow_pool(name)
        spec = PoolSpec(name, slots, f"made by {self.dag_id}, removed at its end", include_deferred)
        pools.ensure(self.api, spec, resize_existing=True)
        return self.pool(name)

    def borrow_pool(self, name: str) -> None:
        """Note that a task of this run makes a pool by its own means: it is removed when the run is over."""
        self._borrow("pool", name, None)

    def resize_pool(self, name: str, slots: int) -> PoolStatus:
        """Resize a pool until this run is over; returns it as read back."""
        self._borrow("pool", name, self.pool(name).slots)
        pools.resize(self.api, name, slots)
        return self.pool(name)

    def pool(self, name: str) -> PoolStatus:
        """The pool right now.

        Raises:
            LookupError: there is none.
        """
        found = pools.status(self.api, name)
        if found is None:
            raise LookupError(f"there is no pool {name!r}")
        return found

    def pause(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG until this run is over."""
        self._borrow("pause", dag_id, self.api.dag(dag_id)["is_paused"])
        self.api.pause(dag_id, paused=paused)
        self._unpaused.discard(dag_id)

    def put_file(self, path: Path) -> Path:
        """Put an empty file somewhere until this run is over, or somebody removes it; one that is there stays."""
        if not path.exists():
            self._borrow("file", str(path), str(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return path

    @cached_property
    def workers(self) -> Workers:
        """Celery's workers: what they are and do."""
        return Workers.from_connection()

    def add_consumer(self, worker: str, queue: str) -> tuple[str, ...]:
        """Let a Celery worker serve one more queue until this run is over; returns its queues as read back."""
        self._borrow("consumer", borrowed.consumer(worker, queue), queue in self.workers.queues(worker))
        return self.workers.add_consumer(worker, queue)

    def cancel_consumer(self, worker: str, queue: str) -> tuple[str, ...]:
        """Let a Celery worker serve one queue less until this run is over; returns its queues as read back."""
        self._borrow("consumer", borrowed.consumer(worker, queue), queue in self.workers.queues(worker))
        return self.workers.cancel_consumer(worker, queue)

    def resize_worker(self, worker: str, processes: int) -> int:
        """Give a Celery worker so many processes until this run is over; returns their number as read back."""
        self._borrow("worker_size", worker, len(self.workers.processes(worker)))
        return len(self.workers.resize(worker, processes))

    def borrow_lane(self, lane: str) -> None:
        """Note that a task of this run, or of a helper run that belongs to it, changes an upstream's lane."""
        lesson, _, helper = self.dag_id.partition("__")
        run_id = self.run_id.rpartition("__")[0] if helper else self.run_id
        borrowed.borrow(self.api, borrowed.LANE, lane, None, dag_id=lesson, run_id=run_id)

    def give_back(self) -> list[str]:
        """Undo everything that this run changed."""
        return borrowed.give_back(self.api, self.run_id, lambda: self.workers, _reset_lane)

    def _borrow(self, kind: str, name: str, before: Any) -> None:
        borrowed.borrow(self.api, kind, name, before, dag_id=self.dag_id, run_id=self.run_id)

    # Helper runs

    def trigger(self, helper: str, label: str, **conf: Any) -> str:
        """Start a run of a helper DAG that belongs to this run; returns its run id."""
        run_id = f"{self.run_id}__{label}"
        self._unpause(helper)
        self.api.trigger(helper, run_id, conf=conf)
        return run_id

    def trigger_together(self, runs: Iterable[tuple[str, str]]) -> None:
        """Start runs of helper DAGs, each given as (helper, label), at once: triggered while the DAGs are paused.

        A task that a stalled scheduler took for lost runs again: runs that it has started already are left alone.
        """
        wanted = [(helper, f"{self.run_id}__{label}") for helper, label in runs]
        helpers = list(dict.fromkeys(helper for helper, _ in wanted))
        there = {run["dag_run_id"] for helper in helpers for run in self.helper_runs(helper)}
        missing = [(helper, run_id) for helper, run_id in wanted if run_id not in there]
        for helper in helpers if missing else ():
            self.pause(helper, paused=True)
        for helper, run_id in missing:
            self.api.trigger(helper, run_id)
        for helper in helpers:
            self.pause(helper, paused=False)

    def trigger_spaced(
        self, helper: str, label: str, count: int, every: float, delay: float = 1.0, **conf: Any
    ) -> list[float]:
        """Give a helper DAG runs that may start ``every`` seconds apart, the first after ``delay`` seconds.

        They are all created at once and wait as queued, each for its ``run_after``. Returns these instants (epoch s);
        for a second call, by a task that runs again, those of the first.
        """
        first = time.time() + delay
        self._unpause(helper)
        for number in range(count):
            after = datetime.fromtimestamp(first + number * every, UTC).isoformat()
            self.api.trigger(helper, f"{self.run_id}__{label}-{number}", conf=conf, run_after=after)
        runs = self.helper_runs(helper, f"{label}-")
        return sorted(datetime.fromisoformat(run["run_after"]).timestamp() for run in runs)

    def _unpause(self, helper: str) -> None:
        """Unpause a helper for good; asked once by each task, since load that comes as it should has no time to ask."""
        if helper not in self._unpaused:
            if self.api.dag(helper)["is_paused"]:
                self.api.pause(helper, paused=False)
            self._unpaused.add(helper)

    def helper_runs(self, helper: str, label: str = "") -> list[dict[str, Any]]:
        """The runs of a helper DAG that belong to this run, as Airflow lists them; those with such a label, or all."""
        own = f"{self.run_id}__{label}"
        runs = self.api.pages(f"/dags/{helper}/dagRuns", "dag_runs", order_by="run_after", run_id_prefix_pattern=own)
        return [run for run in runs if run["dag_run_id"].startswith(own)]

    def helper_records(self, *dag_ids: str, label: str = "") -> list[Record]:
        """The task instances of helper runs that belong to this run, as Airflow lists them now."""
        own = f"{self.run_id}__{label}"
        # One listing for all runs, however many: what is asked twice a second must not load the scheduler's database.
        chosen = {"order_by": "id", "run_id_prefix_pattern": own}
        found = [record for dag_id in dag_ids for record in self.api.task_instances(dag_id, **chosen)]
        return [record for record in found if record["dag_run_id"].startswith(own)]

    def skip(self, records: Iterable[Record]) -> None:
        """Mark task instances as skipped, in one request: those that wait will not run, and take no slot."""
        named = ("dag_id", "dag_run_id", "task_id", "map_index")
        entities = [{name: record[name] for name in named} | {"new_state": "skipped"} for record in records]
        if entities:
            action = {"action": "update", "entities": entities, "action_on_non_existence": "skip"}
            self.api.patch("/dags/~/dagRuns/~/taskInstances", {"actions": [action]})

    def helper_runs_over(self, *helpers: str) -> bool:
        """Whether there are runs of these helper DAGs that belong to this run, and all of them have ended."""
        states = [run["state"] for helper in helpers for run in self.helper_runs(helper)]
        return bool(states) and all(state in ("success", "failed") for state in states)

    # Waiting and sampling

    def wait_for(self, condition: Callable[[], T | None], seconds: float, every: float = 0.25) -> T:
        """Ask until the answer is true; returns the answer.

        Raises:
            TimeoutError: it was not within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"still not so after {seconds:g} s: {getattr(condition, '__doc__', '') or condition}"
                )
            time.sleep(every)
        return answer

    def sample(self, read: Callable[[], T], until: Callable[[], Any], seconds: float, every: float = 0.5) -> list[T]:
        """Read until something is so, or for ``seconds`` at most."""
        deadline = time.monotonic() + seconds
        found = [read()]
        while not until() and time.monotonic() < deadline:
            time.sleep(every)
            found.append(read())
        return found

    def states(self, *task_ids: str) -> list[str | None]:
        """The states of all instances of some of this run's tasks right now; a task not yet expanded counts as one."""
        found = self.api.task_instances(self.dag_id, self.run_id)
        return [record["state"] for record in found if record["task_id"] in task_ids]

    def started(self, *task_ids: str) -> int:
        """How many instances of these tasks run or have run."""
        return sum(state in ("running", *TERMINAL) for state in self.states(*task_ids))

    def ended(self, *task_ids: str) -> int:
        """How many instances of these tasks are over, skipped ones left out."""
        return sum(state in TERMINAL and state != "skipped" for state in self.states(*task_ids))

    def over(self, *task_ids: str) -> bool:
        """Whether every instance of these tasks is over."""
        return all(state in TERMINAL for state in self.states(*task_ids))

    def arrived(self, *pools: str, helper: str | None = None) -> int:
        """How many task instances of this run, and of its helper's runs, wait for these pools or have got past that."""
        found = self.api.task_instances(self.dag_id, self.run_id) + (self.helper_records(helper) if helper else [])
        return sum(record["pool"] in pools and record["scheduled_when"] is not None for record in found)

    def settled(self, pool: str) -> bool:
        """Whether nobody waits for a slot of this pool that is open.

        One pass of the scheduler looks at ``[scheduler] max_tis_per_query`` tasks, 16 by default, whosever they are: of
        tasks that come together, beside others that weigh more, some get their slots passes later than the rest.
        """
        now = self.pool(pool)
        return now.open <= 0 or not now.scheduled

    def oldest(self, *task_ids: str) -> float:
        """Seconds for which the longest queued instance of these tasks has waited for a worker; 0 if none does."""
        found = self.api.task_instances(self.dag_id, self.run_id)
        queued = [r["queued_when"] for r in found if r["task_id"] in task_ids and r["state"] == "queued"]
        now = time.time()
        return max((now - datetime.fromisoformat(at).timestamp() for at in queued if at), default=0.0)

    def sample_pool(self, name: str, until: Callable[[], Any], seconds: float, every: float = 0.5) -> list[Record]:
        """The pool's slots by state at each sample's instant ``at``; all 0 where there is no such pool."""

        def read() -> Record:
            before = time.time()
            found = pools.status(self.api, name)
            slots = (
                asdict(found)
                if found
                else dict.fromkeys(("slots", "occupied", "running", "queued", "scheduled", "open"), 0)
            )
            return {**slots, "at": (before + time.time()) / 2}

        return self.sample(read, until, seconds, every)

    def sample_worker(self, worker: str, seconds: float, every: float = 0.5) -> list[Record]:
        """How many tasks a Celery worker has ``active`` at each sample's instant ``at``, until it has none."""
        seen: list[Record] = []

        def read() -> Record:
            seen.append({"active": self.workers.status(worker)[worker].active, "at": time.time()})
            return seen[-1]

        return self.sample(read, lambda: not seen[-1]["active"], seconds, every)

    # What happened

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """This run's task instances, as Airflow lists them now; read once."""
        return self.api.task_instances(self.dag_id, self.run_id)

    def tasks(self, *task_ids: str) -> Timeline:
        """The timeline of some of this run's tasks, or of all."""
        from backpressure.timeline import Timeline  # noqa: PLC0415 - numpy, not while a DAG file is parsed

        wanted = [record for record in self.records if not task_ids or record["task_id"] in task_ids]
        return Timeline.from_records(wanted)

    def helpers(self, *dag_ids: str, task_ids: Iterable[str] = (), label: str = "") -> Timeline:
        """The timeline of the tasks of helper runs that belong to this run; of those with such a label, or of all."""
        from backpressure.timeline import Timeline  # noqa: PLC0415 - numpy, not while a DAG file is parsed

        chosen = set(task_ids)
        found = self.helper_records(*dag_ids, label=label)
        return Timeline.from_records([r for r in found if not chosen or r["task_id"] in chosen])

    def runs(self, helper: str, label: str = "") -> Timeline:
        """The timeline of helper runs themselves: a run waits as ``queued``, then runs."""
        from backpressure.timeline import Timeline  # noqa: PLC0415 - numpy, not while a DAG file is parsed

        return Timeline.from_runs(self.helper_runs(helper, label))

    def failed(self, task_id: str) -> list[Record]:
        """The instances of a task that have failed for good."""
        return [record for record in self.records if (record["task_id"], record["state"]) == (task_id, "failed")]

    def result(self, task_id: str) -> Any:
        """What a task of this run returned; None when it returned nothing."""
        return self.api.xcom(self.dag_id, self.run_id, task_id)

    def results(self, task_id: str) -> list[Any]:
        """What the instances of a mapped task returned, in the order of their map indices; those with a result."""
        indices = sorted(record["map_index"] for record in self.records if record["task_id"] == task_id)
        found = [self.api.xcom(self.dag_id, self.run_id, task_id, map_index=index) for index in indices]
        return [value for value in found if value is not None]

    def with_results(self, *task_ids: str, helper: str | None = None) -> list[Record]:
        """Instances of some tasks, of this run or its helper's runs, that returned something: each with ``result``."""
        found = self.records if helper is None else self.helper_records(helper)
        ended = [record for record in found if record["task_id"] in task_ids and record["state"] == "success"]
        results = (self.api.xcom(r["dag_id"], r["dag_run_id"], r["task_id"], map_index=r["map_index"]) for r in ended)
        return [r | {"result": result} for r, result in zip(ended, results, strict=True) if result is not None]

    def tries(self, task_id: str, map_index: int = -1) -> Timeline:
        """Every try of one instance of a task, the last included; none where there is no such instance."""
        from backpressure.timeline import Timeline  # noqa: PLC0415 - numpy, not while a DAG file is parsed

        try:
            found = self.api.get(f"{self._instance(task_id, map_index)}/tries")["task_instances"]
        except AirflowError as error:
            if error.status != _NOT_FOUND:
                raise
            found = []
        return Timeline.from_records(found)

    def every_try(self, *task_ids: str) -> Timeline:
        """Every try of every instance of some tasks."""
        from backpressure.timeline import Timeline  # noqa: PLC0415 - numpy, not while a DAG file is parsed

        tried = [record for record in self.records if record["task_id"] in task_ids]
        found = [self.tries(record["task_id"], record["map_index"]) for record in tried]
        return reduce(or_, found, Timeline.from_records([]))

    # What people decide

    def answer(self, task_id: str, *options: str, pool: str) -> list[Record]:
        """Answer a task that awaits a person's input, after a look at its pool; returns the samples.

        The look takes as long as a person would need to read the question. Airflow needs it too: the executor tells up
        to ``[workers] min_heartbeat_interval`` later that the asking process has ended, and a task that was answered
        and queued again by then is taken for one that died, and fails.
        """
        self.wait_for(lambda: self.states(task_id) == ["awaiting_input"], seconds=60)
        samples = self.sample_pool(pool, until=lambda: False, seconds=_READING_SECONDS, every=1.0)
        self.api.patch(f"{self._instance(task_id, -1)}/hitlDetails", {"chosen_options": list(options)})
        return samples

    def answered_by(self, task_id: str) -> str | None:
        """Who answered a task that awaited a person's input; None when nobody did, or it never asked."""
        try:
            found = self.api.get(f"{self._instance(task_id, -1)}/hitlDetails")
        except AirflowError as error:
            if error.status != _NOT_FOUND:
                raise
            return None
        user = found["responded_by_user"]
        return str(user["name"]) if user else None

    def _instance(self, task_id: str, map_index: int) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/{map_index}"


def _reset_lane(lane: str) -> None:
    from backpressure.airflow.upstream import Upstream  # noqa: PLC0415 - httpx, not while a DAG file is parsed

    with Upstream(lane) as upstream:
        upstream.reset()
