"""A lane as a function of time: capacity, queue, quotas, faults and its own expiry."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpressure_lab.upstream.lane import MAX_KEYS, Decision, Lane, Outcome, Place, Ticket
from backpressure_lab.upstream.settings import Settings

T0 = 1_800_000_000.0


def lane_with(**settings: Any) -> Lane:
    """Return a lane that was configured at T0."""
    lane = Lane("l", T0)
    lane.configure(settings, T0)
    return lane


def arrive(lane: Lane, after: float = 0.0, key: str = "k") -> Decision:
    """Let a request arrive so many seconds after T0."""
    return lane.arrive(key, T0 + after, lambda: None)


def ticket_of(decision: Decision) -> Ticket:
    """Return an accepted request's ticket."""
    assert decision.ticket is not None
    return decision.ticket


def test_requests_beyond_capacity_wait_and_beyond_the_queue_are_refused() -> None:
    """Capacity is served, the queue waits, the rest gets 503 with the expected wait."""
    lane = lane_with(capacity=2, queue_limit=3, service_time=1.0)
    outcomes = [arrive(lane).outcome for _ in range(6)]
    assert outcomes == [Outcome.SERVE] * 2 + [Outcome.WAIT] * 3 + [Outcome.REFUSE]
    refused = arrive(lane)
    assert (refused.status, refused.reason) == (503, "overload")
    assert refused.retry_after == pytest.approx(4 * 1.0 / 2)
    assert (lane.serving, lane.waiting) == (2, 3)


def test_waiting_requests_are_served_first_come_first_served() -> None:
    """Each end of service lets in the one that has waited longest, at that instant."""
    lane = lane_with(capacity=1, service_time=1.0)
    woken: list[int] = []
    tickets = [ticket_of(lane.arrive("k", T0, lambda n=n: woken.append(n))) for n in range(4)]  # type: ignore[misc]
    for n in range(3):
        lane.leave(tickets[n], T0 + n + 1)
    assert woken == [1, 2, 3]
    assert [ticket.started_at - T0 for ticket in tickets] == [0, 1, 2, 3]


def test_a_client_that_leaves_the_queue_is_passed_over() -> None:
    """Giving up while waiting frees the place in the queue and takes no capacity."""
    lane = lane_with(capacity=1, queue_limit=2)
    served, first, second = (ticket_of(arrive(lane)) for _ in range(3))
    lane.leave(first, T0 + 1)
    assert lane.waiting == 1
    lane.leave(served, T0 + 2)
    assert second.place is Place.SERVING
    assert lane.serving == 1


def test_more_capacity_lets_waiting_requests_in_at_once() -> None:
    """A scheduled or manual rise of capacity needs no further request to take effect."""
    lane = lane_with(capacity=1)
    tickets = [ticket_of(arrive(lane)) for _ in range(5)]
    lane.configure({"capacity": 3}, T0 + 1)
    assert [ticket.place for ticket in tickets] == [Place.SERVING] * 3 + [Place.WAITING] * 2
    lane.schedule([{"at": 1, "set": {"capacity": None}}], T0 + 1)
    lane.advance(T0 + 2)
    assert {ticket.place for ticket in tickets} == {Place.SERVING}
    assert tickets[-1].started_at == T0 + 2


def test_less_capacity_stops_nobody_and_lets_nobody_in() -> None:
    """Requests in service go on; the next one is let in when fewer than the new capacity remain."""
    lane = lane_with(capacity=3)
    tickets = [ticket_of(arrive(lane)) for _ in range(4)]
    lane.configure({"capacity": 1}, T0)
    lane.leave(tickets[0], T0 + 1)
    lane.leave(tickets[1], T0 + 1)
    assert tickets[3].place is Place.WAITING
    lane.leave(tickets[2], T0 + 2)
    assert tickets[3].place is Place.SERVING


@given(
    st.lists(
        st.tuples(st.sampled_from(["arrive", "leave", "capacity", "outage"]), st.integers(0, 6), st.booleans()),
        max_size=80,
    )
)
def test_capacity_and_queue_limit_hold_whatever_happens(steps: list[tuple[str, int, bool]]) -> None:
    """No step lets more in than capacity allows, keeps anybody waiting while there is room, or loses a request."""
    lane = lane_with(capacity=2, queue_limit=3)
    inside: list[Ticket | None] = []
    for number, (step, size, on) in enumerate(steps):
        now = T0 + number
        serving_before = lane.serving
        if step == "arrive":
            inside.append(lane.arrive("k", now, lambda: None).ticket)
        elif step == "leave" and inside:
            lane.leave(inside.pop(size % len(inside)), now)
        elif step == "capacity":
            lane.configure({"capacity": size}, now)
        elif step == "outage":
            lane.configure({"outage": on}, now)
        capacity = lane.settings.capacity
        assert capacity is not None
        assert lane.serving <= max(capacity, serving_before)
        assert lane.waiting == 0 or lane.serving >= capacity
        assert lane.waiting <= 3
        places = Counter(ticket.place for ticket in inside if ticket)
        assert (places[Place.SERVING], places[Place.WAITING]) == (lane.serving, lane.waiting)
    for ticket in inside:
        lane.leave(ticket, T0 + 1000)
    assert lane.idle
    assert lane.serving == lane.waiting == 0


