"""What a task's call must pass before it starts: order of asking, what is taken, and what is given back."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSkipException,
    AirflowTaskTimeout,
    DownstreamTasksSkipped,
    TaskDeferred,
)
from backpressure import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    MultiLimiter,
    Quota,
    Rate,
    RateLimitedError,
    RateLimiter,
    SlidingWindow,
)
from backpressure.airflow.admission import Admission, NotYet, Turn
from backpressure.airflow.connection import ConnectionStorage, storage
from backpressure.airflow.trigger import TurnTrigger
from backpressure.bulkhead import Lease
from backpressure.clock import ManualClock
from backpressure.errors import BulkheadFullError, StorageUnavailableError
from backpressure.storage import MemoryStorage

pytest_plugins = ["support.connections"]


def limiter(shared: ConnectionStorage, **rate: Any) -> RateLimiter:
    """A partner that takes a call every ten seconds."""
    return RateLimiter("partner", Rate(**({"limit": 1, "period": 10.0} | rate)), shared)


def done() -> str:
    """The call."""
    return "done"


def refused(admission: Admission, turn: Turn | None = None) -> NotYet:
    """What came of asking, which must be a refusal."""
    with pytest.raises(NotYet) as caught:
        admission.call(turn or admission.first_turn(), done)
    return caught.value


def test_the_first_passes_and_the_others_get_places_a_period_apart(shared: ConnectionStorage) -> None:
    """Ten tasks come together: one runs, the others are told to come back one period after the other."""
    admission = Admission(limiter(shared))
    assert admission.call(admission.first_turn(), done) == "done"
    assert [refused(admission).delay for _ in range(9)] == [10.0 * place for place in range(1, 10)]
    assert shared.clock.now_ns() == ManualClock().now_ns(), "nobody waited in its slot"


def test_who_comes_at_its_place_runs_and_the_permit_is_taken_then(shared: ConnectionStorage) -> None:
    """A deferred task holds no permit; it takes one when it starts, and exactly one."""
    partner = limiter(shared)
    admission = Admission(partner)
    admission.call(admission.first_turn(), done)
    waiting = refused(admission)
    assert waiting.turn.placed
    _clock(shared).advance(10)
    assert partner.try_acquire().allowed, "nothing was reserved in the limiter"
    _clock(shared).advance(10)
    assert admission.call(waiting.turn, done) == "done"
    assert partner.try_acquire() == (False, 10.0, 0)


def test_late_comers_are_kept_apart(shared: ConnectionStorage) -> None:
    """After a triggerer's outage all come at once: the rate still holds, and they get new places a period apart."""
    admission = Admission(limiter(shared))
    admission.call(admission.first_turn(), done)
    turns = [refused(admission).turn for _ in range(5)]
    _clock(shared).advance(1000)
    assert admission.call(turns[0], done) == "done"
    delays = [refused(admission, turn).delay for turn in turns[1:]]
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(delays))
    assert delays[0] >= 10


def test_a_short_wait_is_spent_in_the_slot(shared: ConnectionStorage) -> None:
    """Within its patience a task waits for its permit where it is: a deferral would cost a second start."""
    admission = Admission(limiter(shared, period=0.5), patience=1.0)
    for _ in range(3):
        assert admission.call(admission.first_turn(), done) == "done"
    assert _clock(shared).slept == [0.5, 0.5]


def test_a_place_leads_to_every_kind_of_limit(shared: ConnectionStorage) -> None:
    """Sliding windows, quotas and several limits at once have lines as well."""
    window = RateLimiter("window", SlidingWindow(1, 7.0), shared)
    quota = RateLimiter("quota", Quota(1, "day"), shared)
    several = MultiLimiter([window, quota])
    for limit, least in ((window, 7.0), (quota, 3600.0), (several, 3600.0)):
        admission = Admission(limit)
        admission.limiter = limit
        assert refused_after(admission, 2).delay >= least
        limit.reset()
        assert admission.line is not None
        admission.line.reset()


def test_the_call_fails_when_it_would_wait_too_long(shared: ConnectionStorage) -> None:
    """With max_wait the refusal itself is raised, so that Airflow's retries decide; no place is taken for it."""
    admission = Admission(limiter(shared), max_wait=15)
    admission.call(admission.first_turn(), done)
    waiting = refused(admission)
    assert waiting.delay == 10
    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            admission.call(admission.first_turn(), done)
        assert caught.value.retry_after == 20
    _clock(shared).advance(16)
    assert admission.left(waiting.turn) == 0
    assert admission.call(waiting.turn, done) == "done", "who comes late is let through if there is a permit"


