"""Celery's workers over remote control: what is asked, what is told, and what becomes of silence and refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from backpressure.airflow.celery import BrokerError, Worker, Workers, WorkersError, broker_url
from backpressure.airflow.client import AirflowError
from celery import Celery
from kombu.transport.redis import Channel
from support.celery_workers import PROCESSES, FakeCelery


@pytest.fixture
def celery() -> FakeCelery:
    """Two workers with a queue each and one in common."""
    return FakeCelery(a=["shared", "fast"], b=["bulk", "shared"])


def test_a_worker_is_its_processes_queues_and_load(celery: FakeCelery) -> None:
    """What runs is a number: its arguments, a token among them, stay behind."""
    celery.busy["b@lab"] = 1
    assert celery.workers().status() == {
        "a@lab": Worker("a@lab", 100, PROCESSES, ("fast", "shared"), 0),
        "b@lab": Worker("b@lab", 100, PROCESSES, ("bulk", "shared"), 1),
    }


def test_who_serves_a_queue(celery: FakeCelery) -> None:
    """A queue has the workers that take from it, none if nobody does."""
    workers = celery.workers()
    assert [workers.serving(queue) for queue in ("shared", "bulk", "gpu")] == [("a@lab", "b@lab"), ("b@lab",), ()]


def test_names_are_gathered_once(celery: FakeCelery) -> None:
    """Only asking who is there has to wait for the time to pass; everything else ends with the answers."""
    workers = celery.workers()
    for _ in range(3):
        workers.status()
    assert celery.clock.monotonic_ns() == 1_000_000_000


def test_names_that_are_known_are_not_gathered(celery: FakeCelery) -> None:
    """No time passes when the connection tells who there is, and a worker that is missing is missed."""
    workers = Workers("redis://broker", names=["b@lab", "c@lab"], timeout=2.0, app=lambda _: celery, clock=celery.clock)
    assert workers.names == ("b@lab", "c@lab")
    assert celery.clock.monotonic_ns() == 0
    with pytest.raises(WorkersError, match="no answer from c@lab"):
        workers.serving("bulk")


def test_a_worker_that_starts_is_asked_again(celery: FakeCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked before it listened is lost: the question is put once more."""
    workers = Workers("redis://broker", timeout=20.0, app=lambda _: celery, clock=celery.clock)
    celery.silent.add("a@lab")
    heard = celery.broadcast

    def broadcast(command: str, **options: object) -> object:
        answers = heard(command, **options)  # type: ignore[arg-type]  # what the fake takes
        celery.silent.clear()
        return answers

    monkeypatch.setattr(celery, "broadcast", broadcast)
    assert workers.queues("a@lab") == ("fast", "shared")
    assert celery.clock.monotonic_ns() == 5_000_000_000


def test_a_silent_worker_is_named(celery: FakeCelery) -> None:
    """A worker that does not answer in time is an error and not an empty answer."""
    celery.silent.add("b@lab")
    with pytest.raises(WorkersError, match="stats: no answer from b@lab within 2 s"):
        celery.workers().status("a@lab", "b@lab")
    with pytest.raises(WorkersError, match="add_consumer: no answer from b@lab"):
        celery.workers().add_consumer("b@lab", "gpu")


def test_without_any_worker_asking_fails() -> None:
    """Nobody to ask is told as such."""
    with pytest.raises(WorkersError, match="no worker"):
        FakeCelery().workers().status()


def test_a_broker_that_is_down_is_told_without_its_url(celery: FakeCelery) -> None:
    """A broker's URL may hold a password."""
    celery.down = True
    with pytest.raises(BrokerError, match="does not answer") as caught:
        celery.workers().status("a@lab")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("late", [0, 3])
def test_a_change_of_queues_is_read_back(late: int) -> None:
    """Celery promises a change and makes it later: the call ends when it is made."""
    celery = FakeCelery(late, a=["fast"])
    workers = celery.workers()
    assert workers.add_consumer("a@lab", "bulk") == ("bulk", "fast")
    assert workers.cancel_consumer("a@lab", "fast") == ("bulk",)


def test_a_promise_that_is_not_kept_is_an_error() -> None:
    """After the timeout the call says what it waited for and what it found."""
    celery = FakeCelery(10_000, a=["fast"])
    with pytest.raises(WorkersError, match=r"a@lab takes from 'bulk', found \('fast',\)"):
        celery.workers().add_consumer("a@lab", "bulk")


@pytest.mark.parametrize("late", [0, 3])
def test_a_worker_grows_and_shrinks_to_a_size(late: int) -> None:
    """The size is told and not the change, and is read back; a process that is ending is not ended once more."""
    celery = FakeCelery(late, a=[])
    workers = celery.workers()
    assert [len(workers.resize("a@lab", size)) for size in (4, 4, 1)] == [4, 4, 1]
    assert celery.told == [("grow", "a@lab", 2), *[("shrink", "a@lab", 1)] * 3]


