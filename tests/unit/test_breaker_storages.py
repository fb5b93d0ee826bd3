"""The breaker in PostgreSQL says the same as its pure transitions, whatever happens in whatever order."""

import itertools
from typing import Any

from backpressure.breaker import operations
from backpressure.breaker.settings import BreakerSettings
from backpressure.breaker.state import Mode, Report, Result
from backpressure.clock import ManualClock
from backpressure.storage import Argument, MemoryStorage, Operation, PostgresStorage
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

names = (f"breaker {number} ü" for number in itertools.count())

breakers = st.builds(
    BreakerSettings,
    failure_threshold=st.none() | st.integers(1, 4),
    consecutive_failures=st.none() | st.integers(2, 4),
    failure_rate=st.sampled_from([0.3, 0.5, 1.0]),
    slow_call_rate=st.sampled_from([0.25, 0.6]),
    slow_call_duration=st.just(1.0),
    minimum_calls=st.integers(1, 6),
    window=st.sampled_from([10.0, 20.0]),
    open_for=st.sampled_from([5.0, 7.0]),
    open_for_growth=st.sampled_from([1.0, 1.5, 2.0]),
    open_for_limit=st.none() | st.just(11.0),
    open_for_jitter=st.sampled_from([0.0, 0.3]),
    half_open_permits=st.integers(1, 3),
    probe_lease=st.sampled_from([2.0, 5.0]),
    quorum=st.integers(1, 2),
) | st.integers(1, 3).map(lambda threshold: BreakerSettings(failure_threshold=threshold, window=10, open_for=5))
answers = st.tuples(
    st.integers(0, 3),
    st.sampled_from([Result.SUCCESS, Result.SUCCESS, Result.SUCCESS, Result.FAILURE, Result.FAILURE, Result.IGNORED]),
    st.sampled_from([False, False, False, True]),
    st.sampled_from(["a", "b", "ç'\\"]),
    st.sampled_from([0.0, 0.5, 0.999]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.none()),
        *[st.tuples(st.just("answer"), answers)] * 2,
        *[st.tuples(st.just("call"), answers)] * 4,
        *[st.tuples(st.just("tick"), st.sampled_from([0.0, 0.25, 1.0, 2.0, 5.0, 5.0]))] * 3,
        st.tuples(st.just("rare"), st.sampled_from([*Mode, *[Mode.AUTOMATIC] * 4, *["long"] * 24])),
    ),
    min_size=30,
    max_size=80,
)


class Pair:
    """One breaker in two storages, under the same time, that must answer alike and hold the same."""

    def __init__(self, postgres: PostgresStorage, configured: BreakerSettings) -> None:
        assert isinstance(postgres.clock, ManualClock)
        self.clocks = (ManualClock(), postgres.clock)
        self.clocks[0].advance_ns(postgres.clock.now_ns() - self.clocks[0].now_ns())
        self.storages = (MemoryStorage(self.clocks[0]), postgres)
        self.configured = configured
        self.name = next(names)
        self.calls = [(0, 0)]

    def tick(self, seconds: float) -> None:
        """Time passes in both."""
        for clock in self.clocks:
            clock.advance(seconds)

    def ask(self, call: int) -> None:
        """A call asks both."""
        row = self.run(operations.ADMIT, call, *self.configured.admit_rules)
        if row[0]:
            self.calls.append((call, row[1]))

    def answer(self, place: int, *rest: Any) -> None:
        """One of the calls let through last reports to both."""
        report = Report(*self.calls[-1 - place % len(self.calls)], *rest)
        self.run(operations.RECORD, *operations.report_arguments(report, self.configured.record_rules))

    def run(self, operation: Operation, *arguments: Argument) -> tuple[Any, ...]:
        """Apply an operation to both and compare what they answer and what they hold."""
        one, other = (storage.run(operation, (self.name,), *arguments) for storage in self.storages)
        assert one == other
        if one[-1] is not None:
            event(str(one[-1]))
        one_state, other_state = (
            operations.read(storage.run(operations.READ, (self.name,))) for storage in self.storages
        )
        assert one_state == other_state
        return one


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(breakers, steps)
def test_postgres_and_the_transitions_agree(
    manual_postgres_storage: PostgresStorage, configured: BreakerSettings, story: list[tuple[str, Any]]
) -> None:
    """Asked, told and overridden in any order, both storages give the same answers and hold the same state."""
    pair = Pair(manual_postgres_storage, configured)
    for call, (what, detail) in enumerate(story, 1):
        if what == "tick":
            pair.tick(detail)
        elif what == "rare" and detail == "long":
            pair.tick(40.0)
        elif what == "rare":
            pair.run(operations.OVERRIDE, str(detail))
        if what in ("ask", "call"):
            pair.ask(call)
        if what in ("answer", "call"):
            pair.answer(0 if what == "call" else detail[0], *detail[1:])
