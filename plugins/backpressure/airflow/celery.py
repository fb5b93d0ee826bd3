"""Celery's workers, asked and told over their broker: processes, queues, what runs now; more or less of each.

This is Celery's remote control, the same that ``airflow celery add-queue`` uses, without the seconds that a command
takes to start. A lesson changes workers through ``Run``, which gives back what it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from operator import gt
from typing import TYPE_CHECKING, Any, Self, TypeVar

from backpressure.airflow.client import AirflowError
from backpressure.clock import SystemClock, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backpressure.airflow.client import AirflowClient
    from backpressure.clock import Clock

CONNECTION_ID = "celery_broker"
_NOT_FOUND = 404
_MASKED = "***"

T = TypeVar("T")


class WorkersError(Exception):
    """The broker or a worker did not answer, or a worker refused."""


class BrokerError(WorkersError):
    """The broker cannot be reached."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as it is now.

    Attributes:
        name: as Celery knows it, "a@lab".
        pid: of its main process, the parent of the others.
        processes: the pids of those that run tasks; so many tasks run at once.
        queues: what it takes tasks from.
        active: how many tasks it runs.
    """

    name: str
    pid: int
    processes: tuple[int, ...]
    queues: tuple[str, ...]
    active: int


class Workers:
    """The workers of one broker.

    Args:
        broker: the broker's URL.
        names: of the workers there are; whoever answers, when left out.
        timeout: seconds to wait for the answer of a worker, which may be starting.
        gathering: seconds to wait for all workers to answer when their names are asked for; only time tells that no
            further answer comes.
        app: makes the Celery app from the broker's URL; tests give their own.
        clock: for waiting.
    """

    def __init__(
        self,
        broker: str,
        *,
        names: Iterable[str] = (),
        timeout: float = 30.0,
        gathering: float = 1.0,
        app: Callable[[str], Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._broker = broker
        self._known = tuple(names)
        self._timeout = timeout
        self._gathering = gathering
        self._patience = min(5.0, timeout)
        self._make_app = app or _celery
        self._clock = clock or SystemClock()

    @classmethod
    def from_connection(cls, conn_id: str = CONNECTION_ID) -> Self:
        """The workers inside a task, from an Airflow connection.

        It has a host, or the path of a socket; it may have port, password and schema (the database's number), and in
        its extra the names of the ``workers``.
        """
        from airflow.sdk import Connection  # noqa: PLC0415 - commands use this module without Airflow

        found = Connection.get(conn_id)
        return cls(
            broker_url(found.host, found.port, found.password, found.schema),
            names=found.extra_dejson.get("workers", ()),
        )

    @classmethod
    def of(cls, api: AirflowClient, conn_id: str = CONNECTION_ID) -> Self:
        """The workers of a deployment that is known by its REST API, outside of tasks.

        Raises:
            BrokerError: there is no such connection, or its password is not shown.
        """
        try:
            found = api.get(f"/connections/{conn_id}")
        except AirflowError as error:
            if error.status != _NOT_FOUND:
                raise
            raise BrokerError(
                f"there is no connection {conn_id!r}; a lab started with --light has no workers"
            ) from None
        if found.get("password") == _MASKED:
            raise BrokerError(f"the password of connection {conn_id!r} is shown to tasks only")
        return cls(broker_url(found["host"], found.get("port"), found.get("password"), found.get("schema")))

    # Asking

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The workers there are, in order; where they are not known, those that answer when first asked."""
        return tuple(sorted(self._known or self._broadcast("ping", self._gathering)))

    def status(self, *names: str) -> dict[str, Worker]:
        """Some workers, or all, as they are now.

        Raises:
            WorkersError: one of them did not answer.
        """
        wanted = names or self.names
        # What runs comes with its arguments, which hold a token: no more than its number leaves here.
        stats, queues, active = (self._ask(command, wanted) for command in ("stats", "active_queues", "active"))
        return {
            name: Worker(
                name,
                int(stats[name]["pid"]),
                tuple(stats[name]["pool"]["processes"]),
                tuple(sorted(queue["name"] for queue in queues[name])),
                len(active[name]),
            )
            for name in wanted
        }

    def described(self, *names: str) -> dict[str, dict[str, Any]]:
        """The same as plain values, which a task may return: Airflow wraps tuples."""
        found = {name: asdict(worker) for name, worker in self.status(*names).items()}
        return {name: one | {key: list(one[key]) for key in ("processes", "queues")} for name, one in found.items()}

    def queues(self, worker: str) -> tuple[str, ...]:
        """What a worker takes tasks from."""
        return tuple(sorted(queue["name"] for queue in self._ask("active_queues", [worker])[worker]))

    def processes(self, worker: str) -> tuple[int, ...]:
        """The pids of the processes in which a worker runs tasks."""
        return tuple(self._ask("stats", [worker])[worker]["pool"]["processes"])

    def serving(self, queue: str) -> tuple[str, ...]:
        """Which workers take tasks from a queue."""
        found = self._ask("active_queues", self.names)
        return tuple(name for name in self.names if queue in {one["name"] for one in found[name]})

    def waiting(self, *queues: str) -> int:
        """How many tasks lie in the broker's queues and are with no worker yet."""
        with self._connected(), self._app.connection_for_read() as connection:
            return sum(_length(connection, queue) for queue in queues)

    def answers(self, worker: str, patience: float) -> bool:
        """Whether a worker answers within so many seconds, even if it is only starting now."""
        begun = self._now()
        while worker not in self._broadcast("ping", self._gathering, [worker]):
            if self._now() - begun >= patience:
                return False
        return True

    # Changing

    def add_consumer(self, worker: str, queue: str) -> tuple[str, ...]:
        """Let a worker take tasks from one more queue; returns its queues as read back."""
        self._tell("add_consumer", worker, queue=queue, exchange=None, exchange_type="direct", routing_key=None)
        return self._until(lambda: self.queues(worker), lambda found: queue in found, f"{worker} takes from {queue!r}")

    def cancel_consumer(self, worker: str, queue: str) -> tuple[str, ...]:
        """Let a worker take no more tasks from a queue; what it runs goes on. Returns its queues as read back."""
        self._tell("cancel_consumer", worker, queue=queue)
        return self._until(
            lambda: self.queues(worker), lambda found: queue not in found, f"{worker} leaves {queue!r} alone"
        )

    def resize(self, worker: str, processes: int) -> tuple[int, ...]:
        """Give a worker so many processes; returns their pids as read back, which takes a few seconds a step.

        Shrinking ends idle processes only, so it waits for tasks to end, for as long as for an answer. Airflow holds a
        process for up to ``[workers] min_heartbeat_interval`` (5 s) after its task has ended.

        Raises:
            ValueError: fewer than one process.
            WorkersError: the worker has another number of processes after that time.
        """
        if processes < 1:
            raise ValueError(f"processes must be at least 1, not {processes}: a worker with none still takes tasks")
        found = self._sized(worker, lambda _count: True)
        if processes > len(found):
            self._tell("pool_grow", worker, n=processes - len(found))
            found = self._sized(worker, lambda count: count >= processes)
        # One by one: told again too early, Celery ends the process that is ending already.
        while (before := len(found)) > processes:
            self._until(lambda: self._shrunk(worker), bool, f"{worker} has an idle process to end")
            found = self._sized(worker, partial(gt, before))
        return found

    def send(self, task: str, *arguments: Any, queue: str) -> None:
        """Send a Celery task of the workers' own by its name; nobody waits for its result."""
        with self._connected():
            self._app.send_task(task, args=arguments, queue=queue, ignore_result=True)

    def _sized(self, worker: str, so: Callable[[int], bool]) -> tuple[int, ...]:
        """The processes, once their number is so."""
        return self._until(lambda: self.processes(worker), lambda found: so(len(found)), f"{worker} changes its size")

    def _shrunk(self, worker: str) -> bool:
        """Ask for one process less; false while all are busy."""
        try:
            self._tell("pool_shrink", worker, n=1)
        except WorkersError as error:
            if "busy" in str(error):
                return False
            raise
        return True

    # Talking

    @cached_property
    def _app(self) -> Any:
        return self._make_app(self._broker)

    def _ask(self, command: str, names: Iterable[str]) -> dict[str, Any]:
        """What each of the workers answers; asked again until the time is over, since one that starts hears nothing."""
        wanted, begun = list(names), self._now()
        found: dict[str, Any] = {}
        while silent := [name for name in wanted if name not in found]:
            if self._now() - begun >= self._timeout:
                break
            found |= self._broadcast(command, self._patience, silent)
        if silent or not wanted:
            who = ", ".join(silent) or "no worker"
            raise WorkersError(f"{command}: no answer from {who} within {self._timeout:g} s. Is it up? ./lab status")
        return found

    def _tell(self, command: str, worker: str, **arguments: Any) -> None:
        found = self._broadcast(command, self._timeout, [worker], arguments).get(worker)
        if found is None:
            raise WorkersError(f"{command}: no answer from {worker} within {self._timeout:g} s. Is it up? ./lab status")
        if isinstance(found, Mapping) and "error" in found:
            raise WorkersError(f"{command}: {worker} refused: {found['error']}")

    def _broadcast(
        self, command: str, timeout: float, names: list[str] | None = None, arguments: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What each worker answered; with names it ends with the last of them, without only with the time."""
        with self._connected():
            replies = self._app.control.broadcast(
                command, arguments=dict(arguments or {}), destination=names, timeout=timeout, reply=True
            )
        return {name: answer for reply in replies or () for name, answer in reply.items()}

    @contextmanager
    def _connected(self) -> Iterator[None]:
        connection = self._app.connection()
        try:
            yield
        except (OSError, *connection.connection_errors, *connection.channel_errors) as error:
            raise BrokerError(f"the broker of the Celery workers does not answer: {type(error).__name__}") from error

    def _until(self, read: Callable[[], T], so: Callable[[T], bool], what: str) -> T:
        begun = self._now()
        while not so(found := read()):
            if self._now() - begun >= self._timeout:
                raise WorkersError(f"not so after {self._timeout:g} s: {what}, found {found}")
            self._clock.sleep(0.1)
        return found

    def _now(self) -> float:
        return seconds(self._clock.monotonic_ns())


def broker_url(
    host: str | None, port: int | None = None, password: str | None = None, database: str | None = None
) -> str:
    """The URL of a Redis or Valkey broker at a host, or at a unix socket if the host is a path."""
    from urllib.parse import quote  # noqa: PLC0415 - httpx, which loads it, is not loaded yet where this is parsed

    if not host:
        raise ValueError(f"host={host!r}: a broker's connection needs a host, or the path of a socket")
    login = f":{quote(password, safe='')}@" if password else ""
    if host.startswith("/"):
        # Kombu reads the path without its first slash, and the database from the query.
        return f"redis+socket://{login}{quote(host)}" + (f"?virtual_host={database}" if database else "")
    return f"redis://{login}{host}:{port or 6379}/{database or 0}"


def _celery(broker: str) -> Any:
    from celery import Celery  # noqa: PLC0415 - takes half a second, and no DAG file needs it to be parsed

    return Celery(broker=broker, set_as_current=False)


def _length(connection: Any, queue: str) -> int:
    """How many messages a queue has; Redis does not know a queue without any."""
    try:
        return int(connection.default_channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors as error:
        if str(getattr(error, "reply_code", "")) != str(_NOT_FOUND):
            raise
        return 0