def test_an_open_breaker_takes_no_place_and_no_permit(shared: ConnectionStorage) -> None:
    """While the circuit is open the line does not grow: when it closes, the first places are there."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=30)
    partner = limiter(shared)
    admission = Admission(partner, breaker=breaker)
    with pytest.raises(ZeroDivisionError):
        admission.call(admission.first_turn(), lambda: 1 // 0)
    for _ in range(5):
        waiting = refused(admission)
        assert (waiting.wait_for, waiting.delay, waiting.turn.placed) == ("breaker", 30.0, False)
    assert admission.line is not None
    assert admission.line.try_acquire().retry_after == 10, "only the call that failed had a place"


def test_a_storage_that_is_away_leaves_it_to_the_breaker_whether_it_fails_open(
    shared: ConnectionStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limiter and a breaker that both fail open the call is made; a breaker that does not raises its error."""

    def away(*_: object, **__: object) -> None:
        raise StorageUnavailableError("away")

    monkeypatch.setattr(ConnectionStorage, "run", away)
    partner = RateLimiter("partner", Rate(1, 10.0), shared, fail_open=True)
    admission = Admission(partner, breaker=CircuitBreaker("partner", shared, fail_open=True))
    assert admission.call(admission.first_turn(), done) == "done"
    strict = Admission(partner, breaker=CircuitBreaker("partner", shared))
    with pytest.raises(StorageUnavailableError, match="away"):
        strict.call(strict.first_turn(), done)


def test_a_limiter_that_refuses_gives_the_probe_and_the_permit_back(shared: ConnectionStorage) -> None:
    """Half-open, the probe that finds no permit leaves the breaker as it was, and the bulkhead's permit free."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=3)
    bulkhead = Bulkhead("partner", 1, shared)
    partner = limiter(shared)
    admission = Admission(partner, breaker=breaker, bulkhead=bulkhead)
    with pytest.raises(ZeroDivisionError):
        admission.call(admission.first_turn(), lambda: 1 // 0)
    _clock(shared).advance(5)
    waiting = refused(admission, admission.first_turn()._replace(placed=True))
    assert waiting.delay >= 5
    found = breaker.snapshot()
    assert (found.state, found.probes, found.successes) == ("half_open", 0, 0)
    assert bulkhead.count() == (0, 0)


def test_the_breaker_learns_how_the_call_ended(shared: ConnectionStorage) -> None:
    """Exceptions and values that count as failures open it; a success of the probe closes it."""
    breaker = CircuitBreaker(
        "partner", shared, failure_threshold=2, open_for=3, is_failure=lambda value: value == "bad"
    )
    admission = Admission(breaker=breaker)
    assert admission.call(admission.first_turn(), lambda: "bad") == "bad"
    with pytest.raises(OSError, match="gone"):
        admission.call(admission.first_turn(), _raise(OSError("gone")))
    assert breaker.state == "open"
    _clock(shared).advance(4)
    assert admission.call(admission.first_turn(), done) == "done"
    assert breaker.state == "closed"


def test_what_hangs_until_the_task_times_out_has_failed(shared: ConnectionStorage) -> None:
    """Airflow's timeout is no Exception, and yet it is the very case for a breaker; who ignores it says so."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=2)
    lenient = CircuitBreaker("lenient", shared, failure_threshold=1, ignored=AirflowTaskTimeout)
    for asked, times in ((Admission(breaker=breaker), 2), (Admission(breaker=lenient), 1)):
        for _ in range(times):
            with pytest.raises(AirflowTaskTimeout):
                asked.call(asked.first_turn(), _raise(AirflowTaskTimeout("after 60 s")))
    assert (breaker.state, lenient.state) == ("open", "closed")


