"""Admission control for a task: what must agree before its call may start, and what to wait for when it does not.

The order of asking is such that nothing is taken that is not used. A place in line says when to come; then a bulkhead
and a breaker are entered, both of which can be left again as if nothing had happened; the limiter's permit, which
cannot be given back, is taken last, at the instant of its use.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from backpressure import checks
from backpressure.airflow.connection import ConnectionStorage, storage
from backpressure.airflow.described import described, restored
from backpressure.bulkhead import Lease
from backpressure.checks import check_count, check_number, check_text
from backpressure.clock import NANOSECONDS
from backpressure.errors import BackpressureError, BulkheadFullError, RateLimitedError, RejectedError, StorageError
from backpressure.limiter.rate import check_cost
from backpressure.limiter.several import MultiLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backpressure.breaker import Attempt, CircuitBreaker
    from backpressure.breaker.classify import Classifier
    from backpressure.breaker.state import Result
    from backpressure.bulkhead import Bulkhead
    from backpressure.clock import Clock
    from backpressure.limiter import RateLimiter

__all__ = ["Admission", "NotYet", "Turn"]

LINE = "line:"
"""What the name of a line begins with; a line is a limit of its own beside the one that it leads to."""
PROBES = "probe:"
"""What the name of the limit on woken probes of a breaker begins with."""
LONGEST_NAME = checks.LONGEST_NAME - max(len(LINE), len(PROBES))
MOST_PERMITS = 1_000_000

T = TypeVar("T")


class Turn(NamedTuple):
    """How far a task has come in its waiting; travels with it while it is deferred.

    Attributes:
        since: seconds since 1970 when it was first asked for.
        placed: its place in line has come.
        lease: token of the bulkhead's lease that was got for it while it waited.
    """

    since: float
    placed: bool = False
    lease: str | None = None


class NotYet(BackpressureError):  # noqa: N818 - not an error: the task comes again
    """The call may not start now. A breaker that sees it pass counts it neither as a success nor as a failure.

    Attributes:
        reason: who refused, in words.
        name: of who refused.
        delay: seconds until it is worth asking again.
        turn: how far the task has come.
        wait_for: "bulkhead" or "breaker" to wait for further on; None when the delay is all.
    """

    def __init__(self, reason: str, name: str, delay: float, turn: Turn, wait_for: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.name = name
        self.delay = delay
        self.turn = turn
        self.wait_for = wait_for


class Admission:
    """What a task's call must pass before it may start. Making one does no I/O.

    Args:
        limiter: `RateLimiter` or `MultiLimiter`: how often.
        breaker: whether at all; the call's exceptions are reported to it. Of Airflow's own, `AirflowTaskTimeout` is a
            failure, unless the breaker ignores it: what hangs until the task's `execution_timeout` does not answer.
            Those by which a task skips, reschedules or defers itself, or hands a trigger or a skip of others over to
            Airflow, are neither a failure nor a success.
        bulkhead: how many at once; the permit is held, and renewed, while the call runs.
        cost: how much of the limiter the call takes.
        permits: how many of the bulkhead's permits it takes.
        tenant: on whose behalf, for the bulkhead.
        max_wait: seconds after which the task is no longer deferred but fails with the refusal, and Airflow's retries
            decide; None: it waits as long as it takes.
        patience: seconds that a task waits for its limiter where it is, in its slot, rather than be deferred. A
            deferral costs a second start of the task, so that about the time of one start is a good value.
        spread: seconds over which tasks that waited for a breaker come back when it has closed, at random; those with a
            limiter then take their places in its line.

    Raises:
        ValueError: an argument is out of range, nothing is asked for, or a storage was not made by
            `backpressure.airflow.storage`: a task that is deferred must find its limits again by their connection.
    """

    def __init__(
        self,
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
    ) -> None:
        asked = [one for one in (limiter, breaker, bulkhead) if one is not None]
        if not asked:
            raise ValueError("limiter, breaker or bulkhead must be given: there is nothing to ask")
        limits = _limits(limiter)
        for one in (*limits, *asked[limiter is not None :]):
            check_text("name of what a deferred task waits for", one.name, 1, LONGEST_NAME)
            if not isinstance(one.storage, ConnectionStorage):
                raise ValueError(  # noqa: TRY004 - a bad argument is a ValueError everywhere in this package
                    f"the storage of {one.name!r} must be made by backpressure.airflow.storage(conn_id), so that a "
                    f"deferred task can find it again; it is a {type(one.storage).__name__}"
                )
        check_count("cost", cost, MOST_PERMITS)
        for limit in limits:
            check_cost(cost, limit.rate.spec.limit)
        check_count("permits", permits, bulkhead.limit if bulkhead else MOST_PERMITS)
        check_number("patience", patience, 0, 3600, " s")
        check_number("spread", spread, 0, 86400, " s")
        if max_wait is not None:
            check_number("max_wait", max_wait, 0, 366 * 86400, " s")
        self.limiter = limiter
        self.breaker = breaker
        self.bulkhead = bulkhead
        self.cost = cost
        self.permits = permits
        self.tenant = tenant
        self.max_wait = max_wait
        self.patience = patience
        self.spread = spread
        self.line = _line_to(limiter) if limiter else None
        self.clock: Clock = asked[0].storage.clock

    def __repr__(self) -> str:
        # Airflow writes it into the serialized DAG of a mapped task: the same at each parse, and without a secret.
        parts = [repr(limit) for limit in _limits(self.limiter)]
        if self.breaker is not None:
            parts.append(f"CircuitBreaker({self.breaker.name!r})")
        if self.bulkhead is not None:
            parts.append(repr(self.bulkhead))
        return f"Admission({', '.join(parts)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Admission:
        # Airflow copies tasks with all they hold; limits never change, and their connections can't be copied.
        return self

    def first_turn(self) -> Turn:
        """The turn of a task that has not waited yet."""
        return Turn(since=self.clock.now_ns() / NANOSECONDS)

    def left(self, turn: Turn) -> float:
        """Seconds that a task may still wait; infinite when it may wait for ever."""
        if self.max_wait is None:
            return math.inf
        return max(0.0, turn.since + self.max_wait - self.clock.now_ns() / NANOSECONDS)

    def call(self, turn: Turn, function: Callable[[], T]) -> T:
        """Call the function if it may start now.

        Raises:
            NotYet: it may not; what was taken was given back.
            RejectedError: nor within the time it may wait.
            StorageError: a storage could not be asked.
        """
        admitted, attempt = self._enter(turn)
        with admitted:
            try:
                value = function()
            except BaseException as error:
                if attempt is not None and self.breaker is not None:
                    attempt.judged = _of_airflow(error, self.breaker.classifier)
                raise
            if attempt is not None and self.breaker is not None:
                attempt.judged = self.breaker.classifier.of_value(value)
            return value

    def _enter(self, turn: Turn) -> tuple[ExitStack, Attempt | None]:
        """The context in which the call may start now, and the breaker's word for it."""
        attempt = None
        with ExitStack() as stack:
            handed = self._taken_over(turn)
            turn = turn._replace(lease=None)
            if handed is not None:
                stack.enter_context(handed)  # first, so that it is given back whoever refuses
            self._stop_at_open_breaker(turn)
            if self.limiter is not None and not turn.placed:
                turn = self._placed(turn)
            if self.bulkhead is not None and handed is None:
                stack.enter_context(self._leased(self.bulkhead, turn))
            if self.breaker is not None:
                try:
                    attempt = stack.enter_context(_entered(self.breaker))
                except RejectedError as refusal:
                    raise self._later(refusal, refusal.retry_after, turn, "breaker") from refusal
            if self.limiter is not None:
                self._take_permit(self.limiter, turn)
            return stack.pop_all(), attempt
        raise AssertionError("an ExitStack that suppresses nothing")  # pragma: no cover - for the type checker

    def _stop_at_open_breaker(self, turn: Turn) -> None:
        """Ask an open breaker before a place in line is taken; a task that comes in its turn meets it later."""
        if self.breaker is None or turn.placed:
            return
        try:
            found = self.breaker.snapshot()
        except StorageError:
            return  # not known to be open: when it is entered it decides itself whether it fails open
        if found.state == "open":
            from backpressure.breaker import CircuitOpenError  # noqa: PLC0415 - only when it is raised

            refusal = CircuitOpenError(
                f"circuit breaker {self.breaker.name!r} is open: ask again in {found.opens_again_in:.3g} s",
                found.opens_again_in,
            )
            raise self._later(refusal, found.opens_again_in, turn, "breaker")

    def _take_permit(self, limiter: RateLimiter | MultiLimiter, turn: Turn) -> None:
        """Take the limiter's permit, for an instant within the task's patience, and wait for that."""
        try:
            permit = limiter.reserve(1, self.cost, max_wait=min(self.patience, self.left(turn)))[0]
        except RateLimitedError as refusal:
            # Others came late as well, or somebody takes permits without a place. A place anew keeps all apart.
            delay = refusal.retry_after + self._place(turn)
            raise self._later(refusal, delay, turn._replace(placed=True)) from refusal
        if permit.delay:
            self.clock.sleep(permit.delay)

    def _placed(self, turn: Turn) -> Turn:
        """The turn with its place in line; NotYet when the place is further away than the task's patience."""
        delay = self._place(turn)
        if delay > self.patience:
            assert self.limiter is not None
            reason = f"limiter {self.limiter.name!r} has no permit now: its turn comes in {delay:.3f} s"
            raise NotYet(reason, self.limiter.name, delay, turn._replace(placed=True))
        return turn._replace(placed=True)

    def _place(self, turn: Turn) -> float:
        """Seconds until the next free place in line, which is taken; RateLimitedError when it would be too far."""
        assert self.line is not None
        left = self.left(turn)
        return self.line.reserve(1, self.cost, max_wait=None if math.isinf(left) else left)[0].delay

    def _taken_over(self, turn: Turn) -> Lease | None:
        """The bulkhead's permit that was got while the task waited; None when it was not, or has ended on the way."""
        if self.bulkhead is None or turn.lease is None:
            return None
        lease = Lease(self.bulkhead, turn.lease, self.permits)
        return lease if lease.renew() else None

    def _leased(self, bulkhead: Bulkhead, turn: Turn) -> Lease:
        """A permit of the bulkhead that is free now."""
        try:
            return bulkhead.acquire(self.permits, self.tenant, timeout=0)
        except BulkheadFullError as refusal:
            raise self._later(refusal, 0.0, turn, "bulkhead") from refusal

    def _later(self, refusal: RejectedError, delay: float, turn: Turn, wait_for: str | None = None) -> Exception:
        """NotYet, or the refusal itself when the task may not wait that long."""
        left = self.left(turn)
        if left <= 0 or delay > left:
            return refusal
        refuser = {"breaker": self.breaker, "bulkhead": self.bulkhead}.get(wait_for or "", self.limiter)
        return NotYet(refusal.message, refuser.name if refuser else "", delay, turn, wait_for)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, for a trigger; `from_dict` makes the same admission of it, without listeners."""
        return {
            **{name: described(getattr(self, name)) for name in ("limiter", "breaker", "bulkhead")},
            **{name: getattr(self, name) for name in _PLAIN},
        }

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Admission:
        """The admission that `to_dict` described, in any process of the deployment."""
        parts = {name: restored(given[name], storage) for name in ("limiter", "breaker", "bulkhead")}
        return cls(parts.pop("limiter"), **parts, **{name: given[name] for name in _PLAIN})


_PLAIN = ("cost", "permits", "tenant", "max_wait", "patience", "spread")


@contextmanager
def _entered(breaker: CircuitBreaker) -> Iterator[Attempt]:
    """The breaker around a call; what was judged of it before it ended goes before what its exception is."""
    attempt = breaker.__enter__()
    try:
        yield attempt
    except BaseException as error:
        if attempt.judged is None:
            breaker.__exit__(type(error), error, error.__traceback__)
        else:
            breaker.__exit__(None, None, None)
        raise
    breaker.__exit__(None, None, None)


def _of_airflow(error: BaseException, classifier: Classifier) -> Result | None:
    """What an exception of Airflow's own says of the call that raised it; None for any other."""
    from airflow.sdk import exceptions  # noqa: PLC0415 - not while a DAG file is parsed

    from backpressure.breaker.state import Result  # noqa: PLC0415 - the same

    handed_over = (
        exceptions.AirflowSkipException,
        exceptions.AirflowRescheduleException,
        exceptions.DownstreamTasksSkipped,
        exceptions.DagRunTriggerException,
        exceptions.TaskDeferred,
        exceptions.TaskAwaitingInput,
    )
    if isinstance(error, handed_over):
        return Result.IGNORED
    if isinstance(error, exceptions.AirflowTaskTimeout) and not classifier.ignores(error):
        return Result.FAILURE
    return None


def _line_to(limiter: RateLimiter | MultiLimiter) -> RateLimiter | MultiLimiter:
    """The line that leads to a limiter: the same limit under a name of its own, of which only places are taken."""
    from backpressure.limiter import RateLimiter as Single  # noqa: PLC0415 - the name above is for type checkers

    fail_open = limiter._fail_open  # noqa: SLF001 - the line must not be stricter than what it leads to
    lines = [Single(LINE + each.name, each.rate, each.storage, fail_open=fail_open) for each in _limits(limiter)]
    return MultiLimiter(lines, fail_open=fail_open) if isinstance(limiter, MultiLimiter) else lines[0]


def _limits(limiter: RateLimiter | MultiLimiter | None) -> tuple[RateLimiter, ...]:
    if isinstance(limiter, MultiLimiter):
        return limiter.limiters
    return () if limiter is None else (limiter,)
