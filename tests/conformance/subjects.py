"""Limiters under one interface: ours, and those of others, for the conformance tests and the benchmarks.

A subject is opened in the process that uses it, with a place (where its server is) and a limit, and answers one
question: may the call for this key start now, and if not, after how many seconds?
"""

# ruff: noqa: PLC0415 - each library is imported by the process that uses it, and may be missing

from __future__ import annotations

import math
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUBJECTS", "Limit", "Place", "Subject", "our_storage"]


class Place(NamedTuple):
    """Where the servers are."""

    dsn: str
    schema: str
    redis: str


class Limit(NamedTuple):
    """So many in each period; `burst` where the algorithm knows it."""

    limit: int
    period: float
    burst: int


class Subject(NamedTuple):
    """One limiter.

    Attributes:
        name: library, algorithm and store.
        store: "postgres", "redis", or "memory" for one that threads share and processes don't.
        open: makes it in this process.
        needs: packages that must be there.
        window: an exact or approximate window: its burst is its limit, whatever the limit says.
        calendar: so many a day: a trial sees one day, in which nothing comes back.
        keys: how many keys it is built for; None for any number.
    """

    name: str
    store: str
    open: Callable[[Place, Limit], Callable[[str], tuple[bool, float | None]]]
    needs: tuple[str, ...] = ("psycopg2",)
    window: bool = False
    calendar: bool = False
    keys: int | None = None

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed here."""
        return [package for package in self.needs if find_spec(package) is None]


_RAW = """
INSERT INTO {schema}.raw_gcra AS g VALUES ($1, extract(epoch FROM clock_timestamp()) * 1e6 + $2, true)
ON CONFLICT (key) DO UPDATE SET (tat, allowed) = (
    SELECT CASE WHEN ok THEN next ELSE g.tat END, ok
    FROM (
        SELECT next, next - $3 <= now AS ok
        FROM (
            SELECT now, greatest(g.tat, now) + $2 AS next
            FROM (SELECT extract(epoch FROM clock_timestamp())::float8 * 1e6 AS now OFFSET 0) AS clock
        ) AS sum
    ) AS verdict
) RETURNING allowed
"""


def _raw(place: Place, limit: Limit) -> Any:
    """GCRA in one statement and nothing around it: prepared, and commits that do not wait for the disk."""
    import psycopg2

    connection = psycopg2.connect(place.dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit = off; SET client_min_messages = warning")
    cursor.execute(f"SELECT pg_advisory_lock(1); CREATE SCHEMA IF NOT EXISTS {place.schema}")
    cursor.execute(
        f"CREATE TABLE IF NOT EXISTS {place.schema}.raw_gcra "
        f"(key text PRIMARY KEY, tat float8 NOT NULL, allowed boolean) WITH (fillfactor = 50)"
    )
    cursor.execute(
        f"SELECT pg_advisory_unlock(1); PREPARE take (text, float8, float8) AS {_RAW.format(schema=place.schema)}"
    )
    interval = limit.period / limit.limit * 1e6

    def take(key: str) -> tuple[bool, float | None]:
        cursor.execute("EXECUTE take(%s, %s, %s)", (key, interval, interval * limit.burst))
        return cursor.fetchone()[0], None

    return take


MOST_IN_A_WINDOW = 100_000

_memory: dict[str, Any] = {}
_making = threading.Lock()


def our_storage(place: Place, kind: str) -> Any:
    """A storage of ours in PostgreSQL, or the one in memory that all threads at this place share."""
    from backpressure.storage import MemoryStorage, PostgresStorage

    if kind == "postgres":
        return PostgresStorage(place.dsn, schema=place.schema, timeout=30)
    with _making:
        return _memory.setdefault(place.schema, MemoryStorage())


def _ours(kind: str, store: str = "postgres") -> Any:
    def make(place: Place, limit: Limit) -> Any:
        from backpressure import Quota, Rate, RateLimiter, SlidingWindow, all_of

        storage = our_storage(place, store)
        rate = Rate(limit.limit, limit.period, limit.burst)
        window = SlidingWindow(min(limit.limit + limit.burst, MOST_IN_A_WINDOW), limit.period)

        def limiter_of(key: str) -> Any:
            if kind == "both":
                return all_of(RateLimiter(key, rate, storage), RateLimiter(key, window, storage))
            only = {
                "rate": rate,
                "window": SlidingWindow(limit.limit, limit.period),
                "quota": Quota(limit.limit, "day"),
            }
            return RateLimiter(key, only[kind], storage)

        limiters: dict[str, Any] = {}

        def take(key: str) -> tuple[bool, float | None]:
            limiter = limiters.get(key)
            if limiter is None:
                limiter = limiters[key] = limiter_of(key)
            decision = limiter.try_acquire()
            return decision.allowed, decision.retry_after

        return take

    return make


def _pyrate(place: Place, limit: Limit) -> Any:
    from psycopg_pool import ConnectionPool
    from pyrate_limiter import Limiter, PostgresBucket
    from pyrate_limiter import Rate as PyrateRate

    pool = ConnectionPool(place.dsn, min_size=1, max_size=1, open=True)
    bucket = PostgresBucket(pool, place.schema, [PyrateRate(limit.limit, int(limit.period * 1000))])
    limiter = Limiter(bucket)

    def take(key: str) -> tuple[bool, float | None]:
        return limiter.try_acquire(key, blocking=False), None

    return take


def _limits(strategy: str) -> Any:
    def make(place: Place, limit: Limit) -> Any:
        import limits
        from limits import strategies
        from limits.storage import storage_from_string

        limiter = getattr(strategies, strategy)(storage_from_string(place.redis))
        seconds = math.ceil(limit.period)
        item = limits.RateLimitItemPerSecond(int(limit.limit * seconds / limit.period), seconds)

        def take(key: str) -> tuple[bool, float | None]:
            return limiter.hit(item, f"{place.schema} {strategy}", key), None

        return take

    return make


def _throttled(kind: str) -> Any:
    def make(place: Place, limit: Limit) -> Any:
        from datetime import timedelta

        from throttled import Throttled, rate_limiter
        from throttled.store import RedisStore

        quota = rate_limiter.per_duration(timedelta(seconds=limit.period), limit=limit.limit, burst=limit.burst)
        throttle = Throttled(using=kind, quota=quota, store=RedisStore(server=place.redis), key_prefix=place.schema)

        def take(key: str) -> tuple[bool, float | None]:
            result = throttle.limit(key)
            return not result.limited, result.state.retry_after

        return take

    return make


_PYRATE = ("pyrate_limiter", "psycopg", "psycopg_pool")
_LIMITS = ("limits", "redis")
_THROTTLED = ("throttled", "redis")

_KINDS = {"rate": "rate", "window": "sliding window", "both": "rate and window as one", "quota": "daily quota"}

SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("raw statement, GCRA, PostgreSQL", "postgres", _raw),
        *(
            Subject(
                f"backpressure, {words}, {shown}",
                store,
                _ours(kind, store),
                needs=needs,
                window=kind == "window",
                calendar=kind == "quota",
            )
            for store, shown, needs in (("postgres", "PostgreSQL", ("psycopg2",)), ("memory", "memory", ()))
            for kind, words in _KINDS.items()
        ),
        Subject("pyrate-limiter, PostgreSQL", "postgres", _pyrate, needs=_PYRATE, window=True, keys=1),
        Subject(
            "limits, moving window, Redis", "redis", _limits("MovingWindowRateLimiter"), needs=_LIMITS, window=True
        ),
        Subject("limits, fixed window, Redis", "redis", _limits("FixedWindowRateLimiter"), needs=_LIMITS, window=True),
        Subject("throttled-py, GCRA, Redis", "redis", _throttled("gcra"), needs=_THROTTLED),
        Subject("throttled-py, token bucket, Redis", "redis", _throttled("token_bucket"), needs=_THROTTLED),
    )
}
