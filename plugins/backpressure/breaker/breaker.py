"""The circuit breaker that users hold: asks the storage before a call, tells it afterwards."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from backpressure.breaker import operations
from backpressure.breaker.attempt import Attempt
from backpressure.breaker.core import BreakerCore, new_call
from backpressure.breaker.errors import CircuitOpenError
from backpressure.breaker.snapshot import Snapshot
from backpressure.breaker.state import Mode, Result
from backpressure.errors import StorageError

P = ParamSpec("P")
T = TypeVar("T")


class CircuitBreaker(BreakerCore):
    """Stops calling what fails, and tries again carefully, as one with all who use the same storage and name.

    A call that ends well while the breaker is closed costs one statement, any other two: one before, one after. With a
    rate or consecutive failures among the conditions, every call costs two. One object serves any number of threads
    and coroutines.

    A `with` block may end in another context than it began in, as that of a generator that is resumed elsewhere. Of
    several that do so at once, which began when, and what was said with `fail` or `ignore`, may be mixed up; their
    number and their exceptions are not.

    The settings `failure_threshold` to `quorum` are those of `BreakerSettings`.

    Args:
        name: Who is called; 1 to 255 bytes in UTF-8.
        storage: Where the state lives. Nothing is asked of it before the first call.
        counted: Exceptions that count as failures. Whatever else a call raises (KeyboardInterrupt, a cancellation)
            counts as neither; so does every error of this package.
        ignored: Exceptions that count as neither, though they are among `counted`.
        is_failure: Says whether a value that `call` returns counts as a failure, such as a response with an error
            status.
        fallback: Gets the exception of a refused or failed `call` and returns what the call returns instead.
        fail_open: What to do when the storage can't be asked. False: raise its StorageError. True: let the call pass,
            and say so in the log and to the listeners.
        timeout: Seconds within which the storage must answer; None: the storage's own.
        host: The host that counts for `quorum`; None: this machine's name.
        listeners: Told of every refusal, end of a call, and change of state.

    Raises:
        ValueError: A setting is outside its range; the message names it and its value.
    """

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function if the breaker lets it through.

        Raises:
            CircuitOpenError: It did not, and there is no fallback.
            StorageError: The storage could not be asked before the call, and `fail_open` is False.
        """
        try:
            attempt = self._enter()
        except CircuitOpenError as refusal:
            return cast("T", self._fall_back(refusal))
        try:
            value = function(*args, **kwargs)
            result = self.classifier.of_value(value)
        except BaseException as error:
            result = self.classifier.of_exception(error)
            self._leave(attempt, result)
            if result is Result.FAILURE and isinstance(error, Exception) and self.fallback is not None:
                return cast("T", self._fall_back(error))
            raise
        self._leave(attempt, result)
        return value

    async def call_async(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await the coroutine function's result if the breaker lets it through; see `call`."""
        try:
            attempt = await self._enter_async()
        except CircuitOpenError as refusal:
            return cast("T", await self._fall_back_async(refusal))
        try:
            value = await function(*args, **kwargs)
            result = self.classifier.of_value(value)
        except BaseException as error:
            result = self.classifier.of_exception(error)
            await self._leave_async(attempt, result)
            if result is Result.FAILURE and isinstance(error, Exception) and self.fallback is not None:
                return cast("T", await self._fall_back_async(error))
            raise
        await self._leave_async(attempt, result)
        return value

    def __enter__(self) -> Attempt:
        return self._push(self._enter())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempt = self._pop()
        if attempt is not None:
            self._leave(attempt, self._judge(attempt, error))

    async def __aenter__(self) -> Attempt:
        return self._push(await self._enter_async())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempt = self._pop()
        if attempt is not None:
            await self._leave_async(attempt, self._judge(attempt, error))

    @property
    def state(self) -> str:
        """What a caller would meet now: "closed", "open" or "half_open"."""
        return self.snapshot().state

    async def state_async(self) -> str:
        """What a caller would meet now: "closed", "open" or "half_open"."""
        return (await self.snapshot_async()).state

    def snapshot(self) -> Snapshot:
        """The breaker at this instant, with what it has counted."""
        row = self.storage.run(operations.READ, (self.name,), timeout=self._timeout)
        return Snapshot.of(self.name, self.settings, *operations.read(row))

    async def snapshot_async(self) -> Snapshot:
        """The breaker at this instant, with what it has counted."""
        row = await self.storage.run_async(operations.READ, (self.name,), timeout=self._timeout)
        return Snapshot.of(self.name, self.settings, *operations.read(row))

    def force_open(self) -> None:
        """Let no call pass, until `reset`."""
        self._override(Mode.FORCED_OPEN)

    def force_closed(self) -> None:
        """Let every call pass, until `reset`; results are counted and shown, and open nothing."""
        self._override(Mode.FORCED_CLOSED)

    def disable(self) -> None:
        """Let every call pass and count nothing, until `reset`."""
        self._override(Mode.DISABLED)

    def reset(self) -> None:
        """Start afresh: closed, nothing counted, no order by an operator."""
        self._override(Mode.AUTOMATIC)

    def _override(self, mode: Mode) -> None:
        row = self.storage.run(operations.OVERRIDE, (self.name,), mode.value, timeout=self._timeout)
        self._teller.changed(operations.change(row), self.settings)

    def _enter(self) -> Attempt:
        call = new_call()
        try:
            row = self.storage.run(operations.ADMIT, (self.name,), call, *self._admit_rules, timeout=self._timeout)
        except StorageError as error:
            return self._unasked(call, error)
        return self._admitted(call, operations.admission(row))

    async def _enter_async(self) -> Attempt:
        call = new_call()
        arguments = (call, *self._admit_rules)
        try:
            row = await self.storage.run_async(operations.ADMIT, (self.name,), *arguments, timeout=self._timeout)
        except StorageError as error:
            return self._unasked(call, error)
        return self._admitted(call, operations.admission(row))

    def _leave(self, attempt: Attempt, result: Result) -> None:
        arguments = self._report(attempt, result)
        if arguments is None:
            return
        try:
            row = self.storage.run(operations.RECORD, (self.name,), *arguments, timeout=self._timeout)
        except StorageError as error:
            # The call is done: its result must not be lost, nor its exception be hidden, for want of a count.
            self._teller.lost(error)
        else:
            self._teller.changed(operations.change(row), self.settings)

    async def _leave_async(self, attempt: Attempt, result: Result) -> None:
        arguments = self._report(attempt, result)
        if arguments is None:
            return
        try:
            row = await self.storage.run_async(operations.RECORD, (self.name,), *arguments, timeout=self._timeout)
        except StorageError as error:
            self._teller.lost(error)
        else:
            self._teller.changed(operations.change(row), self.settings)

    async def _fall_back_async(self, error: Exception) -> Any:
        value = self._fall_back(error)
        return await value if isinstance(value, Awaitable) else value
