"""A bulkhead's leases against a model that just remembers them, whatever holders do in whatever order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backpressure import Bulkhead
from backpressure.clock import ManualClock
from backpressure.storage import MemoryStorage
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

if TYPE_CHECKING:
    from backpressure.bulkhead import Lease

LEASE = 10.0
NANOSECONDS = 1_000_000_000


class Holders(RuleBasedStateMachine):
    """Processes take, renew and give back permits, or are killed and say nothing more."""

    leases = Bundle("leases")

    @initialize(limit=st.integers(1, 4))
    def make(self, limit: int) -> None:
        """Start with every permit free."""
        self.clock = ManualClock()
        self.bulkhead = Bulkhead("x", limit, MemoryStorage(self.clock), lease=LEASE)
        self.ends: dict[str, tuple[int, int]] = {}

    @property
    def held(self) -> dict[str, tuple[int, int]]:
        """End and cost of the leases that hold, by token."""
        now = self.clock.now_ns()
        return {token: (end, cost) for token, (end, cost) in self.ends.items() if end > now}

    @rule(target=leases, cost=st.integers(1, 4))
    def ask(self, cost: int) -> object:
        """A permit is given exactly when so many are free."""
        assume(cost <= self.bulkhead.limit)
        free = self.bulkhead.limit - sum(each for _, each in self.held.values())
        lease = self.bulkhead.try_acquire(cost)
        assert (lease is not None) == (cost <= free)
        if lease is None:
            return multiple()
        self.ends[lease.token] = (self._end(), cost)
        return lease

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        """A lease that holds lasts for its full length again; one that has ended is lost, and stays so."""
        held = lease.token in self.held
        assert lease.renew() == held
        assert lease.lost == (not held)
        if held:
            self.ends[lease.token] = (self._end(), lease.cost)

    @rule(lease=consumes(leases))
    def release(self, lease: Lease) -> None:
        """Giving back frees the permit, once; what had ended was free already."""
        held = lease.token in self.held
        assert lease.release() == held
        assert not lease.release()
        self.ends.pop(lease.token)

    @rule(lease=consumes(leases))
    def kill(self, lease: Lease) -> None:
        """A killed holder says nothing: its lease runs on in the model as in the storage."""

    @rule(pause=st.one_of(st.integers(0, 4 * NANOSECONDS), st.just(10 * NANOSECONDS)))
    def advance(self, pause: int) -> None:
        """Time ends leases, at their instant and not before."""
        self.clock.advance_ns(pause)

    @invariant()
    def counts_agree(self) -> None:
        """As many permits are in use as the model holds, never more than there are."""
        if hasattr(self, "bulkhead"):
            in_use = sum(cost for _, cost in self.held.values())
            assert self.bulkhead.count() == (in_use, 0)
            assert in_use <= self.bulkhead.limit

    def _end(self) -> int:
        return self.clock.now_ns() + int(LEASE * NANOSECONDS)


Holders.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestHolders = Holders.TestCase
