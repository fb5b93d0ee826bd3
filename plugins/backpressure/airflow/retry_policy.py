"""A retry policy for Airflow tasks whose mapped siblings do not come back together.

Airflow's own exponential backoff draws its jitter from dag_id, task_id, logical date and try number: mapped siblings,
which share all of these, retry in the same second. This one draws it from run_id and map_index too, listens to
`Retry-After`, keeps to a budget that tasks share, and gives up at once on what trying again won't change.
"""

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from backpressure.checks import check_seconds
from backpressure.errors import StorageError
from backpressure.retry import Backoff, RetryBudget, is_transient, retry_after, seeded
from backpressure.retry.backoff import RandomSource

__all__ = ["BackoffRetryPolicy"]

Exceptions = type[BaseException] | tuple[type[BaseException], ...]


class BackoffRetryPolicy(RetryPolicy):
    """Decides after each failure of a task whether it is tried again, and when.

    The number of tries stays the task's own `retries`. A budget counts tasks that failed: the first failure of a task
    instance brings `ratio` of a token, every retry takes one. Nothing is asked of its storage before a task fails.

    Args:
        backoff: Waiting times; None: full jitter from 30 s, doubling, up to an hour.
        budget: Shared by all tasks that retry against the same other side; without a token the task fails at once.
        retry_on: Exceptions that this policy is for; the rest is left to the task's own settings.
        give_up_on: Exceptions after which the task fails at once.
        max_wait: Seconds; a retry further away than this is not waited for, and the task fails.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        *,
        backoff: Backoff | None = None,
        budget: RetryBudget | None = None,
        retry_on: Exceptions = BaseException,
        give_up_on: Exceptions = (),
        max_wait: float = 86400.0,
    ) -> None:
        check_seconds("max_wait", max_wait)
        self.backoff = backoff or Backoff(base=30.0, limit=3600.0)
        self.budget = budget
        self.retry_on = retry_on
        self.give_up_on = give_up_on
        self.max_wait = max_wait

    def __deepcopy__(self, memo: dict[int, Any]) -> "BackoffRetryPolicy":
        # Airflow copies tasks with all they hold; a policy never changes, and a storage can't be copied.
        return self

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Mapping[str, Any] | None = None
    ) -> RetryDecision:
        """Decide after the `try_number`-th try (from 1) failed; `max_tries` is the last that a retry may follow."""
        kind = type(exception).__name__
        if isinstance(exception, self.give_up_on):
            return RetryDecision.fail(f"{kind} is among the exceptions to give up on")
        if not isinstance(exception, self.retry_on) or try_number > max_tries:
            return RetryDecision.default()
        if not is_transient(exception):
            return RetryDecision.fail(f"{kind} carries an HTTP status that will not change by trying again")
        retry = _retry_number(try_number, max_tries, context)
        named = retry_after(exception)
        wait = self.backoff.delay(retry, _source(context)) + (named or 0.0)
        if wait > self.max_wait:
            return RetryDecision.fail(f"the next try is {wait:.0f} s away, more than max_wait, {self.max_wait:g} s")
        refusal = self._refusal(first=retry == 1)
        if refusal:
            return RetryDecision.fail(refusal)
        said = "" if named is None else f", {named:g} s of it as the other side said"
        return RetryDecision.retry(timedelta(seconds=wait), f"{kind}: retry {retry} in {wait:.1f} s{said}")

    def _refusal(self, *, first: bool) -> str | None:
        """Why the budget allows no retry; None when it does, or there is none."""
        if self.budget is None:
            return None
        if first:
            self.budget.deposit()
        try:
            spent = self.budget.try_spend()
        except StorageError as error:
            return f"the retry budget {self.budget.name!r} could not be asked: {error}"
        return None if spent else f"the retry budget {self.budget.name!r} is used up, {spent.tokens:.2f} tokens left"


def _retry_number(try_number: int, max_tries: int, context: Mapping[str, Any] | None) -> int:
    """The number of the coming retry, counted from 1 since the task was last cleared by hand.

    Clearing a task instance raises its `max_tries` to the tries it had, plus the task's retries.
    """
    retries = getattr((context or {}).get("task"), "retries", None)
    before = max_tries - retries if isinstance(retries, int) else 0
    return max(1, try_number - max(0, before))


def _source(context: Mapping[str, Any] | None) -> RandomSource:
    """The task instance's own sequence; honest randomness when it is not known."""
    ti = (context or {}).get("ti")
    if ti is None:
        return random.SystemRandom()
    return seeded(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
