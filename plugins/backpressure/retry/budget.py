"""A budget that all who retry share: however bad the storm, retries stay a small share of the calls.

After the retry budgets of Finagle and the SRE book ("Handling Overload"): every first call puts `ratio` of a token into
a bucket, every retry takes a whole one out, and without one there is no retry.
"""

import math
import os
from typing import NamedTuple

from backpressure.checks import check_name, check_number
from backpressure.clock import NANOSECONDS
from backpressure.errors import StorageError
from backpressure.storage.protocol import Feature, Operation, Outcome, Result, Storage

KEPT_NS = 86400 * NANOSECONDS
"""A budget that nobody used for a day is full again."""

FEATURE = Feature("retry", version=1, folder=os.path.dirname(__file__), tables=("retry_budget",))  # noqa: PTH120 - pathlib is slow to import


class Balance(NamedTuple):
    """The shared state: the tokens at an instant in nanoseconds."""

    tokens: float
    at: int


class BudgetDecision(NamedTuple):
    """Whether a retry may be made. True in a condition when it may.

    Attributes:
        allowed: A token was taken for it.
        tokens: Tokens left.
        retry_after: Seconds until there is one if nobody else comes; 0 when allowed, infinite when only further calls
            can bring one.
    """

    allowed: bool
    tokens: float
    retry_after: float

    def __bool__(self) -> bool:
        return self.allowed


def _change(states: tuple[Balance | None], now: int, amount: float, capacity: float, refill: float) -> Outcome:
    """Add tokens, or take some if there are as many."""
    before = states[0]
    tokens = capacity if before is None else min(capacity, before.tokens + refill * (now - before.at) / 1e9)
    allowed = tokens + amount >= 0
    if allowed:
        tokens = min(capacity, tokens + amount)
    return Outcome((Balance(tokens, now),), (allowed, tokens), KEPT_NS)


CHANGE = Operation("retry_budget_change_1", FEATURE, _change)


class RetryBudget:
    """Tokens for retries, shared by all who use the same storage and name.

    In any time `t` in which `n` first calls are made, at most `capacity + ratio * n + refill * t` retries are made, by
    however many processes. (When a connection breaks in the middle of a deposit, that one may count twice.)

    Args:
        name: What is retried; 1 to 255 bytes in UTF-8.
        storage: Where the tokens live.
        ratio: Tokens that each first call brings, 0 to 10; 0.1 allows one retry for ten calls.
        capacity: Most tokens at once, and those at the start, from 1.
        refill: Tokens a second that come by themselves, so that a quiet caller can retry at all.
        fail_open: What to do when the storage can't be asked. False: raise its StorageError, which ends the retries,
            as a budget protects what is overloaded already. True: let the retry be made, and say so in the log.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        name: str,
        storage: Storage,
        *,
        ratio: float = 0.1,
        capacity: float = 10,
        refill: float = 0.0,
        fail_open: bool = False,
    ) -> None:
        self.name = check_name(name)
        self.storage = storage
        check_number("ratio", ratio, 0, 10)
        check_number("capacity", capacity, 1, 1_000_000)
        check_number("refill", refill, 0, 1_000_000)
        self.ratio, self.capacity, self.refill = float(ratio), float(capacity), float(refill)
        self._fail_open = fail_open

    def deposit(self) -> None:
        """Put in what one first call brings. Nothing fails for want of it: if it can't be done, the log says so."""
        try:
            self.storage.run(CHANGE, (self.name,), self.ratio, self.capacity, self.refill)
        except StorageError as error:
            self._warn("could not be told of a call", error)

    def try_spend(self) -> BudgetDecision:
        """Take a token for a retry, if there is one.

        Raises:
            StorageError: The storage could not be asked, and `fail_open` is False.
        """
        try:
            return self._decision(self.storage.run(CHANGE, (self.name,), -1.0, self.capacity, self.refill))
        except StorageError as error:
            return self._unasked(error)

    async def deposit_async(self) -> None:
        """Put in what one first call brings; see `deposit`."""
        try:
            await self.storage.run_async(CHANGE, (self.name,), self.ratio, self.capacity, self.refill)
        except StorageError as error:
            self._warn("could not be told of a call", error)

    async def try_spend_async(self) -> BudgetDecision:
        """Take a token for a retry, if there is one; see `try_spend`."""
        try:
            return self._decision(await self.storage.run_async(CHANGE, (self.name,), -1.0, self.capacity, self.refill))
        except StorageError as error:
            return self._unasked(error)

    def _unasked(self, error: StorageError) -> BudgetDecision:
        if not self._fail_open:
            raise error
        self._warn("could not be asked and lets the retry be made", error)
        return BudgetDecision(allowed=True, tokens=0.0, retry_after=0.0)

    def _warn(self, what: str, error: StorageError) -> None:
        import logging  # noqa: PLC0415 - slow to import, and rarely needed

        logging.getLogger("backpressure.retry").warning("retry budget %r %s: %s", self.name, what, error)

    def _decision(self, row: Result) -> BudgetDecision:
        allowed, tokens = row
        if allowed:
            return BudgetDecision(allowed, tokens, 0.0)
        return BudgetDecision(allowed, tokens, (1 - tokens) / self.refill if self.refill else math.inf)
