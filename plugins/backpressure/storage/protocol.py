"""What a storage is: a place that applies named operations to keyed records, one after the other."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from backpressure.clock import Clock

__all__ = ["Argument", "Feature", "Operation", "Outcome", "Result", "Scalar", "Shortcut", "Storage", "Transition"]

Scalar = int | float | str | bytes | bool | None
Argument = Scalar | Sequence[Scalar]
Result = tuple[Any, ...]


class Outcome(NamedTuple):
    """What a transition decided.

    Attributes:
        states: the records' new states in the order of the keys; None removes a record.
        result: what the operation's caller gets; scalars and lists of scalars only.
        keep_ns: nanoseconds from now for which the states matter; later they may be dropped, and must mean the same as
            a record that never was.
    """

    states: tuple[Any, ...]
    result: Result
    keep_ns: int


Transition = Callable[..., Outcome]
"""`transition(states, now_ns, *arguments) -> Outcome`: pure, without I/O, the same for the same input.

`states` holds the records' states in the order of the keys, None where there is no record. States are immutable values.
`now_ns` is never before a record's last change.
"""


class Feature(NamedTuple):
    """A family of operations with their tables in PostgreSQL.

    Attributes:
        name: a Python identifier, unique; records of different features never meet.
        version: of the tables and functions, from 1.
        folder: holds the scripts `<name>_1.sql` to `<name>_<version>.sql`; each brings the schema from the version
            before to its own.
        tables: tables with a column `expires bigint` (nanoseconds since 1970): rows past it are deleted as it goes.
    """

    name: str
    version: int
    folder: str
    tables: tuple[str, ...]


class Shortcut(NamedTuple):
    """A query that does an operation in the usual case, and otherwise changes nothing and returns no row.

    It is prepared, and used only in sessions that are ours alone; without a row the function is called.

    Attributes:
        sql: has the key as `$1`, and `{schema}`. The arguments are `{0}`, `{1}`, …: they are part of what is prepared,
            so that PostgreSQL computes with constants, and only the key is sent.
        told: makes the operation's result of the query's row and the arguments.
        by_arguments: whether `sql` has arguments; it is then prepared for each set of them that comes.
    """

    sql: str
    told: Callable[[Result, tuple[Argument, ...]], Result]
    by_arguments: bool


class Operation(NamedTuple):
    """One atomic operation on the records of a feature.

    Attributes:
        name: unique; also the name of the function that does it in PostgreSQL, so that it ends in the version that the
            function's signature had when it last changed: `gcra_take_1`.
        feature: which the records belong to.
        transition: what the operation does, as a pure function.
        many: takes any number of keys, so that in PostgreSQL they come as `bytea[]` even when there is one.
        durable: whether a change must survive a crash of the storage's host once the caller has its result. Without it
            the last moments may be lost.
        shortcut: for PostgreSQL, where every microsecond counts: how to do without the function in the usual case.
    """

    name: str
    feature: Feature
    transition: Transition
    many: bool = False
    durable: bool = False
    shortcut: Shortcut | None = None


class Storage(Protocol):
    """Applies operations to records that everybody who uses the same storage shares.

    An operation is atomic over all its keys, and isolated from every other operation that shares one of them. Its time
    is the storage's own, read after it has the records to itself, and is never before a record's last change. A storage
    may apply an operation twice if its connection breaks in the middle: operations are such that this costs a permit at
    most, or carry a token that makes the second time harmless.

    Attributes:
        clock: by which callers wait and measure.
    """

    clock: Clock

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Apply one operation.

        Args:
            operation: which.
            keys: the records' names: distinct, any Unicode but lone surrogates.
            arguments: passed to the transition as they are. Whole numbers fit into 64 bits.
            timeout: seconds within which to answer or to raise; None takes the storage's own.

        Raises:
            StorageError: the operation could not be done, or not within the timeout.
        """
        ...

    async def run_async(
        self,
        operation: Operation,
        keys: tuple[str, ...],
        *arguments: Argument,
        timeout: float | None = None,  # noqa: ASYNC109 - a storage bounds its own waits, to close what it leaves
    ) -> Result:
        """Apply one operation, without blocking the event loop."""
        ...

    def close(self) -> None:
        """Release what the storage holds in this process. It can be used again afterwards."""
        ...
