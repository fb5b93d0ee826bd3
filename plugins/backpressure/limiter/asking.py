"""What every way of asking limits has in common: putting the question to the storage and reading its answer."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from backpressure.clock import NANOSECONDS
from backpressure.errors import RateLimitedError, StorageUnavailableError
from backpressure.limiter.decision import Decision, Permit
from backpressure.limiter.operations import GCRA_TAKE, RESET, TAKE
from backpressure.limiter.rate import GCRA, HORIZON_NS, Limit, check_cost, check_name
from backpressure.storage.protocol import Argument, Operation, Result, Storage

if TYPE_CHECKING:
    from backpressure.events import Event, Listener

__all__ = ["SHORTEST_STORAGE_TIMEOUT", "Answer", "Asking", "Limiter", "decision", "nanoseconds", "storage_timeout"]

MOST_PERMITS = 10_000
SHORTEST_STORAGE_TIMEOUT = 0.1
_OPEN: Result = ()

_Question = tuple[Operation, tuple[Argument, ...]]


class Answer(NamedTuple):
    """The storage's answer. `wait` is in nanoseconds, and `chosen` counts from 0."""

    allowed: bool
    wait: int
    remaining: int
    chosen: int = 0


class Asking:
    """Puts questions about one or more limits to a storage.

    Args:
        name: for messages and events.
        limits: name and limit of each.
        storage: where they are kept.
        any_of: one of the limits is enough; otherwise all of them.
        fail_open: let calls through while the storage can't be reached.
        listeners: told of every decision.

    Raises:
        ValueError: a name is out of range, or comes twice.
    """

    def __init__(
        self,
        name: str,
        limits: Sequence[tuple[str, Limit]],
        storage: Storage,
        *,
        any_of: bool = False,
        fail_open: bool = False,
        listeners: Iterable["Listener"] = (),
    ) -> None:
        self.name = name
        self.storage = storage
        specs = [limit.spec for _, limit in limits]
        self._keys = tuple(f"{spec.letter}:{check_name(each)}" for (each, _), spec in zip(limits, specs, strict=True))
        if len(set(self._keys)) != len(self._keys) or not self._keys:
            raise ValueError(f"limiters must be one or more, each named once, not {[each for each, _ in limits]!r}")
        self._any_of = any_of
        self._largest = min(spec.limit for spec in specs)
        self._only_rate = (specs[0].limit, specs[0].period) if len(specs) == 1 and specs[0].kind == GCRA else None
        self._columns = tuple(list(column) for column in zip(*specs, strict=True))
        self._at_once = self._one(1, 0)
        self._fail_open = fail_open
        self._listeners = tuple(listeners)

    def reset(self) -> None:
        """Forget everything: the next call finds the limits untouched."""
        self.storage.run(RESET, self._keys)

    async def reset_async(self) -> None:
        """Forget everything, without blocking the event loop."""
        await self.storage.run_async(RESET, self._keys)

    def _ask(self, question: _Question, timeout: float | None = None) -> Result:
        try:
            return self.storage.run(question[0], self._keys, *question[1], timeout=timeout)
        except StorageUnavailableError as error:
            return self._unavailable(error)

    async def _ask_async(self, question: _Question, timeout: float | None = None) -> Result:  # noqa: ASYNC109 - the storage's
        try:
            return await self.storage.run_async(question[0], self._keys, *question[1], timeout=timeout)
        except StorageUnavailableError as error:
            return self._unavailable(error)

    def _unavailable(self, error: StorageUnavailableError) -> Result:
        if not self._fail_open:
            raise error
        from backpressure.events import FailedOpen  # noqa: PLC0415 - rare

        self._publish(FailedOpen(self.name, error))
        return _OPEN

    def _one(self, cost: int, max_wait: int) -> _Question:
        """The question for one permit."""
        check_cost(cost, self._largest)
        if self._only_rate is not None:
            return GCRA_TAKE, (*self._only_rate, cost, max_wait)
        return TAKE, (*self._columns, int(self._any_of), 1, cost, max_wait)

    def _several(self, count: int, cost: int, max_wait: float | None) -> _Question:
        """The question for a number of reserved permits."""
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PERMITS:
            raise ValueError(f"count must be a whole number from 1 to {MOST_PERMITS}, not {count!r}")
        check_cost(cost, self._largest)
        return TAKE, (*self._columns, int(self._any_of), count, cost, nanoseconds("max_wait", max_wait))

    def _decision(self, row: Result, cost: int) -> Decision:
        if len(row) == 3 and not self._listeners:  # noqa: PLR2004 - a GCRA answer, the usual case
            allowed, wait, remaining = row
            # What `Decision(…)` does, in half the time.
            return tuple.__new__(Decision, (allowed, 0.0 if allowed else wait / NANOSECONDS, remaining))
        return decision(self._answer(row, cost))

    def _answer(self, row: Result, cost: int) -> Answer:
        if row is _OPEN:
            return Answer(allowed=True, wait=0, remaining=0)
        if len(row) == 3:  # noqa: PLR2004 - a GCRA answer
            answer = Answer(*row)
        else:
            allowed, chosen, waits, remaining, _ = row
            left = remaining[chosen - 1] if self._any_of else min(remaining)
            answer = Answer(allowed, waits[-1], left, chosen - 1)
        if self._listeners:
            self._tell(answer, cost)
        return answer

    def _tell(self, answer: Answer, cost: int) -> None:
        from backpressure.events import PermitGranted, PermitRefused  # noqa: PLC0415 - only for those who listen

        event = PermitGranted if answer.allowed else PermitRefused
        self._publish(event(self.name, cost, answer.wait / NANOSECONDS))

    def _publish(self, event: "Event") -> None:
        from backpressure.events import publish  # noqa: PLC0415 - only for those who listen

        publish(self._listeners, event)

    def _refused(self, wait: int, timeout: float | None) -> RateLimitedError:
        within = "ten years" if timeout is None else f"{timeout:g} s"
        after = wait / NANOSECONDS
        return RateLimitedError(
            f"limiter {self.name!r} has no permit within {within}: the next is free in {after:.3f} s", after
        )


