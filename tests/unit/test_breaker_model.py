"""The breaker against a model that keeps every event for ever and decides by looking through all of them."""

from dataclasses import dataclass, field

import pytest
from backpressure import CircuitBreaker, CircuitOpenError
from backpressure.breaker.attempt import Attempt
from backpressure.breaker.state import Result
from backpressure.clock import ManualClock
from backpressure.storage import MemoryStorage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

THRESHOLD, WINDOW, OPEN_FOR, LEASE = 3, 10, 7, 4


@dataclass
class Model:
    """What the contract says, in the plainest words; times are whole seconds."""

    permits: int
    now: int = 0
    state: str = "closed"
    number_of_changes: int = 0
    failures: list[int] = field(default_factory=list)
    opened_at: int = 0
    probes: dict[int, int] = field(default_factory=dict)
    """Probes of this half-open time that have not reported, each with the second in which it began."""
    good: int = 0

    def change(self, state: str) -> None:
        """Go over to another state and start counting afresh."""
        self.state = state
        self.number_of_changes += 1
        self.failures, self.probes, self.good = [], {}, 0

    def look(self) -> str:
        """What a caller would meet."""
        over = self.state == "open" and self.now >= self.opened_at + OPEN_FOR
        return "half_open" if over else self.state

    def out(self) -> list[int]:
        """The probes that still hold a permit."""
        return [call for call, began in self.probes.items() if self.now < began + LEASE]

    def may_pass(self) -> bool:
        """Whether a call may pass now."""
        state = self.look()
        if state == "half_open" and self.state == "open":
            return True
        return state == "closed" or (state == "half_open" and len(self.out()) + self.good < self.permits)

    def begin(self, call: int) -> int:
        """A call passes; returns what its result will be matched with."""
        if self.look() == "half_open":
            if self.state == "open":
                self.change("half_open")
            self.probes[call] = self.now
        return self.number_of_changes

    def end(self, call: int, began_in: int, result: Result) -> None:
        """A call's result arrives."""
        if began_in != self.number_of_changes or (result is Result.IGNORED and self.state == "closed"):
            return
        if self.state == "closed" and result is Result.FAILURE:
            self.failures.append(self.now)
            if sum(1 for at in self.failures if self.now - at < WINDOW) >= THRESHOLD:
                self.open()
        elif self.state == "half_open" and call in self.out():
            del self.probes[call]
            if result is Result.FAILURE:
                self.open()
            elif result is Result.SUCCESS:
                self.good += 1
                if self.good == self.permits:
                    self.change("closed")

    def open(self) -> None:
        """Open for the full time."""
        self.change("open")
        self.opened_at = self.now


class BreakerMachine(RuleBasedStateMachine):
    """Begins calls, ends them late or early or never, and lets time pass."""

    calls: Bundle[tuple[int, Attempt, int]] = Bundle("calls")

    @initialize(permits=st.integers(1, 3))
    def start(self, permits: int) -> None:
        self.clock = ManualClock()
        self.breaker = CircuitBreaker(
            "partner_x",
            MemoryStorage(self.clock),
            failure_threshold=THRESHOLD,
            window=WINDOW,
            open_for=OPEN_FOR,
            half_open_permits=permits,
            probe_lease=LEASE,
        )
        self.model = Model(permits)
        self.number = 0

    @rule(target=calls)
    def begin(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - what a bundle takes has no public type
        """A call asks; both say the same."""
        self.number += 1
        expected = self.model.may_pass()
        if not expected:
            with pytest.raises(CircuitOpenError):
                self.breaker._enter()
            return multiple()
        return self.number, self.breaker._enter(), self.model.begin(self.number)

    @rule(
        call=consumes(calls), result=st.sampled_from([Result.FAILURE, Result.FAILURE, Result.SUCCESS, Result.IGNORED])
    )
    def end(self, call: tuple[int, Attempt, int], result: Result) -> None:
        """A call's result arrives."""
        number, attempt, began_in = call
        self.breaker._leave(attempt, result)
        self.model.end(number, began_in, result)

    @rule(passed=st.integers(1, 12))
    def wait(self, passed: int) -> None:
        """Time passes."""
        self.clock.advance(passed)
        self.model.now += passed

    @invariant()
    def agree(self) -> None:
        """What a caller would meet is what the model says, and no more probes are out than permits."""
        if not hasattr(self, "model"):
            return
        seen = self.breaker.snapshot()
        assert seen.state == self.model.look()
        assert seen.probes <= self.model.permits
        if self.model.state == "half_open":
            assert (seen.probes, seen.successes) == (len(self.model.out()), self.model.good)


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerAgainstModel = BreakerMachine.TestCase
