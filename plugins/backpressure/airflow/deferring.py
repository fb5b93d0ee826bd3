"""Tasks that are deferred while a limiter, a breaker or a bulkhead refuses them.

While it waits such a task is *deferred*: it holds no worker slot, and no pool slot unless its pool has
`include_deferred`. A trigger brings it back at its turn, and not with all the others:

- For a **limiter**, the task takes a place in the limiter's line and comes back at that place's instant. Places are
  spaced as the limit is, so that tasks come back one after the other. The permit itself is taken when the call starts:
  between the instant at which a trigger fires and the start of the task lie a trip through the scheduler and the wait
  for a pool slot, and permits that were given for an instant would be used later, several at a time. A place is no
  permit; that of a task that is cleared or killed while it waits stays empty, and no permit is lost by it.
- For a **breaker**, the trigger watches it. Of all that wait, only as many as it lets pass come back to probe it; the
  others come when it has closed, spread over some seconds, and take their places in line.
- For a **bulkhead**, the trigger stands in its queue, and hands the permit's lease over to the task.

A task that is retried or cleared begins afresh, since its call may have taken place.

Why an operator and not an exception to raise in a task's code: a deferred task does not go on where it stopped, it is
started again. Here it stops before any of its own code has run, so that nothing is done twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseOperator
from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from backpressure.airflow.admission import Admission, NotYet, Turn
from backpressure.clock import NANOSECONDS
from backpressure.events import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from backpressure.breaker import CircuitBreaker
    from backpressure.bulkhead import Bulkhead
    from backpressure.limiter import MultiLimiter, RateLimiter

__all__ = ["LimitedMixin", "LimitedOperator", "limited"]


class LimitedMixin(BaseOperator):
    """Makes any operator wait for its admission, deferred.

        class LimitedHttpOperator(LimitedMixin, HttpOperator): ...

    The operator's `execute` is what is admitted. Should it defer itself, it has used its permit, its bulkhead's permit
    is given back, and the breaker is told nothing.

    Args:
        admission: what must agree before `execute` may start.
        **kwargs: the operator's own.
    """

    def __init__(self, *, admission: Admission, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(admission, Admission):
            raise TypeError(f"admission must be an Admission, not {admission!r}")
        self.admission = admission

    def execute(self, context: Context) -> Any:
        """Run the operator, or wait for its turn."""
        return self._in_turn(context, self.admission.first_turn())

    def execute_in_turn(self, context: Context, event: list[Any]) -> Any:
        """Run the operator after a wait, or wait on; `event` is what the trigger says of its turn."""
        return self._in_turn(context, Turn(*event))

    def _in_turn(self, context: Context, turn: Turn) -> Any:
        run = super().execute
        try:
            return self.admission.call(turn, lambda: run(context))
        except NotYet as refusal:
            self._defer(refusal)

    def _defer(self, refusal: NotYet) -> None:
        from backpressure.airflow.events import TaskDeferred, to_metrics  # noqa: PLC0415 - not while a file is parsed
        from backpressure.airflow.trigger import TurnTrigger  # noqa: PLC0415 - the same

        self.log.info("%s; deferred", refusal.reason)
        publish([to_metrics], TaskDeferred(refusal.name, refusal.delay, refusal.wait_for or "limiter"))
        self.defer(
            trigger=TurnTrigger(
                self.admission.to_dict(),
                list(refusal.turn),
                self.admission.clock.now_ns() / NANOSECONDS + refusal.delay,
                refusal.wait_for,
            ),
            method_name=self.execute_in_turn.__name__,
        )


class LimitedOperator(LimitedMixin, PythonOperator):
    """A `PythonOperator` that waits for its admission, deferred.

    Args:
        admission: what must agree before the callable may start.
        **kwargs: those of `PythonOperator`.
    """


class _LimitedTask(LimitedMixin, DecoratedOperator, PythonOperator):
    """What `limited` makes of a function."""

    custom_operator_name = "@limited"
    template_fields = PythonOperator.template_fields
    template_fields_renderers = PythonOperator.template_fields_renderers

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any],
        op_kwargs: Mapping[str, Any],
        **rest: Any,
    ) -> None:
        upstream: dict[str, Any] = {"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs}
        super().__init__(kwargs_to_upstream=upstream, **upstream, **rest)


def limited(
    limiter: RateLimiter | MultiLimiter | None = None,
    *,
    breaker: CircuitBreaker | None = None,
    bulkhead: Bulkhead | None = None,
    cost: int = 1,
    permits: int = 1,
    tenant: str = "",
    max_wait: float | None = None,
    patience: float = 1.0,
    spread: float = 10.0,
    **task: Any,
) -> TaskDecorator:
    """Make a task of a function, as `@task` does, that is deferred while it is refused.

        partner = RateLimiter("partner_x", Rate(limit=10, period=1.0), storage("backpressure_db"))

        @limited(partner, max_wait=3600, retries=3)
        def fetch(page): ...

        fetch.expand(page=pages)

    Args:
        limiter: how often.
        breaker: whether at all; the function's exceptions, and the values that it takes for failures, are reported to
            it; see `Admission` for Airflow's own exceptions. Its fallback is not used.
        bulkhead: how many at once.
        cost: how much of the limiter the call takes.
        permits: how many of the bulkhead's permits it takes.
        tenant: on whose behalf, for the bulkhead.
        max_wait: seconds after which the task fails with the refusal; None: it waits as long as it takes.
        patience: seconds that it waits for its limiter in its slot rather than be deferred.
        spread: seconds over which tasks come back when a breaker has closed, to start or to take their places in line.
        **task: those of `@task`: `retries`, `pool`, `task_id`, …

    Raises:
        ValueError: see `Admission`.
    """
    admission = Admission(
        limiter,
        breaker=breaker,
        bulkhead=bulkhead,
        cost=cost,
        permits=permits,
        tenant=tenant,
        max_wait=max_wait,
        patience=patience,
        spread=spread,
    )
    return task_decorator_factory(decorated_operator_class=_LimitedTask, admission=admission, **task)