class Limiter(Asking):
    """Asks before each call, for one limit or for several that must all agree."""

    def try_acquire(self, cost: int = 1) -> Decision:
        """Ask for a permit now. Never waits but for the storage.

        Args:
            cost: how much of the limit the call takes.

        Raises:
            ValueError: `cost` is below 1, or above what the limit can ever grant.
            StorageError: the storage could not be asked.
        """
        operation, arguments = self._at_once if type(cost) is int and cost == 1 else self._one(cost, 0)
        try:
            row = self.storage.run(operation, self._keys, *arguments)
        except StorageUnavailableError as error:
            row = self._unavailable(error)
        return self._decision(row, cost)

    async def try_acquire_async(self, cost: int = 1) -> Decision:
        """Ask for a permit now, without blocking the event loop; see `try_acquire`."""
        return self._decision(await self._ask_async(self._one(cost, 0)), cost)

    def acquire(self, cost: int = 1, timeout: float | None = None) -> Decision:
        """Wait for a permit. Who waits has a start reserved: nobody polls, and nobody is overtaken.

        A permit whose waiting is interrupted is spent.

        Args:
            cost: how much of the limit the call takes.
            timeout: seconds from the storage's answer within which the permit must come; None for as long as it takes.
                The storage has as long to answer, and at least a tenth of a second: one statement asks and takes, and
                can't know how long it will have been on its way.

        Raises:
            RateLimitedError: the permit would come later than that; known at once, and nothing is taken.
            ValueError: `cost` is below 1 or above what the limit can ever grant, or `timeout` is negative.
            StorageError: the storage could not be asked.
        """
        question = self._one(cost, nanoseconds("timeout", timeout))
        answer = self._answer(self._ask(question, storage_timeout(timeout)), cost)
        if not answer.allowed:
            raise self._refused(answer.wait, timeout)
        if answer.wait:
            self.storage.clock.sleep(answer.wait / NANOSECONDS)
        return Decision(allowed=True, retry_after=0.0, remaining=answer.remaining)

    async def acquire_async(self, cost: int = 1, timeout: float | None = None) -> Decision:  # noqa: ASYNC109 - bounds a reservation
        """Wait for a permit, without blocking the event loop; see `acquire`."""
        question = self._one(cost, nanoseconds("timeout", timeout))
        answer = self._answer(await self._ask_async(question, storage_timeout(timeout)), cost)
        if not answer.allowed:
            raise self._refused(answer.wait, timeout)
        if answer.wait:
            await self.storage.clock.sleep_async(answer.wait / NANOSECONDS)
        return Decision(allowed=True, retry_after=0.0, remaining=answer.remaining)

    def reserve(self, count: int, cost: int = 1, max_wait: float | None = None) -> tuple[Permit, ...]:
        """Reserve the starts of a number of calls, of a mapped batch for instance, in one go.

        Whoever starts its call at its permit's instant needs to ask no more.

        Args:
            count: number of calls, 1 to 10 000.
            cost: how much of the limit each of them takes.
            max_wait: seconds from now within which the last one must start; None for as late as it takes.

        Raises:
            RateLimitedError: the last one would start later than that; nothing is taken.
            ValueError: an argument is out of range.
            StorageError: the storage could not be asked.
        """
        return self._permits(self._ask(self._several(count, cost, max_wait)), count, cost, max_wait)

    async def reserve_async(self, count: int, cost: int = 1, max_wait: float | None = None) -> tuple[Permit, ...]:
        """Reserve the starts of a number of calls, without blocking the event loop; see `reserve`."""
        return self._permits(await self._ask_async(self._several(count, cost, max_wait)), count, cost, max_wait)

    def _permits(self, row: Result, count: int, cost: int, max_wait: float | None) -> tuple[Permit, ...]:
        if row is _OPEN:
            return (Permit(0.0, self.storage.clock.now_ns() / NANOSECONDS),) * count
        if not self._answer(row, cost).allowed:
            raise self._refused(row[2][-1], max_wait)
        waits, now = row[2], row[4]
        return tuple(Permit(wait / NANOSECONDS, (now + wait) / NANOSECONDS) for wait in waits)


def decision(answer: Answer) -> Decision:
    """What the caller gets to see of an answer."""
    return Decision(answer.allowed, 0.0 if answer.allowed else answer.wait / NANOSECONDS, answer.remaining)


def nanoseconds(name: str, seconds: float | None) -> int:
    """Whole nanoseconds of a wait; None is the longest there is.

    Raises:
        ValueError: it is negative or not a number.
    """
    if seconds is None:
        return HORIZON_NS
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ValueError(f"{name} must be a number of seconds from 0, or None, not {seconds!r}")
    return int(min(HORIZON_NS // NANOSECONDS, seconds) * NANOSECONDS)


def storage_timeout(timeout: float | None) -> float | None:
    """How long the storage may take when its caller has this long; None: as long as the storage allows."""
    return max(timeout, SHORTEST_STORAGE_TIMEOUT) if timeout else None