def test_slow_stretches_the_service_of_requests_that_start_under_it() -> None:
    """The factor in force at the start of service counts to its end."""
    lane = lane_with(service_time=0.2)
    before = ticket_of(arrive(lane))
    lane.configure({"slow": 6}, T0)
    assert before.service_time == pytest.approx(0.2)
    assert ticket_of(arrive(lane)).service_time == pytest.approx(1.2)


def test_exponential_service_has_its_mean_and_repeats_with_its_seed() -> None:
    """Service times of one seed are the same each time, and average out to service_time."""

    def times(seed: int) -> list[float]:
        lane = lane_with(service_time=0.5, service_distribution="exponential", capacity=None, seed=seed)
        return [ticket_of(arrive(lane)).service_time for _ in range(4000)]

    first = times(1)
    assert first == times(1) != times(2)
    assert sum(first) / len(first) == pytest.approx(0.5, rel=0.1)
    assert min(first) < 0.1
    assert max(first) > 1.0


def test_an_outage_refuses_arrivals_and_those_who_wait() -> None:
    """Everybody but those in service gets 503, told how long it will last when that is scheduled."""
    lane = lane_with(capacity=1)
    served, waiting = ticket_of(arrive(lane)), ticket_of(arrive(lane))
    lane.schedule([{"at": 2, "set": {"outage": True}, "for": 6}], T0)
    lane.advance(T0 + 2)
    refused = arrive(lane, 3)
    assert (refused.outcome, refused.status, refused.reason) == (Outcome.REFUSE, 503, "outage")
    assert refused.retry_after == 5
    assert (served.place, waiting.place) == (Place.SERVING, Place.REFUSED)
    assert waiting.retry_after == 6
    assert arrive(lane, 8).outcome is not Outcome.REFUSE


def test_an_outage_can_begin_with_the_first_request() -> None:
    """However late that comes, it meets an outage of full length, and everybody is told when it ends."""
    lane = lane_with(outage_first=4.0, capacity=None)
    refused = [arrive(lane, after, key) for after, key in ((30, "a"), (31.5, "b"), (33.9, "a"))]
    assert {(one.outcome, one.status, one.reason) for one in refused} == {(Outcome.REFUSE, 503, "outage")}
    assert [one.retry_after for one in refused] == pytest.approx([4.0, 2.5, 0.1])
    assert [arrive(lane, after).outcome for after in (34, 90)] == [Outcome.SERVE] * 2
    lane.configure({"outage_first": 2.0}, T0 + 100)
    assert arrive(lane, 200).retry_after == 2.0
    lane.reset(T0 + 201)
    assert arrive(lane, 201).outcome is Outcome.SERVE


def test_an_outage_without_a_known_end_tells_a_default_wait() -> None:
    """Retry-After is told even when nobody knows the end."""
    assert arrive(lane_with(outage=True)).retry_after == 1.0


def test_retry_after_can_be_set() -> None:
    """A number is told as it is; "recovery" is the time until the next scheduled change, for an overload, too."""
    lane = lane_with(capacity=1, queue_limit=0, retry_after=3)
    arrive(lane)
    assert arrive(lane).retry_after == 3
    lane.schedule([{"at": 0, "set": {"retry_after": "recovery"}, "for": 9}], T0)
    assert arrive(lane, 2).retry_after == 7
    assert arrive(lane, 8.5).retry_after == 0.5
    assert arrive(lane, 9).retry_after == 3


def test_each_key_has_its_own_quota() -> None:
    """A key over its quota gets 429 while another one is served."""
    lane = lane_with(quotas={"a": {"limit": 1}, "*": {"limit": 2}})
    outcomes = [(key, arrive(lane, key=key).outcome) for key in "aabbbcc"]
    assert [key for key, outcome in outcomes if outcome is Outcome.REFUSE] == ["a", "b"]
    refused = arrive(lane, 0.25, key="a")
    assert (refused.status, refused.reason, refused.retry_after) == (429, "quota", 0.75)
    assert refused.verdict is not None
    assert refused.verdict.allowances[0].remaining == 0


