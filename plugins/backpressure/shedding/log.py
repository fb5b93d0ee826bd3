"""What was shed, kept so that it can be done later: each item once, whatever crashes in between."""

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, Protocol

from backpressure.checks import check_count, check_name, check_number, check_seconds, check_text, check_whole
from backpressure.clock import NANOSECONDS, seconds
from backpressure.errors import StorageError
from backpressure.shedding.log_transitions import CLAIM, COUNT, LIST, RECORD, SETTLE
from backpressure.storage.protocol import Argument, Result, Storage

LARGEST_PAYLOAD = 1_000_000
"""Bytes of a payload as JSON: a record is for what is needed to do the work, not for its data."""
LONGEST_REASON = 1000
MOST = 1_000_000
"""Items of one call."""
SHOWN = 7
"""Columns of an item when it is claimed; a list adds its state."""


class ShedItem(NamedTuple):
    """An item that was shed.

    Attributes:
        key: Its name; unique within a log. Use it to make a handler idempotent.
        priority: Higher is replayed first.
        waited: Seconds it had waited when it was shed.
        reason: Why it was shed.
        payload: What was recorded with it.
        shed_at: When, in seconds since 1970 on the storage's clock.
        tries: How often it was claimed, this time included.
        state: "waiting", "claimed" or "replayed".
        claim: The claim that holds it, for `confirm` and `release`; 0 unless it was claimed here.
    """

    key: str
    priority: int
    waited: float
    reason: str
    payload: Any
    shed_at: float
    tries: int
    state: str
    claim: int = 0


class ShedCounts(NamedTuple):
    """How many items of a log are waiting, claimed and replayed."""

    waiting: int
    claimed: int
    replayed: int


class Cursor(Protocol):
    """A DB-API cursor on a PostgreSQL connection, as psycopg's."""

    def execute(self, query: str, parameters: tuple[object, ...], /) -> Any:
        """Run a statement."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Its rows."""


