"""Circuit breakers under one interface: ours, and those of others, for the conformance tests and the benchmarks.

A subject is opened in the process that uses it, with a place and settings, and answers one question: was the call let
through? The call's own OSError counts as a failure and is swallowed here.
"""

# ruff: noqa: PLC0415 - each library is imported by the process that uses it, and may be missing

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.subjects import Place

    Call = Callable[[Callable[[], object]], bool]

__all__ = ["BREAKERS", "BreakerSubject", "Settings"]


class Settings(NamedTuple):
    """Failures that open it, seconds that it stays open, seconds after which a probe is given up."""

    threshold: int
    open_for: float
    lease: float


class BreakerSubject(NamedTuple):
    """One breaker.

    Attributes:
        name: library, condition and store.
        store: "postgres", "redis", "memory" for one that threads share and processes don't, or "process" for one that
            shares nothing.
        open: makes it in this process.
        needs: packages that must be there.
    """

    name: str
    store: str
    open: Callable[[Place, Settings], Call]
    needs: tuple[str, ...] = ("psycopg2",)

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed here."""
        return [package for package in self.needs if find_spec(package) is None]


SLOW = 0.35
"""Seconds; longer than any call of a trial that is to count as a good one."""


def _ours(condition: str, store: str = "postgres") -> Any:
    def make(place: Place, settings: Settings) -> Call:
        from backpressure import CircuitBreaker, CircuitOpenError
        from conformance.subjects import our_storage

        conditions: dict[str, Any] = {
            "failures": {"failure_threshold": settings.threshold},
            "in a row": {"failure_threshold": None, "consecutive_failures": settings.threshold},
            "rate": {"failure_threshold": None, "failure_rate": 0.5, "minimum_calls": settings.threshold},
            "slow": {
                "failure_threshold": None,
                "slow_call_rate": 0.5,
                "slow_call_duration": SLOW,
                "minimum_calls": settings.threshold,
            },
        }
        breaker = CircuitBreaker(
            "x",
            our_storage(place, store),
            open_for=settings.open_for,
            probe_lease=settings.lease,
            **conditions[condition],
        )

        def slowly(function: Callable[[], object]) -> None:
            """What fails elsewhere takes its time here."""
            try:
                function()
            except OSError:
                time.sleep(SLOW)

        def call(function: Callable[[], object]) -> bool:
            try:
                breaker.call(*((slowly, function) if condition == "slow" else (function,)))
            except CircuitOpenError:
                return False
            except OSError:
                pass
            return True

        return call

    return make


def _pybreaker(place: Place, settings: Settings) -> Call:
    from datetime import UTC, datetime, tzinfo

    import pybreaker
    import redis

    class Told(datetime):
        """The time of day that this process believes in, also when a test has skewed it."""

        @classmethod
        def now(cls, tz: tzinfo | None = UTC) -> Any:
            return datetime.fromtimestamp(time.time(), tz)

    pybreaker.datetime = Told
    store = pybreaker.CircuitRedisStorage(
        pybreaker.STATE_CLOSED, redis.StrictRedis.from_url(place.redis), namespace=place.schema
    )
    breaker = pybreaker.CircuitBreaker(
        fail_max=settings.threshold,
        reset_timeout=settings.open_for,
        state_storage=store,
        throw_new_error_on_trip=False,
    )

    def call(function: Callable[[], object]) -> bool:
        try:
            breaker.call(function)
        except pybreaker.CircuitBreakerError:
            return False
        except OSError:
            pass
        return True

    return call


def _purgatory(place: Place, settings: Settings) -> Call:
    # Its synchronous Redis store awaits nothing and returns coroutines as values: the asynchronous one it is.
    import asyncio

    from purgatory import AsyncCircuitBreakerFactory, AsyncRedisUnitOfWork
    from purgatory.domain.model import OpenedState

    loop = asyncio.new_event_loop()
    factory = AsyncCircuitBreakerFactory(
        default_threshold=settings.threshold, default_ttl=settings.open_for, uow=AsyncRedisUnitOfWork(place.redis)
    )
    loop.run_until_complete(factory.initialize())

    async def through(function: Callable[[], object]) -> bool:
        breaker = await factory.get_breaker(place.schema)
        try:
            async with breaker:
                function()
        except OpenedState:
            return False
        except OSError:
            pass
        return True

    return lambda function: loop.run_until_complete(through(function))


def _circuitbreaker(_place: Place, settings: Settings) -> Call:
    import circuitbreaker

    breaker = circuitbreaker.CircuitBreaker(
        failure_threshold=settings.threshold, recovery_timeout=settings.open_for, expected_exception=OSError
    )

    def call(function: Callable[[], object]) -> bool:
        try:
            breaker.call(function)
        except circuitbreaker.CircuitBreakerError:
            return False
        except OSError:
            pass
        return True

    return call


_CONDITIONS = {
    "failures": "failures in a window",
    "in a row": "failures in a row",
    "rate": "failure rate",
    "slow": "slow-call rate",
}

BREAKERS = {
    subject.name: subject
    for subject in (
        *(
            BreakerSubject(f"backpressure, {words}, {shown}", store, _ours(condition, store), needs=needs)
            for store, shown, needs in (("postgres", "PostgreSQL", ("psycopg2",)), ("memory", "memory", ()))
            for condition, words in _CONDITIONS.items()
        ),
        BreakerSubject("pybreaker, Redis", "redis", _pybreaker, needs=("pybreaker", "redis")),
        BreakerSubject("purgatory, Redis", "redis", _purgatory, needs=("purgatory", "redis")),
        BreakerSubject("circuitbreaker, in the process", "process", _circuitbreaker, needs=("circuitbreaker",)),
    )
}
