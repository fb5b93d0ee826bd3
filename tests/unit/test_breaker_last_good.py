"""The last good value: kept when a call succeeds, served as stale when one is refused or fails."""

import asyncio
from typing import Any

import pytest
from backpressure import CircuitBreaker, CircuitOpenError
from backpressure.breaker import LastGood, Served
from backpressure.clock import ManualClock
from backpressure.errors import StorageUnavailableError
from backpressure.storage import MemoryStorage, Storage


def advance(storage: Storage, seconds: float) -> None:
    """Let time pass."""
    assert isinstance(storage.clock, ManualClock)
    storage.clock.advance(seconds)


def fail() -> dict[str, int]:
    """A call that fails."""
    raise OSError("down")


def test_serves_the_kept_value_with_its_age(storage: Storage) -> None:
    """Fresh while calls succeed; when they fail, and when they are refused, the kept value with age and reason."""
    prices = LastGood(CircuitBreaker("prices", storage, failure_threshold=1))
    assert prices.call("EUR", dict, [("rate", 1)]) == Served({"rate": 1}, stale=False, age=0.0, error=None)
    advance(storage, 90)
    failed = prices.call("EUR", fail)
    assert (failed.value, failed.stale, failed.age) == ({"rate": 1}, True, 90.0)
    assert isinstance(failed.error, OSError)
    refused = prices.call("EUR", dict)
    assert (refused.value, refused.stale, refused.age) == ({"rate": 1}, True, 90.0)
    assert isinstance(refused.error, CircuitOpenError)


def test_everybody_shares_the_kept_values(storage: Storage) -> None:
    """Another object of the same breaker serves them; other keys and other breakers do not."""
    LastGood(CircuitBreaker("prices", storage)).call("EUR", lambda: 7)
    assert LastGood(CircuitBreaker("prices", storage)).call("EUR", fail).value == 7
    for name, key in (("prices", "USD"), ("other", "EUR"), ("prices:EUR", "EUR")):
        with pytest.raises(OSError, match="down"):
            LastGood(CircuitBreaker(name, storage)).call(key, fail)


def test_does_not_serve_what_is_too_old(storage: Storage) -> None:
    """A value older than `max_age` is not served: the call's own exception comes out."""
    prices = LastGood(CircuitBreaker("prices", storage), max_age=60)
    prices.call("EUR", lambda: 7)
    advance(storage, 59)
    assert prices.call("EUR", fail).age == 59.0
    advance(storage, 2)
    with pytest.raises(OSError, match="down"):
        prices.call("EUR", fail)


def test_a_younger_bound_holds_for_the_one_who_asks(storage: Storage) -> None:
    """Who asks for at most a minute does not get what another keeps for an hour."""
    breaker = CircuitBreaker("prices", storage)
    LastGood(breaker, max_age=3600).call("EUR", lambda: 7)
    advance(storage, 90)
    with pytest.raises(OSError, match="down"):
        LastGood(breaker, max_age=60).call("EUR", fail)


def test_the_kept_value_can_be_had_without_a_call(storage: Storage) -> None:
    """A fallback beside the call takes it, marked as stale, as long as it is young enough; else there is none."""
    prices = LastGood(CircuitBreaker("prices", storage), max_age=60)
    assert prices.kept("EUR") is None
    prices.call("EUR", lambda: 7)
    advance(storage, 59)
    assert prices.kept("EUR") == Served(7, stale=True, age=59.0, error=None)
    assert asyncio.run(prices.kept_async("EUR")) == Served(7, stale=True, age=59.0, error=None)
    advance(storage, 2)
    assert prices.kept("EUR") is None


def test_ignored_exceptions_are_raised(storage: Storage) -> None:
    """What says nothing about the other side is no reason for a stale value."""
    prices = LastGood(CircuitBreaker("prices", storage, ignored=KeyError))
    prices.call("EUR", lambda: 7)
    with pytest.raises(KeyError):
        prices.call("EUR", dict[str, int]().__getitem__, "x")


def test_a_rejected_value_is_neither_kept_nor_preferred(storage: Storage) -> None:
    """A value that counts as a failure is returned as it is if nothing is kept, else the kept one, marked stale."""
    breaker = CircuitBreaker("prices", storage, is_failure=lambda value: value is None)
    prices = LastGood(breaker)
    assert prices.call("EUR", lambda: None) == Served(None, stale=False, age=0.0, error=None)
    prices.call("EUR", lambda: 7)
    assert prices.call("EUR", lambda: None) == Served(7, stale=True, age=0.0, error=None)
    assert breaker.snapshot().failures == 2


def test_coroutines_are_served_alike(storage: Storage) -> None:
    """The asynchronous twin keeps and serves the same values."""

    async def good(value: int) -> int:
        return value

    async def bad() -> int:
        raise OSError("down")

    async def main() -> None:
        prices = LastGood(CircuitBreaker("prices", storage))
        with pytest.raises(OSError, match="down"):
            await prices.call_async("EUR", bad)
        assert (await prices.call_async("EUR", good, 7)).value == 7
        assert (await prices.call_async("EUR", bad)).stale

    asyncio.run(main())


def test_a_value_that_can_not_be_kept_is_an_error_of_the_caller() -> None:
    """What JSON can't hold, or is too large, is refused by a plain error and not dropped in silence."""
    prices = LastGood(CircuitBreaker("prices", MemoryStorage()))
    with pytest.raises(TypeError, match="JSON"):
        prices.call("EUR", object)
    with pytest.raises(ValueError, match="value must be at most"):
        prices.call("EUR", lambda: "x" * 1_000_001)


class HalfDown(MemoryStorage):
    """A storage that serves breakers, and no values."""

    def run(self, operation: Any, *rest: Any, **named: Any) -> Any:
        if operation.feature.name == "last_good":
            raise StorageUnavailableError("gone")
        return super().run(operation, *rest, **named)


def test_a_storage_that_fails_changes_no_result(caplog: pytest.LogCaptureFixture) -> None:
    """If values can't be kept or fetched the call's own result or exception stands, and the log says so."""
    prices = LastGood(CircuitBreaker("prices", HalfDown()))
    assert prices.call("EUR", lambda: 7).value == 7
    with pytest.raises(OSError, match="down"):
        prices.call("EUR", fail)
    assert caplog.text.count("could not be kept or fetched") == 2


@pytest.mark.parametrize("age", [0, -1, float("nan"), float("inf")])
def test_rejects_an_impossible_age(age: float) -> None:
    """A bad age raises ValueError naming it."""
    with pytest.raises(ValueError, match="max_age must"):
        LastGood(CircuitBreaker("prices", MemoryStorage()), max_age=age)
