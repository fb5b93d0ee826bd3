"""Several limits asked as one: all of them must agree, or the best of them is taken."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from backpressure.clock import NANOSECONDS
from backpressure.limiter.asking import Answer, Asking, Limiter, decision, nanoseconds, storage_timeout
from backpressure.limiter.limiter import RateLimiter

if TYPE_CHECKING:
    from backpressure.events import Listener
    from backpressure.limiter.decision import Decision

__all__ = ["Choice", "KeyRotation", "MultiLimiter", "all_of"]


class MultiLimiter(Limiter):
    """Limits that must all agree: per connection, per key and for all together, say. All give a permit, or none does.

    Each permit is one statement, whatever the number of limits.

    Args:
        limiters: of one storage, each once.
        fail_open: as for `RateLimiter`; those of the limiters themselves do not count.
        listeners: told of every decision.

    Raises:
        ValueError: there is no limiter, one comes twice, or they have different storages.
    """

    def __init__(
        self, limiters: Iterable[RateLimiter], *, fail_open: bool = False, listeners: Iterable["Listener"] = ()
    ) -> None:
        self.limiters = _of_one_storage(limiters)
        super().__init__(
            " + ".join(limiter.name for limiter in self.limiters),
            [(limiter.name, limiter.rate) for limiter in self.limiters],
            self.limiters[0].storage,
            fail_open=fail_open,
            listeners=listeners,
        )


def all_of(*limiters: RateLimiter) -> MultiLimiter:
    """Ask several limiters as one; see `MultiLimiter`."""
    return MultiLimiter(limiters)


class Choice(NamedTuple):
    """Which of several keys to call with. True in a condition when the call may start.

    Attributes:
        name: the limiter that gave the permit, or would be the first to.
        decision: its decision.
    """

    name: str
    decision: "Decision"

    def __bool__(self) -> bool:
        return self.decision.allowed


class KeyRotation(Asking):
    """Several keys (accounts, tokens, mirrors) for the same thing, each with a limit: takes the one with most left.

    A call must cost no more than the smallest of the limits can ever grant, as any key may be the one that is taken;
    for costlier calls make a rotation of the larger keys.

    Args:
        limiters: one for each key, of one storage, each once.
        fail_open: as for `RateLimiter`; then the first key is used.
        listeners: told of every decision.

    Raises:
        ValueError: there is no limiter, one comes twice, or they have different storages.
    """

    def __init__(
        self, limiters: Iterable[RateLimiter], *, fail_open: bool = False, listeners: Iterable["Listener"] = ()
    ) -> None:
        self.limiters = _of_one_storage(limiters)
        super().__init__(
            " | ".join(limiter.name for limiter in self.limiters),
            [(limiter.name, limiter.rate) for limiter in self.limiters],
            self.limiters[0].storage,
            any_of=True,
            fail_open=fail_open,
            listeners=listeners,
        )

    def try_acquire(self, cost: int = 1) -> Choice:
        """Ask for a permit of any key now; errors as for `RateLimiter.try_acquire`."""
        return self._choice(self._answer(self._ask(self._one(cost, 0)), cost))

    async def try_acquire_async(self, cost: int = 1) -> Choice:
        """Ask for a permit of any key now, without blocking the event loop."""
        return self._choice(self._answer(await self._ask_async(self._one(cost, 0)), cost))

    def acquire(self, cost: int = 1, timeout: float | None = None) -> Choice:
        """Wait for a permit of whichever key is free first; errors as for `RateLimiter.acquire`."""
        question = self._one(cost, nanoseconds("timeout", timeout))
        answer = self._answer(self._ask(question, storage_timeout(timeout)), cost)
        choice = self._granted(answer, timeout)
        if answer.wait:
            self.storage.clock.sleep(answer.wait / NANOSECONDS)
        return choice

    async def acquire_async(self, cost: int = 1, timeout: float | None = None) -> Choice:  # noqa: ASYNC109 - bounds a reservation
        """Wait for a permit of whichever key is free first, without blocking the event loop."""
        question = self._one(cost, nanoseconds("timeout", timeout))
        answer = self._answer(await self._ask_async(question, storage_timeout(timeout)), cost)
        choice = self._granted(answer, timeout)
        if answer.wait:
            await self.storage.clock.sleep_async(answer.wait / NANOSECONDS)
        return choice

    def _granted(self, answer: Answer, timeout: float | None) -> Choice:
        if not answer.allowed:
            raise self._refused(answer.wait, timeout)
        return self._choice(answer)

    def _choice(self, answer: Answer) -> Choice:
        return Choice(self.limiters[answer.chosen].name, decision(answer))


def _of_one_storage(limiters: Iterable[RateLimiter]) -> tuple[RateLimiter, ...]:
    found = tuple(limiters)
    if not found:
        raise ValueError("limiters must be one or more, not none")
    if any(limiter.storage is not found[0].storage for limiter in found):
        names = [limiter.name for limiter in found]
        raise ValueError(f"limiters must share one storage object to be asked in one statement; {names!r} do not")
    return found
