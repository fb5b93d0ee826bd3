"""Tries what is installed: `python -m backpressure`.

Limits, breaker, retry and record on memory, and on PostgreSQL if the variable BACKPRESSURE_DSN holds a connection
string, in the schema BACKPRESSURE_SCHEMA (default: backpressure). Missing tables are made; what it tries
there has names that begin with "smoke" and is forgotten later. Ends with 0 when everything works, else with 1.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from backpressure import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    Quota,
    Rate,
    RateLimitedError,
    RateLimiter,
    SlidingWindow,
    StorageError,
    __version__,
    all_of,
)
from backpressure.retry import Backoff, retry
from backpressure.shedding import ShedLog
from backpressure.storage import MemoryStorage, Storage

PERIOD = 10.0
_SCRIPTS = ("storage/core", "limiter/limiter", "bulkhead/bulkhead", "breaker/breaker", "breaker/last_good",
            "retry/retry", "shedding/codel", "shedding/shed", "adaptive/adaptive", "adaptive/throttle")  # fmt: skip


def main() -> int:
    """Try everything, say what works, and return the exit status."""
    sys.stdout.write(f"backpressure {__version__}, Python {sys.version.split()[0]}\n")
    failed = _tried("its SQL scripts", _scripts)
    failed += sum(_tried(f"{what} on memory", trial, MemoryStorage()) for what, trial in _TRIALS.items())
    dsn = os.environ.get("BACKPRESSURE_DSN")
    if dsn is None:
        sys.stdout.write("PostgreSQL: not tried; put a connection string into BACKPRESSURE_DSN\n")
        return min(1, failed)
    try:
        from backpressure.storage import PostgresStorage  # noqa: PLC0415 - needs psycopg2, an extra

        storage = PostgresStorage(dsn, schema=os.environ.get("BACKPRESSURE_SCHEMA", "backpressure"))
    except (ImportError, ValueError) as error:
        sys.stdout.write(f"PostgreSQL: {error}\n")
        return 1
    failed += sum(_tried(f"{what} on PostgreSQL", trial, storage) for what, trial in _TRIALS.items())
    storage.close()
    return min(1, failed)


def _tried(what: str, trial: Callable[..., Iterator[bool]], *arguments: Storage) -> int:
    """Run one trial; 1 when it fails."""
    try:
        answers = list(trial(*arguments))
        said = "works" if all(answers) else f"step {answers.index(False) + 1} gave another answer than it should"
    except (StorageError, OSError, ValueError) as error:
        answers, said = [False], str(error)
    sys.stdout.write(f"{what}: {said}\n")
    return 0 if all(answers) else 1


def _scripts() -> Iterator[bool]:
    folder = Path(__file__).parent
    for name in _SCRIPTS:
        yield "{schema}" in (folder / f"{name}_1.sql").read_text(encoding="utf-8")


def _limits(storage: Storage) -> Iterator[bool]:
    mark = os.urandom(4).hex()
    rate = RateLimiter(f"smoke {mark}", Rate(1, PERIOD, burst=2), storage)
    limits = all_of(
        rate,
        RateLimiter(f"smoke {mark}", SlidingWindow(3, PERIOD), storage),
        RateLimiter(f"smoke {mark}", Quota(10, "day"), storage),
    )
    yield limits.try_acquire().allowed
    yield rate.try_acquire().allowed
    yield 0.0 < limits.try_acquire().retry_after <= PERIOD
    try:
        rate.acquire(timeout=0.0)
        yield False
    except RateLimitedError:
        yield True
    limits.reset()


def _breaker(storage: Storage) -> Iterator[bool]:
    breaker = CircuitBreaker(f"smoke {os.urandom(4).hex()}", storage, failure_threshold=1, open_for=60.0)

    def fail() -> None:
        raise TimeoutError

    for error in (TimeoutError, CircuitOpenError):
        try:
            breaker.call(fail)
            yield False
        except error:
            yield True
    yield breaker.state == "open"
    breaker.reset()
    yield breaker.call(lambda: 1) == 1


def _bulkhead(storage: Storage) -> Iterator[bool]:
    bulkhead = Bulkhead(f"smoke {os.urandom(4).hex()}", 1, storage, lease=10.0)
    with bulkhead.acquire(timeout=5.0):
        yield bulkhead.try_acquire() is None
    yield bulkhead.count() == (0, 0)


def _retry_and_record(storage: Storage) -> Iterator[bool]:
    calls: list[int] = []

    def second() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise TimeoutError
        return len(calls)

    yield retry(second, attempts=2, backoff=Backoff(base=0.001)) == len(calls)
    log = ShedLog(f"smoke {os.urandom(4).hex()}", storage, keep=1.0)
    yield log.record("one", {"answer": 42})
    yield [item.payload for item in log.claim()] == [{"answer": 42}]


_TRIALS = {
    "limiters": _limits,
    "breaker": _breaker,
    "bulkhead": _bulkhead,
    "retry and record of what was shed": _retry_and_record,
}

if __name__ == "__main__":
    sys.exit(main())
