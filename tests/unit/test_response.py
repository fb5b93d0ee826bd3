"""A runbook's verbs on Airflow, with a run and a line for pages that are a few lists."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from backpressure.airflow.response import actions, answer, on_call, pages, resizes, sizes, waiting
from backpressure.runbook import Then

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeRun:
    """A pool whose queue gets shorter with each look, and waits that end after a few looks."""

    def __init__(self, *queue: int) -> None:
        self.queue = list(queue)
        self.resized: list[tuple[str, int]] = []
        self.asked: dict[str, Any] = {}
        self.api = SimpleNamespace(pages=self._pages)
        self.log: list[dict[str, Any]] = []

    def pool(self, name: str) -> SimpleNamespace:
        """The pool, of whose waiting tasks one is with the executor."""
        assert name == "orders"
        depth = self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]
        return SimpleNamespace(scheduled=max(depth - 1, 0), queued=min(depth, 1))

    def resize_pool(self, name: str, slots: int) -> None:
        """Note the new size."""
        self.resized.append((name, slots))

    def wait_for(self, condition: Callable[[], Any], seconds: float) -> Any:
        """Ask once a second."""
        for _ in range(int(seconds)):
            if answer := condition():
                return answer
        raise TimeoutError

    def _pages(self, path: str, key: str, **asked: Any) -> list[dict[str, Any]]:
        assert (path, key) == ("/eventLogs", "event_logs")
        self.asked = asked
        return self.log


class FakeLine:
    """Keeps messages, the first at instant 1."""

    def __init__(self, *bodies: Any) -> None:
        self.bodies = list(bodies)

    def notify(self, body: Any) -> None:
        """Deliver a message."""
        self.bodies.append(body)

    def notifications(self) -> list[dict[str, Any]]:
        """What was delivered."""
        return [{"at": float(number), "body": body} for number, body in enumerate(self.bodies, start=1)]


def act(run: FakeRun, line: FakeLine, words: str) -> Then:
    """Carry out one command."""
    verb, *arguments = words.split()
    return actions(run, "orders", line)[verb](*arguments)  # type: ignore[arg-type]  # as much of both as they need


def test_what_waits_is_scheduled_or_queued() -> None:
    """For a slot, or with a slot for a worker."""
    assert waiting(FakeRun(5), "orders") == 5  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("words", "queue", "then"),
    [
        ("watch 6 5", (3, 5, 6), Then.NEXT),
        ("watch 6 5", (3, 5), Then.STOP),
        ("settled 2 5", (6, 4, 2), Then.NEXT_PHASE),
        ("settled 2 5", (6, 4), Then.NEXT),
        ("recovered 2 5", (6, 4, 2), Then.NEXT),
        ("recovered 2 5", (6, 4), Then.STOP),
    ],
)
def test_a_queue_decides_what_follows(words: str, queue: tuple[int, ...], then: Then) -> None:
    """Each verb waits for its mark, and says by itself what it means to reach it or not."""
    assert act(FakeRun(*queue), FakeLine(), words) == then


def test_a_size_is_given_to_the_pool_that_is_named() -> None:
    """Through the run, which gives it back in the end."""
    run = FakeRun(0)
    assert act(run, FakeLine(), "size intake 0") == Then.NEXT
    assert run.resized == [("intake", 0)]


def test_a_page_waits_for_its_own_answer() -> None:
    """Somebody else's acknowledgement is none."""
    line = FakeLine({"acknowledged": "on-call"})
    assert act(FakeRun(0), line, "page lead") == Then.NEXT
    assert act(FakeRun(0), line, "acknowledged lead 3") == Then.STOP
    line.notify({"acknowledged": "lead"})
    assert act(FakeRun(0), line, "acknowledged lead 3") == Then.NEXT
    assert pages(line) == [(2.0, "lead")]  # type: ignore[arg-type]  # as above


def test_who_is_paged_answers_and_nobody_else() -> None:
    """The answer comes once there is a page; without one it ends when there is nothing more to wait for."""
    line = FakeLine({"page": "on-call"})
    assert not answer(FakeRun(0), line, "lead", until=lambda: True, seconds=3)  # type: ignore[arg-type]  # as above
    line.notify({"page": "lead"})
    assert answer(FakeRun(0), line, "lead", until=lambda: False, seconds=3)  # type: ignore[arg-type]  # as above
    assert line.bodies[-1] == {"acknowledged": "lead"}


def test_the_audit_log_tells_when_a_pool_got_its_size() -> None:
    """Entries of other pools, of other sizes, or without details do not count."""
    run = FakeRun(0)
    run.log = [
        {"when": "2026-11-25T10:00:02Z", "extra": json.dumps({"pool": "orders", "slots": 8, "pool_name": "orders"})},
        {"when": "2026-11-25T10:00:01Z", "extra": json.dumps({"slots": 8, "pool_name": "orders"})},
        {"when": "2026-11-25T10:00:03Z", "extra": json.dumps({"pool": "orders", "slots": 1})},
        {"when": "2026-11-25T10:00:04Z", "extra": json.dumps({"pool": "intake", "slots": 8})},
        {"when": "2026-11-25T10:00:05Z", "extra": None},
    ]
    found = resizes(run, "orders", 8, 1795600800.0)  # type: ignore[arg-type]  # as above
    assert [round(at % 60) for at in found] == [1, 2]
    assert run.asked["event"] == "patch_pool"
    assert run.asked["after"] == "2026-11-25T10:00:00+00:00"
    assert [size for _, size in sizes(run, "orders", 1795600800.0)] == [8, 8, 1]  # type: ignore[arg-type]  # as above


def test_who_is_on_call_is_paged_when_work_is_old_and_sees_it_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page goes out before the remedy, a look of a second between them."""
    ages, mended, line = [0.5, 2.5], [], FakeLine()
    run: Any = FakeRun(0)
    run.helper_records = lambda *_, **__: []
    run.helper_runs_over = lambda *_: bool(mended)
    monkeypatch.setattr("backpressure.airflow.response.oldest", lambda *_: ages.pop(0))
    monkeypatch.setattr("backpressure.airflow.response.time", SimpleNamespace(time=lambda: 7.0, sleep=mended.append))
    found = on_call(run, ["orders"], "incident", 2.0, line=line, mend=lambda: mended.append(list(line.bodies)))  # type: ignore[arg-type]  # as above
    assert found == [7.0, 7.0]
    assert mended == [1.0, [{"page": "on-call"}]]
