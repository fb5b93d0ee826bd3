"""Tasks that are deferred while they are refused, run as Airflow's task runner and triggerer run them."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.sdk import DAG, BaseOperator, Connection
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowNotFoundException, TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.sdk.serde import deserialize, serialize
from airflow.serialization.serialized_objects import DagSerialization
from backpressure import Bulkhead, CircuitBreaker, Rate, RateLimitedError, RateLimiter
from backpressure.airflow import Admission, LimitedMixin, LimitedOperator, limited, storage
from backpressure.airflow import admission as admission_module
from backpressure.airflow.connection import ConnectionStorage
from backpressure.airflow.trigger import TurnTrigger
from backpressure.clock import ManualClock
from backpressure.errors import BulkheadFullError, StorageUnavailableError
from backpressure.storage import MemoryStorage

pytest_plugins = ["support.connections"]


class Sent(BaseOperator):
    """An operator of somebody else's."""

    def __init__(self, message: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.message = message

    def execute(self, context: Any) -> str:
        """Send."""
        return f"sent {self.message} in {context['run_id']}"


class LimitedSent(LimitedMixin, Sent):
    """The same, limited."""


def work() -> str:
    """A task's own code."""
    return "done"


@contextmanager
def running(task: BaseOperator) -> Iterator[None]:
    """As if Airflow's task runner ran the task."""
    token = ExecutorSafeguard.tracker.set(task)
    try:
        yield
    finally:
        ExecutorSafeguard.tracker.reset(token)


def execute(task: BaseOperator) -> Any:
    """Run a task, or return how it deferred."""
    with running(task):
        try:
            return task.execute({"run_id": "one"})
        except TaskDeferred as deferred:
            return deferred


def resume(task: BaseOperator, deferred: TaskDeferred, event: Any) -> Any:
    """Run a deferred task after its trigger has fired."""
    kwargs = json.loads(json.dumps({**(deferred.kwargs or {}), "event": event}))
    with running(task):
        try:
            return task.resume_execution(deferred.method_name, kwargs, {"run_id": "one"})
        except TaskDeferred as again:
            return again


def travelled(deferred: TaskDeferred) -> TurnTrigger:
    """The trigger as it comes out of the database, in another process."""
    path, kwargs = deferred.trigger.serialize()
    row = Trigger(path, deserialize(json.loads(json.dumps(serialize(kwargs)))))
    made = import_string(row.classpath)(**row.kwargs)
    assert isinstance(made, TurnTrigger)
    return made


async def fired(trigger: TurnTrigger) -> Any:
    """The payload of the trigger's one event."""
    events = [event.payload async for event in trigger.run()]
    assert len(events) == 1
    return events[0]


def partner(shared: ConnectionStorage) -> RateLimiter:
    """Takes a call every ten seconds."""
    return RateLimiter("partner", Rate(1, 10.0), shared)


def test_mapped_tasks_run_a_period_apart_each_once(shared: ConnectionStorage) -> None:
    """Six mapped siblings: one runs at once, the others are deferred, and each comes back in its own period."""
    clock = _clock(shared)
    with DAG("d", schedule=None) as dag:

        @limited(partner(shared))
        def call(page: int, run_id: str) -> tuple[int, str, float]:
            return page, run_id, clock.now_ns() / 1e9

        call.expand(page=list(range(6)))
    mapped = dag.get_task("call")
    siblings = [mapped.unmap({"op_kwargs": {"page": page}}) for page in range(6)]
    first = execute(siblings[0])
    deferred = [execute(task) for task in siblings[1:]]
    assert all(isinstance(one, TaskDeferred) for one in deferred)
    results = [first]
    for task, waiting in zip(siblings[1:], deferred, strict=True):
        results.append(resume(task, waiting, asyncio.run(fired(travelled(waiting)))))
    assert [page for page, _, _ in results] == list(range(6))
    assert {run_id for _, run_id, _ in results} == {"one"}, "the function gets the context it asks for"
    instants = [at for _, _, at in results]
    assert [round(later - earlier) for earlier, later in itertools.pairwise(instants)] == [10] * 5


def test_a_task_that_begins_afresh_loses_nothing_to_the_others(shared: ConnectionStorage) -> None:
    """Cleared while it was deferred, a task asks again: its old place stays empty, no permit is taken twice."""
    with DAG("d", schedule=None):
        admission = Admission(partner(shared))
        tasks = [LimitedOperator(task_id=f"t{n}", python_callable=work, admission=admission) for n in (1, 2)]
    assert execute(tasks[0]) == "done"
    assert isinstance(execute(tasks[1]), TaskDeferred)
    again = execute(tasks[1])
    assert isinstance(again, TaskDeferred)
    assert partner(shared).try_acquire().retry_after == 10, "one call, one permit"
    assert resume(tasks[1], again, asyncio.run(fired(travelled(again)))) == "done"


def test_any_operator_can_be_limited(shared: ConnectionStorage) -> None:
    """The mixin defers an operator that knows nothing of it, mapped or not."""
    admission = Admission(partner(shared))
    with DAG("d", schedule=None) as dag:
        LimitedSent(task_id="one", message="m", admission=admission)
        LimitedSent.partial(task_id="many", admission=admission).expand(message=["a", "b"])
    assert execute(dag.get_task("one")) == "sent m in one"
    task = dag.get_task("many").unmap({"message": "b"})
    waiting = execute(task)
    assert isinstance(waiting, TaskDeferred)
    assert resume(task, waiting, asyncio.run(fired(travelled(waiting)))) == "sent b in one"


def test_coroutine_functions_are_limited_too(shared: ConnectionStorage) -> None:
    """An async function is awaited within its admission."""
    bulkhead = Bulkhead("partner", 1, shared)
    with DAG("d", schedule=None) as dag:

        @limited(bulkhead=bulkhead)
        async def call() -> tuple[int, int]:
            return await bulkhead.count_async()

        call()
    assert execute(dag.get_task("call")) == (1, 0)
    assert bulkhead.count() == (0, 0)


def test_takes_what_a_task_takes(shared: ConnectionStorage) -> None:
    """Arguments of `@task` go to the task; `override` and `partial` work as with `@task`."""
    with DAG("d", schedule=None) as dag:

        @limited(partner(shared), retries=3, pool="p", multiple_outputs=True)
        def call(page: int, size: int) -> dict[str, int]:
            return {"page": page, "size": size}

        call.override(task_id="renamed", pool="q")(1, size=2)
        call.partial(size=3).expand(page=[1, 2])
    renamed, mapped = dag.get_task("renamed"), dag.get_task("call")
    assert (renamed.retries, renamed.pool, mapped.pool, renamed.multiple_outputs) == (3, "q", "p", True)
    assert execute(renamed) == {"page": 1, "size": 2}


def test_a_dag_serializes_the_same_at_each_parse_and_copies_without_io() -> None:
    """With a connection that is not there: nothing is looked up, and Airflow sees no new version of the DAG."""

    def parsed() -> DAG:
        nowhere = storage("no_such_connection")
        breaker = CircuitBreaker("x", nowhere)
        with DAG("d", schedule=None) as dag:

            @limited(RateLimiter("x", Rate(1, 1.0), nowhere), breaker=breaker, bulkhead=Bulkhead("x", 1, nowhere))
            def call(page: int) -> int:
                return page

            call.expand(page=[1, 2])
            call.override(task_id="single")(1)
        return dag

    one, other = (json.dumps(DagSerialization.to_dict(parsed())) for _ in range(2))
    assert one == other
    assert "0x" not in one
    single = parsed().get_task("single")
    assert copy.deepcopy(single).admission is single.admission


def test_waiting_too_long_fails_the_task(shared: ConnectionStorage) -> None:
    """Beyond max_wait the refusal is raised in the task, with the time that a retry policy needs."""
    with DAG("d", schedule=None) as dag:

        @limited(partner(shared), max_wait=5)
        def call() -> None:
            return None

        call()
    assert execute(dag.get_task("call")) is None
    with pytest.raises(RateLimitedError) as caught:
        execute(dag.get_task("call"))
    assert caught.value.retry_after == 10


def test_only_admissions_are_taken() -> None:
    """A limiter in the place of an admission is named when the file is parsed."""
    with pytest.raises(TypeError, match="admission must be an Admission, not 5"):
        LimitedOperator(task_id="t", python_callable=work, admission=5)  # type: ignore[arg-type]


def test_of_all_who_wait_for_a_breaker_one_probes(shared: ConnectionStorage) -> None:
    """Ten tasks are deferred by an open breaker: when it wants a probe one is woken, the others when it has closed.

    These come to take their places in line, and then in their places: no more than twice, and called a period apart.
    """
    clock = _clock(shared)
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=30, probe_lease=5)
    admission = Admission(partner(shared), breaker=breaker)
    with DAG("d", schedule=None):
        tasks = [LimitedOperator(task_id=f"t{n}", python_callable=work, admission=admission) for n in range(10)]
    with pytest.raises(ZeroDivisionError):
        admission.call(admission.first_turn(), lambda: 1 // 0)
    deferred = [execute(task) for task in tasks]

    starts = Counter[str]()

    async def all_of_them() -> list[tuple[float, Any]]:
        woken: list[tuple[float, Any]] = []

        async def one(task: BaseOperator, waiting: TaskDeferred) -> None:
            found: Any = waiting
            while isinstance(found, TaskDeferred):
                found = resume(task, found, await fired(travelled(found)))
                starts[task.task_id] += 1
            woken.append((clock.now_ns() / 1e9, found))

        shared.clock = _Stepped(clock)
        await asyncio.gather(*(one(*pair) for pair in zip(tasks, deferred, strict=True)))
        return woken

    woken = asyncio.run(all_of_them())
    assert len(woken) == 10
    assert [result for _, result in woken] == ["done"] * 10
    assert max(starts.values()) == 2, "nobody was woken for nothing"
    assert breaker.state == "closed"
    instants = [at for at, _ in woken]
    assert instants[0] - 1_000_000_000 >= 30
    gaps = [later - earlier for earlier, later in itertools.pairwise(instants[1:])]
    assert all(gap == pytest.approx(10, abs=0.5) for gap in gaps), gaps


def test_a_trigger_that_is_run_again_takes_no_second_place(shared: ConnectionStorage) -> None:
    """A restarted triggerer makes its triggers anew from the database: places are taken by tasks, once each."""
    admission = Admission(partner(shared), breaker=CircuitBreaker("partner", shared))
    assert admission.line is not None
    admission.line.reserve(1)
    trigger = TurnTrigger(admission.to_dict(), list(admission.first_turn()), 0.0, "breaker", fraction=0.0)
    for _ in range(3):
        path, kwargs = trigger.serialize()
        assert asyncio.run(fired(import_string(path)(**kwargs)))[1] is False
    assert admission.line.try_acquire().retry_after == 10, "the one place that was taken before"


def test_a_place_beyond_max_wait_fails_the_task_when_the_breaker_has_closed(shared: ConnectionStorage) -> None:
    """The line behind the breaker is longer than the task may wait: it fails at once, and takes no place."""
    clock = _clock(shared)
    breaker = CircuitBreaker("partner", shared)
    admission = Admission(partner(shared), breaker=breaker, max_wait=25, spread=4)
    with DAG("d", schedule=None):
        task = LimitedOperator(task_id="t", python_callable=work, admission=admission)
    breaker.force_open()
    waiting = execute(task)
    breaker.reset()
    assert admission.line is not None
    admission.line.reserve(3)
    before = clock.now_ns()
    event = asyncio.run(fired(travelled(waiting)))
    with pytest.raises(RateLimitedError) as caught:
        resume(task, waiting, event)
    assert (clock.now_ns() - before) / 1e9 <= 4
    assert caught.value.retry_after == pytest.approx(30, abs=4)
    assert admission.line.try_acquire().retry_after == pytest.approx(30, abs=4)


def test_those_whose_place_came_while_the_breaker_was_open_are_spread_too(shared: ConnectionStorage) -> None:
    """Four tasks come at their places and find it open: when it has closed they are woken apart, for new places."""
    clock = _clock(shared)
    breaker = CircuitBreaker("partner", shared)
    admission = Admission(partner(shared), breaker=breaker, spread=8)
    with DAG("d", schedule=None):
        tasks = [LimitedOperator(task_id=f"t{n}", python_callable=work, admission=admission) for n in range(5)]
    assert execute(tasks[0]) == "done"
    placed = [execute(task) for task in tasks[1:]]
    breaker.force_open()
    found_open = [
        resume(task, waiting, asyncio.run(fired(travelled(waiting))))
        for task, waiting in zip(tasks[1:], placed, strict=True)
    ]
    breaker.reset()
    woken: list[float] = []
    began = clock.now_ns()

    async def one(waiting: TaskDeferred, fraction: float) -> list[Any]:
        trigger = travelled(waiting)
        assert (trigger.wait_for, trigger.turn[1]) == ("breaker", True)
        trigger.at, trigger.fraction = 0.0, fraction
        turn: list[Any] = await fired(trigger)
        woken.append((clock.now_ns() - began) / 1e9)
        return turn

    async def all_of_them() -> list[list[Any]]:
        shared.clock = _Stepped(clock)
        return await asyncio.gather(*(one(waiting, n / 4) for n, waiting in enumerate(found_open)))

    turns = asyncio.run(all_of_them())
    assert woken == pytest.approx([0, 2, 4, 6])
    assert [turn[1] for turn in turns] == [False] * 4


def test_without_a_limiter_tasks_come_back_at_random(shared: ConnectionStorage) -> None:
    """When the breaker has closed, those who waited for it are spread over `spread` seconds."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=30)
    admission = Admission(breaker=breaker, spread=100)
    described, turn = admission.to_dict(), list(admission.first_turn())
    assert len({TurnTrigger(described, turn, 0.0, "breaker").fraction for _ in range(50)}) == 50
    clock = _clock(shared)
    before = clock.now_ns()
    trigger = TurnTrigger(described, turn, 0.0, "breaker", fraction=0.25)
    asyncio.run(fired(trigger))
    assert (clock.now_ns() - before) / 1e9 == pytest.approx(25)


def test_a_trigger_queues_for_a_bulkhead_and_hands_its_permit_over(shared: ConnectionStorage) -> None:
    """Deferred by a full bulkhead, tasks get its permits in the order of arrival, one at a time."""
    bulkhead = Bulkhead("partner", 1, shared)
    admission = Admission(bulkhead=bulkhead)
    with DAG("d", schedule=None):
        tasks = [
            LimitedOperator(task_id=f"t{n}", python_callable=bulkhead.count, admission=admission) for n in range(3)
        ]
    held = bulkhead.acquire()
    deferred = [execute(task) for task in tasks]
    order: list[str] = []

    async def one(task: BaseOperator, waiting: TaskDeferred) -> None:
        event = await fired(travelled(waiting))
        assert resume(task, waiting, event)[0] == 1, "never more than one at once"
        order.append(task.task_id)

    async def all_of_them() -> None:
        shared.clock = _Stepped(_clock(shared))
        waits = [asyncio.create_task(one(*pair)) for pair in zip(tasks, deferred, strict=True)]
        await _waiting(bulkhead, 3)
        assert bulkhead.count() == (1, 3)
        await held.release_async()
        await asyncio.gather(*waits)

    asyncio.run(all_of_them())
    assert order == ["t0", "t1", "t2"]
    assert bulkhead.count() == (0, 0)


def test_a_cancelled_trigger_leaves_the_queue(shared: ConnectionStorage) -> None:
    """A task that is cleared while it is deferred has its trigger cancelled: its place in the queue is free."""
    bulkhead = Bulkhead("partner", 1, shared)
    admission = Admission(bulkhead=bulkhead)
    held = bulkhead.acquire()

    async def cancel() -> None:
        shared.clock = _Stepped(_clock(shared))
        turn = list(admission.first_turn())
        waiting = asyncio.create_task(fired(TurnTrigger(admission.to_dict(), turn, 0.0, "bulkhead")))
        await _waiting(bulkhead, 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancel())
    assert bulkhead.count() == (1, 0)
    held.release()


def test_a_storage_that_is_away_is_asked_again(shared: ConnectionStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its state can't be reached a trigger goes on waiting: the task neither fails nor is woken for nothing."""
    breaker, bulkhead = CircuitBreaker("partner", shared), Bulkhead("partner", 1, shared)
    working = ConnectionStorage.run_async
    for admission, waits_for in ((Admission(breaker=breaker), "breaker"), (Admission(bulkhead=bulkhead), "bulkhead")):
        left = [StorageUnavailableError("away"), StorageUnavailableError("still away")]

        async def run_async(self: ConnectionStorage, *asked: Any, _left: list[Exception] = left, **how: Any) -> Any:
            if _left:
                raise _left.pop()
            return await working(self, *asked, **how)

        monkeypatch.setattr(ConnectionStorage, "run_async", run_async)
        before = _clock(shared).now_ns()
        trigger = TurnTrigger(admission.to_dict(), list(admission.first_turn()), 0.0, waits_for, fraction=0.0)
        event = asyncio.run(fired(trigger))
        assert left == []
        assert _clock(shared).now_ns() > before
        assert (event[2] is not None) == (waits_for == "bulkhead")


def test_a_trigger_gives_up_at_max_wait_and_the_task_says_why(shared: ConnectionStorage) -> None:
    """A bulkhead that stays full: the task is woken in time to fail with the bulkhead's own refusal."""
    bulkhead = Bulkhead("partner", 1, shared, lease=600)
    with DAG("d", schedule=None):
        admission = Admission(bulkhead=bulkhead, max_wait=20)
        task = LimitedOperator(task_id="t", python_callable=work, admission=admission)
    held = bulkhead.acquire()
    before = _clock(shared).now_ns()
    waiting = execute(task)
    event = asyncio.run(fired(travelled(waiting)))
    assert (_clock(shared).now_ns() - before) / 1e9 == pytest.approx(20, abs=0.5)
    with pytest.raises(BulkheadFullError):
        resume(task, waiting, event)
    held.release()


def test_a_breaker_opened_by_an_operator_is_watched(shared: ConnectionStorage) -> None:
    """Forced open it has no end: the trigger looks again every few seconds, and wakes the task once it is reset."""
    breaker = CircuitBreaker("partner", shared)
    breaker.force_open()
    admission = Admission(breaker=breaker, spread=0)

    async def watch() -> float:
        clock = _Stepped(_clock(shared))
        shared.clock = clock
        begin = clock.now_ns()
        trigger = TurnTrigger(admission.to_dict(), list(admission.first_turn()), 0.0, "breaker", fraction=0.0)
        waiting = asyncio.create_task(fired(trigger))
        await clock.sleep_async(62)
        assert not waiting.done()
        breaker.reset()
        await waiting
        return (clock.now_ns() - begin) / 1e9

    assert 62 <= asyncio.run(watch()) <= 70


def test_a_trigger_looks_its_connection_up_before_it_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a triggerer seconds the first time is done while there is time, and a failure of it is said later."""
    clock = ManualClock()
    begin = clock.now_ns()
    looked_up = []

    async def get(_: type, conn_id: str) -> Connection:
        looked_up.append((clock.now_ns() - begin) / 1e9)
        if len(looked_up) == 1:
            raise AirflowNotFoundException
        return Connection(conn_id=conn_id, conn_type="postgres")

    monkeypatch.setattr(Connection, "async_get", classmethod(get))
    monkeypatch.setattr(ConnectionStorage, "_open", lambda *_: MemoryStorage(clock))
    shared = ConnectionStorage("c", clock=clock)
    monkeypatch.setattr(admission_module, "storage", lambda *_, **__: shared)
    admission = Admission(breaker=CircuitBreaker("partner", shared), spread=0)
    at = begin / 1e9 + 30
    turn = asyncio.run(fired(TurnTrigger(admission.to_dict(), [0.0, False, None], at, "breaker", fraction=0.0)))
    assert looked_up == [0.0, 30.0]
    assert turn == [0.0, False, None]


async def _waiting(bulkhead: Bulkhead, callers: int) -> None:
    """Let others go on until so many wait."""
    for _ in range(1000):
        if bulkhead.count()[1] == callers:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{bulkhead.count()[1]} wait, not {callers}")


class _Stepped(ManualClock):
    """A clock that several coroutines wait by: it goes on to whoever is due first, once all others wait."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._due: list[int] = []

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()

    def sleep(self, delay: float) -> None:
        self._clock.sleep(delay)

    async def sleep_async(self, delay: float) -> None:
        due = self._clock.now_ns() + round(delay * 1e9)
        self._due.append(due)
        while self._clock.now_ns() < due:
            for _ in range(20):
                await asyncio.sleep(0)
            if min(self._due) == due:
                self._clock.advance_ns(max(0, due - self._clock.now_ns()))
        self._due.remove(due)


def _clock(shared: ConnectionStorage) -> ManualClock:
    assert isinstance(shared.clock, ManualClock)
    return shared.clock