def test_a_drop_or_hang_share_is_met_evenly() -> None:
    """Of any stretch of requests, also of every second one, about the share is hit: no luck is involved."""
    lane = lane_with(drop=0.3, capacity=None)
    hit = [arrive(lane).outcome is Outcome.DROP for _ in range(200)]
    assert sum(hit) == pytest.approx(60, abs=2)
    assert sum(hit[::2]) == pytest.approx(30, abs=3)
    assert all(3 <= sum(hit[n : n + 20]) <= 9 for n in range(180))


def test_shares_of_zero_and_one_are_none_and_all() -> None:
    """The ends of the range are exact."""
    assert {arrive(lane_with(hang=1)).outcome for _ in range(50)} == {Outcome.HANG}
    lane = lane_with(hang=0, drop=0, error=0, capacity=None)
    assert {ticket_of(arrive(lane)).fails for _ in range(50)} == {False}
    failing = lane_with(error=1, capacity=None)
    assert {ticket_of(arrive(failing)).fails for _ in range(50)} == {True}


def test_the_first_requests_of_each_key_can_hang_or_be_dropped() -> None:
    """Each key's first ones are hit, its later ones are served; setting it again starts anew."""
    lane = lane_with(hang_first=1, drop_first=1, capacity=None)
    assert [arrive(lane, key=key).outcome for key in "aaabbb"] == [Outcome.DROP, Outcome.HANG, Outcome.SERVE] * 2
    lane.configure({"hang_first": 1}, T0)
    assert arrive(lane, key="a").outcome is Outcome.HANG
    lane.schedule([{"at": 1, "set": {"drop_first": 2}}], T0)
    assert [arrive(lane, 1, key="a").outcome for _ in range(3)] == [Outcome.DROP, Outcome.DROP, Outcome.SERVE]


def test_faults_can_be_confined_to_keys() -> None:
    """Keys that are not named see a healthy service."""
    lane = lane_with(hang=1, drop_first=3, error=1, fault_keys=["bad"], capacity=None)
    assert not ticket_of(arrive(lane, key="good")).fails
    assert [arrive(lane, key="bad").outcome for _ in range(4)] == [Outcome.DROP] * 3 + [Outcome.HANG]


def test_a_hanging_request_holds_no_capacity_and_can_be_answered_later() -> None:
    """While it hangs others are served; afterwards it takes its turn, or meets the outage of then."""
    lane = lane_with(capacity=1, hang_first=1)
    assert arrive(lane).outcome is Outcome.HANG
    other = ticket_of(arrive(lane))
    resumed = lane.resume("k", T0 + 1, lambda: None)
    assert resumed.outcome is Outcome.WAIT
    lane.leave(other, T0 + 2)
    assert ticket_of(resumed).place is Place.SERVING
    lane.configure({"outage": True}, T0 + 3)
    assert lane.resume("k", T0 + 3, lambda: None).outcome is Outcome.REFUSE


def test_an_untouched_lane_resets_itself() -> None:
    """After expires_after without a request, a killed lesson's fault is gone; a request before it is still hit."""
    lane = lane_with(outage=True, expires_after=10)
    assert arrive(lane, 9).reason == "outage"
    lane.leave(None, T0 + 9)
    assert arrive(lane, 18.9).reason == "outage"
    lane.leave(None, T0 + 18.9)
    assert arrive(lane, 28.9).outcome is Outcome.SERVE
    assert lane.settings == Settings()


def test_a_lane_with_a_request_in_it_does_not_expire() -> None:
    """A hanging request keeps the weather that it hangs in."""
    lane = lane_with(hang_first=1, slow=3, expires_after=10)
    arrive(lane)
    lane.advance(T0 + 1000)
    assert lane.settings.slow == 3
    lane.leave(None, T0 + 1000)
    lane.advance(T0 + 1010)
    assert lane.settings == Settings()


def test_reset_starts_counts_anew() -> None:
    """Quotas, shares and first requests begin again after a reset."""
    lane = lane_with(quotas={"*": {"limit": 1}}, drop_first=1)
    assert [arrive(lane).outcome for _ in range(3)] == [Outcome.DROP, Outcome.SERVE, Outcome.REFUSE]
    lane.reset(T0)
    assert arrive(lane).outcome is Outcome.SERVE
    lane.configure({"quotas": {"*": {"limit": 1}}, "drop_first": 1}, T0)
    assert [arrive(lane).outcome for _ in range(3)] == [Outcome.DROP, Outcome.SERVE, Outcome.REFUSE]


def test_the_number_of_keys_remembered_is_bounded() -> None:
    """The key used longest ago is forgotten first."""
    lane = lane_with(drop_first=1, capacity=None)
    arrive(lane, key="old")
    for number in range(MAX_KEYS - 1):
        arrive(lane, key=str(number))
    assert arrive(lane, key="old").outcome is Outcome.SERVE
    arrive(lane, key="one more")
    assert arrive(lane, key="0").outcome is Outcome.DROP
    assert arrive(lane, key="old").outcome is Outcome.SERVE
