"""The parts of the stack: what each runs, what it waits for, and when it counts as healthy."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from backpressure_lab.manifest import Course
from backpressure_lab.stack import health, postgres
from backpressure_lab.stack.context import Context

Healthy = Callable[[Context, float], bool]


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    ``after`` names the parts that must be healthy before this one starts. ``healthy`` is asked with the instant of the
    part's own start, so that an answer about a predecessor does not count. A part that is ``hung`` for a minute is
    ended and started again. A ``forked`` part is a child of the nursery. A ``once`` part is healthy when it has ended
    with exit code 0. An ``optional`` part runs only while a switch of its name is set. ``ready`` parts are those that
    the lab waits for before it says that it is ready.
    """

    name: str
    command: list[str]
    healthy: Healthy = health.never
    hung: Healthy = health.never
    after: tuple[str, ...] = ()
    once: bool = False
    optional: bool = False
    forked: bool = False
    ready: bool = True
    stop: signal.Signals = signal.SIGTERM
    grace: float = 4.0


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _airflow(*arguments: str) -> list[str]:
    return _python("airflow", *arguments)


def parts(context: Context, course: Course) -> list[Part]:
    """Every part of the lab, in the order in which they are started."""
    layout, ports = context.layout, context.ports
    ready = ("postgres", "database")
    found = [
        # First, since it takes longest; its modules are imported while the database is still being made.
        Part("api-server", _python("backpressure_lab.stack.api_server"), health.airflow("metadatabase")),
        Part("postgres", postgres.server_command(layout), health.postgres, stop=signal.SIGINT),
        Part("database", _python("backpressure_lab.stack.database"), after=("postgres",), once=True, forked=True),
        Part(
            "upstream",
            _python("backpressure_lab.upstream", f"--port={ports.upstream}", f"--token-file={layout.token_file}"),
            health.http(ports.upstream),
            after=("postgres",),
        ),
        Part(
            "metrics",
            _python(
                "backpressure_lab.metrics",
                f"--port={ports.metrics}",
                f"--udp-port={ports.statsd}",
                f"--token-file={layout.token_file}",
            ),
            health.http(ports.metrics),
            after=("postgres",),
        ),
        Part(
            "scheduler",
            _scheduler(),
            health.airflow("scheduler"),
            health.given_up("scheduler"),
            after=ready,
            forked=True,
        ),
        Part(
            "dag-processor",
            _airflow("dag-processor"),
            health.airflow("dag_processor"),
            health.given_up("dag_processor"),
            after=ready,
            forked=True,
        ),
        Part(
            "triggerer",
            _airflow("triggerer", "--skip-serve-logs"),
            health.airflow("triggerer"),
            health.given_up("triggerer"),
            after=ready,
            forked=True,
        ),
        Part("bootstrap", _python("backpressure_lab.stack.bootstrap"), after=("api-server",), once=True),
        Part(
            "scheduler-2",
            _scheduler(),
            health.alive,
            after=("bootstrap", "scheduler"),
            optional=True,
            ready=False,
            forked=True,
        ),
    ]
    if not context.light:
        found += _celery(context, course)
    return found


def _scheduler() -> list[str]:
    return _airflow("scheduler", "--skip-serve-logs")


def _celery(context: Context, course: Course) -> list[Part]:
    """The broker, and the workers after everything else: they are the last that a learner needs."""
    broker = Part("valkey", health.valkey_command(context.layout), health.valkey)
    rest = ("valkey", "postgres", "bootstrap", "scheduler", "dag-processor", "triggerer")
    workers = [
        Part(
            f"worker-{worker.name}",
            _airflow(
                *("celery", "worker", "--queues", ",".join(worker.queues), "--concurrency", str(worker.concurrency)),
                *("--celery-hostname", f"{worker.name}@lab", "--without-mingle", "--without-gossip"),
                "--skip-serve-logs",
            ),
            health.celery_worker(f"{worker.name}@lab"),
            after=rest,
            ready=False,
            stop=signal.SIGQUIT,  # a warm shutdown would wait for tasks that the scheduler no longer watches
        )
        for worker in course.workers
    ]
    return [broker, *workers]
