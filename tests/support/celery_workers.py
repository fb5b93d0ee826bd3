"""Imagined Celery workers that answer remote control as Celery 5 does, refusals and delays included."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from backpressure.airflow.celery import Workers
from backpressure.clock import ManualClock

PROCESSES = (101, 102)


class FakeCelery:
    """A Celery app with some workers, each with two processes and the queues given.

    Attributes:
        late: how many readings pass before a change shows, as workers make it when they get to it.
        busy: per worker, how many of its processes run a task.
        silent: workers that do not answer.
        down: whether the broker does not answer.
        told: every change that was asked for.
    """

    connection_errors = (ConnectionError,)
    channel_errors = (LookupError,)

    def __init__(self, late: int = 0, **queues: list[str]) -> None:
        self.clock = ManualClock()
        self.late = late
        self.queues = {f"{name}@lab": list(names) for name, names in queues.items()}
        self.processes = {name: list(PROCESSES) for name in self.queues}
        self.busy = dict.fromkeys(self.queues, 0)
        self.silent: set[str] = set()
        self.down = False
        self.told: list[tuple[str, str, Any]] = []
        self._pending: list[tuple[int, Any]] = []

    def workers(self) -> Workers:
        """What a lesson would have in its hands."""
        return Workers("redis://:secret@broker", timeout=2.0, app=lambda _broker: self, clock=self.clock)

    @property
    def control(self) -> FakeCelery:
        """Celery keeps remote control apart."""
        return self

    def connection(self) -> Any:
        """A connection, which knows what its errors are."""
        return self

    def broadcast(
        self, command: str, *, arguments: dict[str, Any], destination: list[str] | None, timeout: float, reply: bool
    ) -> list[dict[str, Any]] | None:
        """The answers of those asked; as long as one is missing, or may be, the timeout passes."""
        assert reply
        if self.down:
            raise ConnectionError("redis://:secret@broker")
        asked = [name for name in destination or self.queues if name in self.queues and name not in self.silent]
        if destination is None or len(asked) < len(destination):
            self.clock.advance(timeout)
        return [{name: getattr(self, command)(name, **arguments)} for name in reversed(asked)] or None

    def send_task(self, name: str, *, args: tuple[Any, ...], queue: str, ignore_result: bool) -> None:
        """Note a task that was sent."""
        if self.down:
            raise ConnectionError("redis://:secret@broker")
        self.told.append(("send", name, (args, queue, ignore_result)))

    def ping(self, _name: str) -> dict[str, str]:
        """It is there."""
        return {"ok": "pong"}

    def stats(self, name: str) -> dict[str, Any]:
        """Processes, among much else, once pending changes are made."""
        self._pass()
        return {"pid": 100, "pool": {"processes": list(self.processes[name])}, "total": {}}

    def active(self, name: str) -> list[dict[str, Any]]:
        """What runs, its arguments included."""
        return [{"id": str(number), "args": ["token"]} for number in range(self.busy[name])]

    def active_queues(self, name: str) -> list[dict[str, Any]]:
        """The queues, once pending changes are made."""
        self._pass()
        return [{"name": queue, "exchange": {}} for queue in self.queues[name]]

    def _pass(self) -> None:
        self._pending = [(left - 1, change) for left, change in self._pending]
        for left, change in self._pending:
            if left < 0:
                change()
        self._pending = [one for one in self._pending if one[0] >= 0]

    def add_consumer(self, name: str, queue: str, **_: Any) -> dict[str, str]:
        """Promise to take from a queue."""
        self.told.append(("add", name, queue))
        self._pending.append((self.late, lambda: self.queues[name].append(queue)))
        return {"ok": f"add consumer {queue}"}

    def cancel_consumer(self, name: str, queue: str) -> dict[str, str]:
        """Promise to leave a queue."""
        self.told.append(("cancel", name, queue))
        self._pending.append((self.late, lambda: self.queues[name].remove(queue)))
        return {"ok": f"no longer consuming from {queue}"}

    def pool_grow(self, name: str, n: int) -> dict[str, str]:
        """Start processes."""
        self.told.append(("grow", name, n))
        self._pending.append((self.late, lambda: self.processes[name].extend(range(201, 201 + n))))
        return {"ok": "pool will grow"}

    def pool_shrink(self, name: str, n: int) -> dict[str, str]:
        """End the first idle process, which may be ending already, or refuse in Celery's words."""
        self.told.append(("shrink", name, n))
        idle = self.processes[name][self.busy[name] :]
        if len(idle) < n:
            return {"error": 'ValueError("Can\'t shrink pool. All processes busy!")'}
        self._pending.append((self.late, lambda: self._end(name, idle[0])))
        return {"ok": "pool will shrink"}

    def _end(self, name: str, pid: int) -> None:
        if pid in self.processes[name]:
            self.processes[name].remove(pid)

    def connection_for_read(self) -> Any:
        """A connection to look into queues."""
        return nullcontext(self)
