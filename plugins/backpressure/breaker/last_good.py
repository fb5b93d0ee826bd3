"""The last good value, served while the other side can't be asked, and marked as what it is: stale."""

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from backpressure.breaker.breaker import CircuitBreaker
from backpressure.breaker.errors import CircuitOpenError
from backpressure.breaker.state import Result
from backpressure.checks import check_name, check_seconds
from backpressure.clock import NANOSECONDS, seconds
from backpressure.errors import StorageError
from backpressure.storage.protocol import Argument, Feature, Operation, Outcome
from backpressure.storage.protocol import Result as Row

T = TypeVar("T")

LARGEST_VALUE = 1_000_000
"""Bytes of a value as JSON."""

FEATURE = Feature("last_good", version=1, folder=os.path.dirname(__file__), tables=("last_good",))  # noqa: PTH120 - pathlib is slow to import


class Kept(NamedTuple):
    """A stored value as JSON, and its instants in nanoseconds."""

    value: str
    stored_at: int
    expires: int


def _store(_states: tuple[Kept | None], now: int, value: str, keep: int) -> Outcome:
    return Outcome((Kept(value, now, now + keep),), (now,), keep)


def _fetch(states: tuple[Kept | None], now: int) -> Outcome:
    kept = states[0]
    if kept is None:
        return Outcome(states, (None, None), 0)
    return Outcome(states, (kept.value, max(0, now - kept.stored_at)), kept.expires - now)


STORE = Operation("last_good_store_1", FEATURE, _store)
FETCH = Operation("last_good_fetch_1", FEATURE, _fetch)


class Served(NamedTuple, Generic[T]):
    """A value, and how good it is.

    Attributes:
        value: The value.
        stale: Whether it is a stored one, as the call was refused or failed.
        age: Seconds since it was stored, on the storage's clock; 0 for a fresh one.
        error: What the call raised; None when it raised nothing.
    """

    value: T
    stale: bool
    age: float
    error: Exception | None


class LastGood:
    """Calls through a breaker, keeps what succeeds, and serves the kept value when a call is refused or fails.

    A success costs one more statement, which stores the value; a refusal or failure one which fetches it.

    Args:
        breaker: Through which the calls go; the values live in its storage, under its name.
        max_age: Seconds up to which a kept value is served.

    Raises:
        ValueError: `max_age` is outside its range.
    """

    def __init__(self, breaker: CircuitBreaker, *, max_age: float = 3600.0) -> None:
        check_seconds("max_age", max_age)
        self.breaker = breaker
        self.max_age = max_age
        self._keep_ns = round(max_age * NANOSECONDS)

    def call(self, key: str, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Served[T]:
        """Call `function(*args, **kwargs)` for the value named `key`; anything that JSON can hold.

        Exceptions that the breaker ignores are raised as they are, and a breaker's own fallback is not used. A value
        that the breaker's `is_failure` rejects is replaced by the kept one if there is one.

        Raises:
            CircuitOpenError: The call was refused, and no value is kept that is young enough.
            Exception: The call's own, when it failed and no such value is kept.
            ValueError: The value can't be kept, being larger than 1 MB as JSON, or the key is no name.
            TypeError: The value can't be kept, being nothing that JSON can hold.
        """
        keys = self._keys(key)
        try:
            with self.breaker as attempt:
                value = function(*args, **kwargs)
                if self.breaker.classifier.of_value(value) is Result.FAILURE:
                    attempt.fail()
        except Exception as error:
            served = self._fetch(keys, error) if self._replaceable(error) else None
            if served is None:
                raise
            return served
        if attempt.judged is not None:
            return self._fetch(keys, None) or Served(value, stale=False, age=0.0, error=None)
        arguments = self._arguments(value)
        with _shrugged():
            self.breaker.storage.run(STORE, keys, *arguments)
        return Served(value, stale=False, age=0.0, error=None)

    async def call_async(
        self, key: str, function: Callable[..., Awaitable[T]], /, *args: Any, **kwargs: Any
    ) -> Served[T]:
        """Await the coroutine function's result for the value named `key`; see `call`."""
        keys = self._keys(key)
        try:
            async with self.breaker as attempt:
                value = await function(*args, **kwargs)
                if self.breaker.classifier.of_value(value) is Result.FAILURE:
                    attempt.fail()
        except Exception as error:
            served = await self._fetch_async(keys, error) if self._replaceable(error) else None
            if served is None:
                raise
            return served
        if attempt.judged is not None:
            return await self._fetch_async(keys, None) or Served(value, stale=False, age=0.0, error=None)
        arguments = self._arguments(value)
        with _shrugged():
            await self.breaker.storage.run_async(STORE, keys, *arguments)
        return Served(value, stale=False, age=0.0, error=None)

    def kept(self, key: str) -> Served[Any] | None:
        """The kept value if it is young enough, without a call, for a fallback that stands beside the call.

        Raises:
            StorageError: the storage could not be asked.
        """
        return self._served(self.breaker.storage.run(FETCH, self._keys(key)), None)

    async def kept_async(self, key: str) -> Served[Any] | None:
        """The kept value if it is young enough, without a call; see `kept`."""
        return self._served(await self.breaker.storage.run_async(FETCH, self._keys(key)), None)

    def _replaceable(self, error: Exception) -> bool:
        """Whether a kept value stands in for this: the call was refused, or failed as the breaker counts it."""
        return isinstance(error, CircuitOpenError) or self.breaker.classifier.of_exception(error) is Result.FAILURE

    def _fetch(self, keys: tuple[str], error: Exception | None) -> Served[Any] | None:
        with _shrugged():
            return self._served(self.breaker.storage.run(FETCH, keys), error)
        return None

    async def _fetch_async(self, keys: tuple[str], error: Exception | None) -> Served[Any] | None:
        with _shrugged():
            return self._served(await self.breaker.storage.run_async(FETCH, keys), error)
        return None

    def _served(self, row: Row, error: Exception | None) -> Served[Any] | None:
        text, age_ns = row
        if text is None or seconds(age_ns) > self.max_age:
            return None
        return Served(json.loads(text), stale=True, age=seconds(age_ns), error=error)

    def _keys(self, key: str) -> tuple[str]:
        # With the length in front no two pairs of names make the same record.
        name = self.breaker.name
        return (f"{len(name)}:{name}:{check_name(key)}",)

    def _arguments(self, value: object) -> tuple[Argument, ...]:
        text = json.dumps(value)
        if len(text) > LARGEST_VALUE:
            raise ValueError(f"value must be at most {LARGEST_VALUE} bytes as JSON to be kept, not {len(text)}")
        return text, self._keep_ns


@contextlib.contextmanager
def _shrugged() -> Iterator[None]:
    """Let the call's own result stand when its value can't be kept or fetched."""
    try:
        yield
    except StorageError as error:
        import logging  # noqa: PLC0415 - slow to import, and rarely needed

        logging.getLogger("backpressure.breaker").warning("a last good value could not be kept or fetched: %s", error)
