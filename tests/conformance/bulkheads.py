"""Concurrency limiters under one interface: ours, and those of others, for the conformance tests.

A subject is opened in the process that uses it, with a place, a number of permits and a lease, and gives a function
that waits for a permit and holds it for a `with` block, or raises TimeoutError.
"""

# ruff: noqa: PLC0415 - each library is imported by the process that uses it, and may be missing

from __future__ import annotations

import contextlib
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.subjects import Place

    Hold = Callable[[float], contextlib.AbstractContextManager[None]]

__all__ = ["BULKHEADS", "BulkheadSubject", "Permits"]


class Permits(NamedTuple):
    """So many at once; a permit that nobody renews is free again after `lease` seconds, where the library has that."""

    limit: int
    lease: float


class BulkheadSubject(NamedTuple):
    """One bulkhead.

    Attributes:
        name: library and store.
        store: "postgres", "redis", "memory" for one that threads share and processes don't, or "files" for one that
            reaches no further than this host.
        open: makes it in this process.
        needs: packages that must be there.
    """

    name: str
    store: str
    open: Callable[[Place, Permits], Hold]
    needs: tuple[str, ...] = ("psycopg2",)

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed here."""
        return [package for package in self.needs if find_spec(package) is None]


def _ours(place: Place, permits: Permits, store: str = "postgres") -> Hold:
    from backpressure import Bulkhead, BulkheadFullError
    from conformance.subjects import our_storage

    bulkhead = Bulkhead("x", permits.limit, our_storage(place, store), lease=permits.lease)

    @contextlib.contextmanager
    def hold(timeout: float) -> Iterator[None]:
        try:
            lease = bulkhead.acquire(timeout=timeout)
        except BulkheadFullError as error:
            raise TimeoutError from error
        with lease:
            yield

    return hold


def _steindamm(place: Place, permits: Permits) -> Hold:
    import redis
    from steindamm import MaxSleepExceededError, SyncSemaphore

    connection = redis.Redis.from_url(place.redis)

    @contextlib.contextmanager
    def hold(timeout: float) -> Iterator[None]:
        semaphore = SyncSemaphore.create(
            place.schema,
            capacity=permits.limit,
            expiry=max(1, round(permits.lease)),
            max_sleep=timeout,
            connection=connection,
        )
        try:
            semaphore.__enter__()
        except MaxSleepExceededError as error:
            raise TimeoutError from error
        try:
            yield
        finally:
            semaphore.__exit__(None, None, None)

    return hold


def _portalocker(place: Place, permits: Permits) -> Hold:
    import portalocker

    folder = Path(tempfile.gettempdir())

    @contextlib.contextmanager
    def hold(timeout: float) -> Iterator[None]:
        semaphore = portalocker.NamedBoundedSemaphore(
            permits.limit, name=f"bp-{place.schema}", directory=str(folder), timeout=timeout, check_interval=0.02
        )
        try:
            semaphore.acquire()
        except portalocker.AlreadyLocked as error:
            raise TimeoutError from error
        try:
            yield
        finally:
            semaphore.release()

    return hold


BULKHEADS = {
    subject.name: subject
    for subject in (
        BulkheadSubject("backpressure, PostgreSQL", "postgres", _ours),
        BulkheadSubject("backpressure, memory", "memory", partial(_ours, store="memory"), needs=()),
        BulkheadSubject("steindamm, Redis", "redis", _steindamm, needs=("steindamm", "redis")),
        BulkheadSubject("portalocker, files", "files", _portalocker, needs=("portalocker",)),
    )
}
