"""Cluster policies that teams ask for, to be put together in `airflow_local_settings.py`.

    from datetime import timedelta

    from backpressure.airflow import policies

    __all__ = ["task_policy"]

    task_policy = policies.together(
        policies.default_pool("shared"),
        policies.execution_timeout(default=timedelta(hours=1), most=timedelta(hours=12)),
        policies.retry_backoff(),
    )

`__all__` is not decoration: without it Airflow copies every name of that file into its own settings, imported modules
included, over its own of the same name.

Each policy is applied when a DAG file is parsed, to every task of every DAG, mapped tasks as a whole; it sees what the
file says, not the run. The worker parses the file again and applies them again, so that all components need the same
`airflow_local_settings.py`. A task that breaks a rule makes an import error of its file, in words that name DAG, task
and remedy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from backpressure.pools import DEFAULT_POOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow.sdk import RetryPolicy

__all__ = ["default_pool", "execution_timeout", "known_pools", "retry_backoff", "together"]


def together(*policies: Callable[[Any], None]) -> Callable[[Any], None]:
    """One `task_policy` of several, applied in this order."""

    def task_policy(task: Any) -> None:
        for policy in policies:
            policy(task)

    return task_policy


def default_pool(pool: str) -> Callable[[Any], None]:
    """Tasks that name no pool run in this one instead of in Airflow's `default_pool`.

    The pool must be there: Airflow creates none, and tasks of a missing pool stay `scheduled` for ever. A task that
    names `default_pool` itself can't be told from one that names none.

    Args:
        pool: the pool's name.
    """
    if not pool or not isinstance(pool, str):
        raise ValueError(f"pool must be the name of a pool, not {pool!r}")

    def task_policy(task: Any) -> None:
        if task.pool == DEFAULT_POOL:
            task.pool = pool

    return task_policy


def known_pools(names: Iterable[str]) -> Callable[[Any], None]:
    """Reject DAGs with a task in a pool that is not among these, or in Airflow's own.

    Airflow itself says nothing of a pool that is missing. With the file of the deployment's pools:

        known_pools(spec.name for spec in pool_files.read("/etc/airflow/pools.toml"))

    Args:
        names: of the pools that there are.
    """
    known = {DEFAULT_POOL, *names}

    def task_policy(task: Any) -> None:
        if task.pool not in known:
            raise _violation(task, f"names the pool {task.pool!r}, which there is not; there are {_listed(known)}")

    return task_policy


def execution_timeout(*, default: timedelta | None = None, most: timedelta | None = None) -> Callable[[Any], None]:
    """Every task ends: one without `execution_timeout` gets the default, or is rejected when there is none.

    Airflow counts the timeout anew each time that a deferred task is started, and not at all while it is deferred. It
    bounds how long a slot is held, then, not how long a task takes; for that there is `dagrun_timeout`.

    Args:
        default: for tasks that have none; None: such a task is rejected.
        most: the longest that a task may ask for; one that asks for more is rejected. None: any.
    """
    for name, value in (("default", default), ("most", most)):
        if value is not None and (not isinstance(value, timedelta) or value <= timedelta(0)):
            raise ValueError(f"{name} must be a timedelta above 0, not {value!r}")
    if default is not None and most is not None and default > most:
        raise ValueError(f"default must not exceed most, {most}, but is {default}")

    def task_policy(task: Any) -> None:
        if task.execution_timeout is None:
            if default is None:
                raise _violation(task, "has no execution_timeout: give it one")
            task.execution_timeout = default
        elif most is not None and task.execution_timeout > most:
            raise _violation(task, f"has an execution_timeout of {task.execution_timeout}; the most is {most}")

    return task_policy


def retry_backoff(policy: RetryPolicy | None = None) -> Callable[[Any], None]:
    """Tasks with retries and without a retry policy of their own wait longer from retry to retry, each for itself.

    Airflow's own `retry_exponential_backoff` does not do that: its jitter is drawn from dag_id, task_id, logical date
    and try number, which mapped siblings share, so that what failed together comes back together. A task that sets it
    is left as it is; so is one with a policy. Of the others, `retry_delay` is not used any more.

    Args:
        policy: any `RetryPolicy`; None: `BackoffRetryPolicy()`, full jitter from 30 s, doubling, up to an hour.
    """
    chosen = policy

    def task_policy(task: Any) -> None:
        nonlocal chosen
        if not task.retries or task.retry_policy is not None or task.retry_exponential_backoff:
            return
        if chosen is None:
            from backpressure.airflow.retry_policy import BackoffRetryPolicy  # noqa: PLC0415 - see below

            # Made only now: airflow_local_settings.py is loaded while Airflow itself is being loaded.
            chosen = BackoffRetryPolicy()
        task.retry_policy = chosen

    return task_policy


def _violation(task: Any, what: str) -> Exception:
    from airflow.exceptions import AirflowClusterPolicyViolation  # noqa: PLC0415 - the same

    return AirflowClusterPolicyViolation(f"task {task.task_id!r} of DAG {task.dag_id!r} {what}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
