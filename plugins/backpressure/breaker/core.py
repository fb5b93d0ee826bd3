"""What a breaker does between its questions to the storage: no I/O, so that threads and coroutines share it."""

import os
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from backpressure.breaker import operations
from backpressure.breaker.attempt import Attempt
from backpressure.breaker.classify import Classifier, Matcher, check_matcher
from backpressure.breaker.errors import CircuitOpenError
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.state import Admission, Phase, Report, Result
from backpressure.breaker.teller import Teller
from backpressure.checks import check_name, check_text
from backpressure.clock import seconds
from backpressure.errors import StorageError
from backpressure.storage.protocol import Argument, Storage

if TYPE_CHECKING:
    from backpressure.events import Listener

_entered: "ContextVar[tuple[tuple[BreakerCore, Attempt], ...]]" = ContextVar("_entered", default=())
"""The `with` blocks that began in this thread or coroutine, innermost last; some may have ended elsewhere."""


LONGEST_HOST = 255


class BreakerCore:
    """The settings of a breaker and what follows from them; see `CircuitBreaker` for the arguments."""

    def __init__(
        self,
        name: str,
        storage: Storage,
        *,
        failure_threshold: int | None = 5,
        window: float = 60.0,
        open_for: float = 30.0,
        half_open_permits: int = 1,
        probe_lease: float = 5.0,
        consecutive_failures: int | None = None,
        failure_rate: float | None = None,
        slow_call_rate: float | None = None,
        slow_call_duration: float | None = None,
        minimum_calls: int = 10,
        open_for_growth: float = 1.0,
        open_for_limit: float | None = None,
        open_for_jitter: float = 0.0,
        quorum: int = 1,
        counted: Matcher = Exception,
        ignored: Matcher = (),
        is_failure: Callable[[Any], bool] | None = None,
        fallback: Callable[[Exception], Any] | None = None,
        fail_open: bool = False,
        timeout: float | None = None,
        host: str | None = None,
        listeners: "Iterable[Listener]" = (),
    ) -> None:
        self.name = check_name(name)
        self.storage = storage
        self.settings = BreakerSettings(
            failure_threshold=failure_threshold,
            consecutive_failures=consecutive_failures,
            failure_rate=failure_rate,
            slow_call_rate=slow_call_rate,
            slow_call_duration=slow_call_duration,
            minimum_calls=minimum_calls,
            window=window,
            open_for=open_for,
            open_for_growth=open_for_growth,
            open_for_limit=open_for_limit,
            open_for_jitter=open_for_jitter,
            half_open_permits=half_open_permits,
            probe_lease=probe_lease,
            quorum=quorum,
        )
        check_matcher("counted", counted)
        check_matcher("ignored", ignored)
        self.fallback = fallback
        self.classifier = Classifier(counted, ignored, is_failure)
        self._fail_open = fail_open
        self._timeout = timeout
        self._host = os.uname().nodename if host is None else check_text("host", host, 1, LONGEST_HOST)
        self._teller = Teller(self.name, listeners)
        self._admit_rules = self.settings.admit_rules
        self._record_rules = self.settings.record_rules
        self._blocks: dict[int, Attempt] = {}

    def _admitted(self, call: int, answer: Admission) -> Attempt:
        """The call that was let through, or CircuitOpenError."""
        self._teller.changed(answer.change, self.settings)
        if answer.allowed:
            return Attempt(call, answer.epoch, self.storage.clock.monotonic_ns(), probe=answer.probe)
        retry_after = seconds(answer.retry_after_ns)
        self._teller.refused(retry_after)
        state = "open" if answer.phase is Phase.OPEN else "half-open and being tried by others"
        raise CircuitOpenError(
            f"circuit breaker {self.name!r} is {state}: ask again in {retry_after:.3g} s", retry_after
        )

    def _unasked(self, call: int, error: StorageError) -> Attempt:
        """The call when the storage could not be asked, or the error."""
        if not self._fail_open:
            raise error
        self._teller.failed_open(error)
        return Attempt(call, None, self.storage.clock.monotonic_ns())

    def _report(self, attempt: Attempt, result: Result) -> tuple[Argument, ...] | None:
        """The arguments of the report; None when it would change nothing."""
        duration = seconds(self.storage.clock.monotonic_ns() - attempt.began_ns)
        slow = result is not Result.IGNORED and self.settings.is_slow(duration)
        self._teller.ended(result, duration, slow=slow, probe=attempt.probe)
        counts = result is Result.FAILURE or (result is Result.SUCCESS and self.settings.counts_successes)
        if attempt.epoch is None or not (attempt.probe or counts):
            return None
        report = Report(attempt.call, attempt.epoch, result, slow, self._host, _uniform())
        return operations.report_arguments(report, self._record_rules)

    def _judge(self, attempt: Attempt, error: BaseException | None) -> Result:
        """How a `with` block ended."""
        if error is not None:
            return self.classifier.of_exception(error)
        return attempt.judged or Result.SUCCESS

    def _push(self, attempt: Attempt) -> Attempt:
        """Remember the attempt of the `with` block that begins here."""
        self._blocks[attempt.call] = attempt
        # Blocks that ended elsewhere are still among those of the context that they began in.
        _entered.set((*(each for each in _entered.get() if each[1].call in each[0]._blocks), (self, attempt)))  # noqa: SLF001 - the same class
        return attempt

    def _pop(self) -> Attempt | None:
        """The attempt of the `with` block that ends here; None if none is under way."""
        entered = _entered.get()
        for place in reversed(range(len(entered))):
            breaker, attempt = entered[place]
            if breaker is self and self._blocks.pop(attempt.call, None) is not None:
                _entered.set((*entered[:place], *entered[place + 1 :]))
                return attempt
        # It began in another context, as in a generator that is resumed elsewhere: the latest that is under way.
        try:
            return self._blocks.popitem()[1]
        except KeyError:
            return None

    def _fall_back(self, error: Exception) -> Any:
        if self.fallback is None:
            raise error
        return self.fallback(error)


def new_call() -> int:
    """A number that no other call has, drawn from the system, so that forked processes do not repeat each other."""
    return int.from_bytes(os.urandom(8), "big") >> 1


def _uniform() -> float:
    return int.from_bytes(os.urandom(6), "big") / 2**48