class ShedLog:
    """The record of what was shed.

    `replay` calls a function for each item and confirms it afterwards. Two processes never hold an item at once, and an
    item that was confirmed is never handed out again. If a process is killed after the function's effect and before the
    confirmation, the item is handed out once more when its claim ends: make the effect idempotent by the item's key,
    or, if it goes into the same database, use `take` in its transaction: then both are committed together.

    Args:
        name: The log's name; 1 to 255 bytes in UTF-8.
        storage: Where the record lives. Every change is on disk before it is confirmed.
        keep: Seconds after which an item is forgotten, replayed or not; until then its key is not recorded again.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(self, name: str, storage: Storage, *, keep: float = 30 * 86400.0) -> None:
        self.name = check_name(name)
        self.storage = storage
        check_seconds("keep", keep)
        self._keep_ns = round(keep * NANOSECONDS)

    def record(
        self, key: str, payload: Any = None, *, priority: int = 0, waited: float = 0.0, reason: str = ""
    ) -> bool:
        """Record an item as shed; False when its key is recorded already.

        Args:
            key: The item's name; 1 to 255 bytes in UTF-8.
            payload: What is needed to do it later; anything that JSON can hold.
            priority: Higher is replayed first.
            waited: Seconds it had waited.
            reason: Why it is shed.
        """
        fresh: bool = self.storage.run(RECORD, (self.name,), *self._entry(key, payload, priority, waited, reason))[0]
        return fresh

    def claim(self, most: int = 1, *, lease: float = 60.0, max_tries: int = 5) -> list[ShedItem]:
        """Take hold of items that nobody holds, the most important and then the oldest first.

        Args:
            most: How many at most.
            lease: Seconds after which they are free again unless they were confirmed or released.
            max_tries: Items claimed this often are left alone; `entries` shows them.
        """
        claim = _new_claim()
        return _items(self.storage.run(CLAIM, (self.name,), claim, *_bounds(most, lease, max_tries)), claim)

    def confirm(self, item: ShedItem) -> bool:
        """The claimed item is done; False when somebody else holds it or has done it since."""
        return bool(self.storage.run(SETTLE, (self.name,), item.key, item.claim, True)[0])  # noqa: FBT003 - operations have places, not names

    def release(self, item: ShedItem) -> bool:
        """The claimed item is not done and free again; False when the claim had ended and somebody else holds it."""
        return bool(self.storage.run(SETTLE, (self.name,), item.key, item.claim, False)[0])  # noqa: FBT003 - the same

    def replay(
        self, function: Callable[[ShedItem], object], *, most: int = 1000, lease: float = 60.0, max_tries: int = 5
    ) -> int:
        """Call the function for each waiting item, one after the other; returns how many were done.

        If the function raises, its item is released and the exception goes to the caller; an item that could not be
        released is free when its claim ends.

        Args:
            function: Does the item's work; it must take less time than `lease`.
            most: How many items at most.
            lease: See `claim`.
            max_tries: See `claim`.
        """
        done = 0
        while done < most:
            items = self.claim(1, lease=lease, max_tries=max_tries)
            if not items:
                break
            try:
                function(items[0])
            except BaseException:
                with _released_in_time(self.name):
                    self.release(items[0])
                raise
            done += self.confirm(items[0])
        return done

    def take(self, cursor: Cursor, most: int = 1) -> list[ShedItem]:
        """Take items as replayed within the cursor's own transaction: exactly once, together with what it writes.

        Args:
            cursor: On a connection to the database that this log's `PostgresStorage` uses.
            most: How many at most; 0 rows mean that nothing waits, or that others hold it.
        """
        check_count("most", most, MOST)
        schema = getattr(self.storage, "schema", None)
        if schema is None:
            raise ValueError(f"storage must be a PostgresStorage to take items in a transaction, not {self.storage!r}")
        quoted = schema.replace('"', '""')
        cursor.execute(f'SELECT * FROM "{quoted}".shed_take_1(%s, %s)', (self.name.encode(), most))  # noqa: S608 - quoted
        return _items(tuple(zip(*cursor.fetchall(), strict=True)) or (None,), 0, "replayed")

    def entries(self, most: int = 1000) -> list[ShedItem]:
        """What is recorded, the oldest first, replayed items included."""
        check_count("most", most, MOST)
        return _items(self.storage.run(LIST, (self.name,), most), 0)

    def count(self) -> ShedCounts:
        """How many are waiting, claimed and replayed."""
        return ShedCounts(*self.storage.run(COUNT, (self.name,)))

    async def record_async(
        self, key: str, payload: Any = None, *, priority: int = 0, waited: float = 0.0, reason: str = ""
    ) -> bool:
        """Record an item as shed; see `record`."""
        entry = self._entry(key, payload, priority, waited, reason)
        return bool((await self.storage.run_async(RECORD, (self.name,), *entry))[0])

    async def claim_async(self, most: int = 1, *, lease: float = 60.0, max_tries: int = 5) -> list[ShedItem]:
        """Take hold of items that nobody holds; see `claim`."""
        claim = _new_claim()
        row = await self.storage.run_async(CLAIM, (self.name,), claim, *_bounds(most, lease, max_tries))
        return _items(row, claim)

    async def confirm_async(self, item: ShedItem) -> bool:
        """The claimed item is done; see `confirm`."""
        return bool((await self.storage.run_async(SETTLE, (self.name,), item.key, item.claim, True))[0])  # noqa: FBT003 - the same

    async def release_async(self, item: ShedItem) -> bool:
        """The claimed item is not done and free again; see `release`."""
        return bool((await self.storage.run_async(SETTLE, (self.name,), item.key, item.claim, False))[0])  # noqa: FBT003 - the same

    async def replay_async(
        self,
        function: Callable[[ShedItem], Awaitable[object]],
        *,
        most: int = 1000,
        lease: float = 60.0,
        max_tries: int = 5,
    ) -> int:
        """Await the function for each waiting item; see `replay`."""
        done = 0
        while done < most:
            items = await self.claim_async(1, lease=lease, max_tries=max_tries)
            if not items:
                break
            try:
                await function(items[0])
            except BaseException:
                with _released_in_time(self.name):
                    await self.release_async(items[0])
                raise
            done += await self.confirm_async(items[0])
        return done

    def _entry(self, key: str, payload: Any, priority: int, waited: float, reason: str) -> tuple[Argument, ...]:
        check_text("key", key, 1, 255)
        check_text("reason", reason, 0, LONGEST_REASON)
        check_whole("priority", priority, -(2**31), 2**31)
        check_number("waited", waited, 0, 1e12, " s")
        text = json.dumps(payload)
        if len(text) > LARGEST_PAYLOAD:
            raise ValueError(f"payload must be at most {LARGEST_PAYLOAD} bytes as JSON, not {len(text)}")
        return key, priority, float(waited), reason, text, self._keep_ns


@contextlib.contextmanager
def _released_in_time(name: str) -> Iterator[None]:
    """Let the function's own exception stand, though its item could not be released."""
    try:
        yield
    except StorageError as error:
        import logging  # noqa: PLC0415 - slow to import, and rarely needed

        logging.getLogger("backpressure.shedding").warning(
            "shed log %r: an item could not be released, its claim will end: %s", name, error
        )


def _new_claim() -> int:
    return (int.from_bytes(os.urandom(8), "big") >> 1) or 1


def _bounds(most: int, lease: float, max_tries: int) -> tuple[int, int, int]:
    check_count("most", most, MOST)
    check_seconds("lease", lease)
    check_count("max_tries", max_tries, 1_000_000)
    return most, round(lease * NANOSECONDS), max_tries


def _items(row: Result, claim: int, state: str = "claimed") -> list[ShedItem]:
    if row[0] is None:
        return []
    states = () if len(row) > SHOWN else ([state] * len(row[0]),)
    return [
        ShedItem(key, priority, waited, reason, json.loads(payload), seconds(shed_at), tries, now, claim)
        for key, priority, waited, reason, payload, shed_at, tries, now in zip(*row, *states, strict=True)
    ]
