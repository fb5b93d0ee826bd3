"""The log of requests: complete, in order, paged, and bounded without one lane displacing another."""

from __future__ import annotations

from backpressure_lab.upstream import journal
from backpressure_lab.upstream.journal import COLUMNS, Journal


def fill(log: Journal, lane: str, count: int, start: float = 0.0, key: str = "k") -> None:
    """Add finished requests, one a second."""
    for n in range(count):
        lane_log, number = log.open(lane, key, "p", f"r{n}", start + n)
        lane_log.start(number, start + n + 0.25)
        lane_log.close(number, start + n + 0.5, 200, None, 10)


def test_a_request_is_seen_at_every_stage() -> None:
    """Waiting, serving and finished rows differ in status and in what is known."""
    log = Journal()
    lane, number = log.open("l", "k", "a/b", None, 1.0)
    stages = [log.read(lane="l")["columns"]]
    lane.start(number, 2.0)
    stages.append(log.read(lane="l")["columns"])
    lane.close(number, 3.0, 503, 4.0, 17)
    stages.append(log.read(lane="l")["columns"])
    assert [stage["status"] for stage in stages] == [["waiting"], ["serving"], [503]]
    assert [stage["start"] for stage in stages] == [[None], [2.0], [2.0]]
    assert stages[0]["finish"] == [None]
    assert {name: stages[2][name][0] for name in COLUMNS} == {
        "id": 1, "lane": "l", "key": "k", "path": "a/b", "request_id": None, "arrival": 1.0, "start": 2.0,
        "finish": 3.0, "status": 503, "retry_after": 4.0, "bytes": 17,
    }  # fmt: skip


def test_requests_without_an_answer_have_words_for_it() -> None:
    """Dropped, hung and disconnected are told apart from any HTTP status."""
    log = Journal()
    for status in (journal.DROPPED, journal.HUNG, journal.DISCONNECTED):
        lane, number = log.open("l", "k", "", None, 1.0)
        lane.close(number, 2.0, status, None, 0)
    assert log.read()["columns"]["status"] == ["dropped", "hung", "disconnected"]


def test_a_read_selects_by_lane_key_and_half_open_window() -> None:
    """The window includes its start and not its end."""
    log = Journal()
    fill(log, "a", 10, key="x")
    fill(log, "b", 10, key="y")
    page = log.read(lane="a", since=2.0, until=5.0)
    assert page["columns"]["arrival"] == [2.0, 3.0, 4.0]
    assert log.read(lane="a", key="y")["columns"]["id"] == []
    assert len(log.read(key="y")["columns"]["id"]) == 10
    assert log.read(lane="never seen") == {
        "columns": {name: [] for name in COLUMNS},
        "next": None,
        "complete": True,
    }


def test_pages_make_up_the_whole() -> None:
    """Reading page by page returns every request once, over all lanes, in order of arrival."""
    log = Journal()
    for n in range(25):
        fill(log, "ab"[n % 2], 1, start=float(n))
    ids, after = [], 0
    while after is not None:
        page = log.read(after=after, limit=5)
        assert len(page["columns"]["id"]) <= 5
        ids += page["columns"]["id"]
        after = page["next"]
    assert ids == list(range(1, 26))


def test_a_full_log_forgets_the_largest_lanes_past_and_says_so() -> None:
    """A flood displaces its own oldest requests, not those of a quiet lane."""
    log = Journal(limit=1000)
    fill(log, "quiet", 50)
    fill(log, "flood", 5000, start=100.0)
    assert len(log) <= 1000
    quiet = log.read(lane="quiet")
    assert len(quiet["columns"]["id"]) == 50
    assert quiet["complete"]
    flood = log.read(lane="flood")
    kept = flood["columns"]["arrival"]
    assert not flood["complete"]
    assert kept[-1] == 5099.0
    assert kept == sorted(kept)
    assert log.read(lane="flood", since=kept[0])["complete"]
    assert not log.read(lane="flood", since=kept[0] - 1)["complete"]


def test_the_end_of_a_forgotten_request_changes_no_other() -> None:
    """A request that outlived its row leaves the others as they are."""
    log = Journal(limit=100)
    lane, number = log.open("l", "slow", "", None, 0.0)
    fill(log, "l", 200, start=1.0)
    before = log.read(lane="l", limit=1000)["columns"]
    lane.start(number, 500.0)
    lane.close(number, 501.0, 500, None, 0)
    assert log.read(lane="l", limit=1000)["columns"] == before


def test_a_forgotten_lane_is_not_taken_for_a_quiet_one() -> None:
    """Asking for a lane that was forgotten is answered as incomplete, but for the time after it."""
    log = Journal()
    fill(log, "gone", 3)
    log.forget_lane("gone")
    assert len(log) == 0
    assert not log.read(lane="gone")["complete"]
    assert log.read(lane="gone", since=2.5)["complete"]
