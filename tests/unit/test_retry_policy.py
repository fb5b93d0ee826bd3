"""The Airflow retry policy, as Airflow's own task runner asks it."""

import copy
import statistics
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, RetryAction, task
from airflow.serialization.serialized_objects import DagSerialization
from backpressure import RateLimitedError
from backpressure.airflow.retry_policy import BackoffRetryPolicy
from backpressure.clock import ManualClock
from backpressure.retry import Backoff, RetryBudget
from backpressure.storage import MemoryStorage, PostgresStorage


def context(map_index: int = 0, run_id: str = "run", retries: int = 3) -> dict[str, Any]:
    """What Airflow passes, as far as the policy looks at it."""
    ti = SimpleNamespace(dag_id="dag", run_id=run_id, task_id="task", map_index=map_index)
    return {"ti": ti, "task": SimpleNamespace(retries=retries)}


def waits(policy: BackoffRetryPolicy, **asked: Any) -> list[float]:
    """The first waits of a hundred mapped siblings, in seconds."""
    decisions = [policy.evaluate(OSError(), 1, 3, context(index, **asked)) for index in range(100)]
    return [decision.retry_delay.total_seconds() for decision in decisions if decision.retry_delay is not None]


def test_mapped_siblings_and_runs_part() -> None:
    """A hundred siblings that failed together come back at a hundred times, spread over the whole range."""
    policy = BackoffRetryPolicy(backoff=Backoff(base=60))
    one, other = waits(policy), waits(policy, run_id="other run")
    assert len({*one, *other}) == 200
    assert max(one) <= 60
    assert statistics.quantiles(one, n=10)[0] < 15
    assert statistics.quantiles(one, n=10)[-1] > 45


def test_a_task_instance_decides_the_same_again() -> None:
    """Asked twice about the same try, the policy names the same wait: it can be found in a log and explained."""
    policy = BackoffRetryPolicy()
    assert policy.evaluate(OSError(), 2, 3, context(7)) == policy.evaluate(OSError(), 2, 3, context(7))


def test_waits_grow_from_try_to_try_and_start_afresh_after_a_clear() -> None:
    """The second try's bound is twice the first's; a cleared task, whose tries went up by four, begins again."""
    policy = BackoffRetryPolicy(backoff=Backoff(base=10, limit=1000, jitter="none"))
    decisions = [policy.evaluate(OSError(), number, 3, context()) for number in (1, 2, 3)]
    cleared = policy.evaluate(OSError(), 5, 7, context())
    delays = [decision.retry_delay for decision in [*decisions, cleared]]
    assert delays == [timedelta(seconds=seconds) for seconds in (10, 20, 40, 10)]


def test_honours_retry_after() -> None:
    """No sibling comes back before the time that was named, and they do not come back together."""
    policy = BackoffRetryPolicy(backoff=Backoff(base=60))
    error = RateLimitedError("later", 300.0)
    decisions = [policy.evaluate(error, 1, 3, context(index)) for index in range(20)]
    delays = {decision.retry_delay for decision in decisions}
    assert len(delays) == 20
    assert all(timedelta(seconds=300) <= delay <= timedelta(seconds=360) for delay in delays if delay)
    assert "300 s of it as the other side said" in (decisions[0].reason or "")


def test_gives_up_or_leaves_it_to_airflow() -> None:
    """Errors for good fail at once; what the policy is not for, and the last try, are Airflow's to decide."""
    policy = BackoffRetryPolicy(retry_on=(OSError, RuntimeError), give_up_on=PermissionError, max_wait=600)
    gone = RuntimeError("gone")
    gone.response = SimpleNamespace(status_code=410)  # type: ignore[attr-defined]
    late = OSError()
    late.retry_after = 601.0  # type: ignore[attr-defined]
    asked = [
        (PermissionError(), 1, RetryAction.FAIL),
        (gone, 1, RetryAction.FAIL),
        (late, 1, RetryAction.FAIL),
        (ValueError(), 1, RetryAction.DEFAULT),
        (OSError(), 4, RetryAction.DEFAULT),
        (OSError(), 3, RetryAction.RETRY),
    ]
    for error, try_number, action in asked:
        assert policy.evaluate(error, try_number, 3, context()).action is action


def test_tasks_share_a_budget() -> None:
    """A hundred tasks that fail three times make no more retries than the budget allows; the rest fails at once."""
    budget = RetryBudget("api", MemoryStorage(ManualClock()), ratio=0.2, capacity=10)
    policy = BackoffRetryPolicy(budget=budget)
    retries = 0
    for index in range(100):
        for try_number in (1, 2, 3):
            decision = policy.evaluate(OSError(), try_number, 3, context(index))
            if decision.action is RetryAction.FAIL:
                assert "budget 'api' is used up" in (decision.reason or "")
                break
            retries += 1
    assert 10 + 0.2 * 100 - 1 <= retries <= 10 + 0.2 * 100


def test_works_without_a_context() -> None:
    """Asked without a context, as Airflow allows, it still waits within the bounds, at random."""
    policy = BackoffRetryPolicy(backoff=Backoff(base=60))
    delays = {policy.evaluate(OSError(), 1, 3).retry_delay for _ in range(20)}
    assert len(delays) == 20


def test_a_dag_with_it_serializes_and_copies_without_any_io() -> None:
    """At parse time nothing connects, though the address is wrong, and Airflow can copy and serialize the task."""
    nowhere = PostgresStorage("host=/nowhere dbname=none")
    policy = BackoffRetryPolicy(budget=RetryBudget("api", nowhere))
    with DAG("retry_policy_test", schedule=None) as dag:

        @task(retries=2, retry_policy=policy)
        def fetch(number: int) -> int:
            return number

        fetch.expand(number=[1, 2])
    serialized = DagSerialization.to_dict(dag)
    assert '"has_retry_policy": True' in str(serialized).replace("'", '"')
    assert copy.deepcopy(dag.get_task("fetch")).retry_policy is policy


def test_rejects_an_impossible_wait() -> None:
    """A bad argument raises ValueError naming argument and value."""
    with pytest.raises(ValueError, match="max_wait must"):
        BackoffRetryPolicy(max_wait=-1)