def test_shrinking_waits_for_an_idle_process(celery: FakeCelery) -> None:
    """Busy processes are not ended: the worker is asked again until one is idle, or the time is over."""
    celery.busy["a@lab"] = 2
    with pytest.raises(WorkersError, match="a@lab has an idle process to end"):
        celery.workers().resize("a@lab", 1)
    assert celery.processes["a@lab"] == list(PROCESSES)
    celery.busy["a@lab"] = 1
    assert len(celery.workers().resize("a@lab", 1)) == 1


def test_another_refusal_is_not_waited_for(celery: FakeCelery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker says no to, autoscaling for one, is an error at once."""
    monkeypatch.setattr(celery, "pool_shrink", lambda _name, **_: {"error": "not supported with autoscale"})
    with pytest.raises(WorkersError, match="a@lab refused: not supported with autoscale"):
        celery.workers().resize("a@lab", 1)
    assert celery.clock.slept == []


def test_a_worker_keeps_a_process(celery: FakeCelery) -> None:
    """Without any it would take tasks and never run them."""
    with pytest.raises(ValueError, match="processes must be at least 1, not 0"):
        celery.workers().resize("a@lab", 0)


def test_a_worker_that_starts_is_waited_for(celery: FakeCelery) -> None:
    """Questions get lost while a worker starts, so they are repeated until it answers or the time is over."""
    celery.silent.add("a@lab")
    assert not celery.workers().answers("a@lab", 5)
    assert celery.clock.monotonic_ns() >= 5_000_000_000
    celery.silent.clear()
    assert celery.workers().answers("a@lab", 5)


def test_what_lies_in_queues_is_counted() -> None:
    """Messages that no worker has taken; a queue that nobody ever used has none."""
    workers = Workers("memory://", app=lambda url: Celery(broker=url, set_as_current=False))
    with Celery(broker="memory://", set_as_current=False) as app:
        for _ in range(3):
            app.send_task("job", queue="depth_test")
    assert workers.waiting("depth_test") == 3
    assert workers.waiting("depth_test", "never_used") == 3


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "/run/lab/valkey.sock"}, "redis+socket:///run/lab/valkey.sock"),
        ({"host": "redis"}, "redis://redis:6379/0"),
        ({"host": "redis", "port": 6380, "database": "2"}, "redis://redis:6380/2"),
        ({"host": "redis", "password": "p@ss/1"}, "redis://:p%40ss%2F1@redis:6379/0"),
    ],
)
def test_a_connection_is_a_url(fields: dict[str, Any], url: str) -> None:
    """A socket's path or a host, with what else a connection may have."""
    assert broker_url(**fields) == url


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("/run/a lab/valkey.sock", None, 0)),
        ({"password": "p@ss/1", "database": "2"}, ("/run/a lab/valkey.sock", "p@ss/1", 2)),
    ],
)
def test_a_socket_has_password_and_database(fields: dict[str, Any], expected: tuple[str, str | None, int]) -> None:
    """As Celery reads the URL, which is another one than that of a host."""
    url = broker_url("/run/a lab/valkey.sock", **fields)
    channel = Channel.__new__(Channel)  # without what needs a server
    with Celery(broker=url, set_as_current=False) as app, app.connection() as connection:
        channel.connection = SimpleNamespace(client=connection, default_port=6379)
        read = channel._connparams()
    channel.closed = True
    assert (read["path"], read["password"], read["db"]) == expected


def test_a_connection_without_a_host_is_refused() -> None:
    """A message that names the field beats Celery's silence."""
    with pytest.raises(ValueError, match="host=None"):
        broker_url(None)


class Connections:
    """The one REST route that is asked."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found

    def get(self, path: str) -> dict[str, Any]:
        """The connection, or Airflow's refusal."""
        if self.found is None:
            raise AirflowError("GET", path, 404, "not found")
        return self.found


@pytest.mark.parametrize(
    ("found", "message"),
    [(None, "no connection 'celery_broker'"), ({"host": "redis", "password": "***"}, "is shown to tasks only")],
)
def test_outside_of_tasks_a_broker_may_be_out_of_reach(found: dict[str, Any] | None, message: str) -> None:
    """A deployment without the connection, or with a password that REST does not show."""
    api: Any = Connections(found)
    with pytest.raises(BrokerError, match=message):
        Workers.of(api)


def test_a_task_of_the_workers_own_is_sent_by_its_name() -> None:
    """Its queue says who does it, and nobody waits for a result; a broker that is down is said to be."""
    fake = FakeCelery(a=["default"])
    fake.workers().send("lab.leak", 5, 1.0, queue="default")
    assert fake.told == [("send", "lab.leak", ((5, 1.0), "default", True))]
    fake.down = True
    with pytest.raises(BrokerError):
        fake.workers().send("lab.leak", 5, 1.0, queue="default")