def test_a_timeout_while_a_permit_is_waited_for_is_no_failure(
    shared: ConnectionStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the call itself can hang: a task that runs out of time before it has not asked the partner."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1)
    admission = Admission(limiter(shared, period=0.5), breaker=breaker)
    admission.call(admission.first_turn(), done)
    monkeypatch.setattr(shared.clock, "sleep", lambda _: _raise(AirflowTaskTimeout("after 60 s"))())
    with pytest.raises(AirflowTaskTimeout):
        admission.call(admission.first_turn()._replace(placed=True), done)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "signal",
    [
        AirflowSkipException("nothing to do"),
        AirflowRescheduleException(datetime(2026, 1, 1, tzinfo=UTC)),
        DownstreamTasksSkipped(tasks=["other"]),
        TaskDeferred(trigger=TurnTrigger({}, [], 0.0), method_name="execute"),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_what_a_task_tells_airflow_is_no_failure(shared: ConnectionStorage, signal: BaseException) -> None:
    """Skips, reschedules and deferrals open no breaker, one that counts everything neither, and close none."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=3, counted=BaseException)
    admission = Admission(breaker=breaker)
    with pytest.raises(type(signal)):
        admission.call(admission.first_turn(), _raise(signal))
    assert breaker.state == "closed"
    with pytest.raises(ZeroDivisionError):
        admission.call(admission.first_turn(), lambda: 1 // 0)
    _clock(shared).advance(4)
    with pytest.raises(type(signal)):
        admission.call(admission.first_turn(), _raise(signal))
    found = breaker.snapshot()
    assert (found.state, found.probes, found.successes) == ("half_open", 0, 0)


def test_a_probe_that_others_make_is_waited_for(shared: ConnectionStorage) -> None:
    """Half-open with its probe on its way, the breaker refuses the next task, which watches it."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=3)
    admission = Admission(breaker=breaker)
    with pytest.raises(ZeroDivisionError):
        admission.call(admission.first_turn(), lambda: 1 // 0)
    _clock(shared).advance(4)
    assert admission.call(admission.first_turn(), lambda: refused(admission).wait_for) == "breaker"


def test_a_full_bulkhead_is_queued_for_and_its_lease_taken_over(shared: ConnectionStorage) -> None:
    """The permit that a trigger got for the task is used by it, renewed, and free afterwards."""
    bulkhead = Bulkhead("partner", 1, shared)
    admission = Admission(bulkhead=bulkhead)
    held = bulkhead.acquire()
    waiting = refused(admission)
    assert (waiting.wait_for, waiting.delay) == ("bulkhead", 0.0)
    held.release()
    handed = bulkhead.acquire()
    turn = waiting.turn._replace(lease=handed.token)
    assert admission.call(turn, bulkhead.count) == (1, 0), "one permit, not a second one"
    assert bulkhead.count() == (0, 0)


def test_a_permit_that_was_handed_over_is_free_while_a_breaker_is_waited_for(shared: ConnectionStorage) -> None:
    """The circuit opened while the task was on its way from its trigger: it waits on without the permit."""
    bulkhead = Bulkhead("partner", 1, shared)
    breaker = CircuitBreaker("partner", shared)
    admission = Admission(breaker=breaker, bulkhead=bulkhead)
    turn = admission.first_turn()._replace(lease=bulkhead.acquire().token)
    breaker.force_open()
    waiting = refused(admission, turn)
    assert (waiting.wait_for, waiting.turn.lease) == ("breaker", None)
    assert bulkhead.count() == (0, 0)


def test_a_permit_that_was_handed_over_is_free_while_a_place_is_waited_for(shared: ConnectionStorage) -> None:
    """Nor is it kept by a task that has to take a place in line, or that may not wait for one."""
    bulkhead = Bulkhead("partner", 1, shared)
    partner = limiter(shared)
    partner.reserve(1)
    for max_wait, refusal in ((None, NotYet), (5, RateLimitedError)):
        admission = Admission(partner, bulkhead=bulkhead, max_wait=max_wait)
        assert admission.line is not None
        admission.line.reserve(1)
        turn = admission.first_turn()._replace(lease=bulkhead.acquire().token)
        with pytest.raises(refusal) as caught:
            admission.call(turn, done)
        assert not isinstance(caught.value, NotYet) or caught.value.turn.lease is None
        assert bulkhead.count() == (0, 0)


def test_a_lease_that_ended_on_the_way_is_asked_for_anew(shared: ConnectionStorage) -> None:
    """A task that comes too late for the permit got for it takes a free one, or queues again; none is held twice."""
    bulkhead = Bulkhead("partner", 1, shared)
    admission = Admission(bulkhead=bulkhead)
    turn = admission.first_turn()._replace(lease=bulkhead.acquire().token)
    _clock(shared).advance(31)
    other = bulkhead.acquire()
    assert refused(admission, turn).turn.lease is None
    other.release()
    assert admission.call(turn, bulkhead.count) == (1, 0)


def test_full_for_too_long_is_the_refusal(shared: ConnectionStorage) -> None:
    """A bulkhead that stays full beyond max_wait fails the task with the bulkhead's own error."""
    bulkhead = Bulkhead("partner", 1, shared)
    admission = Admission(bulkhead=bulkhead, max_wait=5)
    turn = admission.first_turn()
    held: Lease = bulkhead.acquire()
    _clock(shared).advance(6)
    with pytest.raises(BulkheadFullError):
        admission.call(turn, done)
    held.release()


def test_open_for_too_long_is_the_refusal(shared: ConnectionStorage) -> None:
    """A breaker that will be open beyond max_wait fails the task at once: to wait would be for nothing."""
    breaker = CircuitBreaker("partner", shared, failure_threshold=1, open_for=30)
    admission = Admission(breaker=breaker, max_wait=5)
    with pytest.raises(ZeroDivisionError):
        admission.call(admission.first_turn(), lambda: 1 // 0)
    with pytest.raises(CircuitOpenError):
        admission.call(admission.first_turn(), done)


def test_travels_as_json(shared: ConnectionStorage) -> None:
    """A trigger in another process makes the same admission of its description, which holds no secret."""
    admission = Admission(
        MultiLimiter([limiter(shared, burst=3), RateLimiter("all", SlidingWindow(5, 60.0), shared)]),
        breaker=CircuitBreaker("partner", shared, failure_rate=0.5, half_open_permits=2),
        bulkhead=Bulkhead("partner", 4, shared, lease=12.0, weights={"a": 3}),
        cost=2,
        permits=3,
        tenant="a",
        max_wait=60,
    )
    again = Admission.from_dict(json.loads(json.dumps(admission.to_dict())))
    assert again.to_dict() == admission.to_dict()
    assert repr(again) == repr(admission)
    assert "0x" not in repr(admission), "the same at each parse, or Airflow would see a new version of the DAG"


def test_is_not_copied(shared: ConnectionStorage) -> None:
    """Airflow copies tasks with all they hold; limits and their connections stay the same objects."""
    admission = Admission(limiter(shared))
    assert copy.deepcopy(admission) is admission
    assert copy.deepcopy(shared) is shared
    assert pickle.loads(pickle.dumps(storage("other"))) is storage("other")  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: Admission(), "limiter, breaker or bulkhead must be given"),
        (
            lambda _: Admission(RateLimiter("x", Rate(1, 1.0), MemoryStorage())),
            r"storage of 'x' must be made by backpressure.airflow.storage\(conn_id\).* it is a MemoryStorage",
        ),
        (lambda s: Admission(limiter(s), cost=0), "cost must be .*, not 0"),
        (lambda s: Admission(limiter(s), cost=2), "cost must not exceed the burst 1.* it is 2"),
        (
            lambda s: Admission(bulkhead=Bulkhead("b", 2, s), permits=3),
            "permits must be a whole number from 1 to 2, not 3",
        ),
        (lambda s: Admission(limiter(s), patience=-1), "patience must be .*, not -1"),
        (lambda s: Admission(limiter(s), spread=float("nan")), "spread must be .*, not nan"),
        (lambda s: Admission(limiter(s), max_wait=float("inf")), "max_wait must be .*, not inf"),
        (lambda s: Admission(RateLimiter("n" * 250, Rate(1, 1.0), s)), "name of .* must have at most 249 bytes"),
        (lambda _: ConnectionStorage(""), "conn_id must be the id of an Airflow connection, not ''"),
    ],
)
def test_a_bad_argument_is_named(
    shared: ConnectionStorage, make: Callable[[ConnectionStorage], object], message: str
) -> None:
    """Each raises ValueError with argument and value when the DAG file is parsed, not when the task runs."""
    with pytest.raises(ValueError, match=message):
        make(shared)


def refused_after(admission: Admission, asked: int) -> NotYet:
    """The refusal of the last of so many."""
    for _ in range(asked - 1):
        admission.call(admission.first_turn(), done)
    return refused(admission)


def _clock(shared: ConnectionStorage) -> ManualClock:
    assert isinstance(shared.clock, ManualClock)
    return shared.clock


def _raise(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call
