"""Series in memory: what the values mean, windows, and the bounds."""

from __future__ import annotations

import math

import pytest

from backpressure_lab.metrics.parser import parse_packet
from backpressure_lab.metrics.store import MAX_MEMBERS, Series, Store


def receive(store: Store, *packets: str, start: float = 0.0) -> Store:
    """Receive packets, one a second."""
    for n, packet in enumerate(packets):
        for sample in parse_packet(packet.encode()).samples:
            store.add(sample, start + n)
    return store


def only(store: Store, name: str) -> Series:
    """Return the one series of this name."""
    (series,) = store.select(name)
    return series


def values(store: Store, name: str, since: float = -math.inf, until: float = math.inf) -> list[float]:
    """Return the values of the one series of this name."""
    window: list[float] = only(store, name).window(since, until)["value"]
    return window


def test_a_counter_keeps_its_running_total() -> None:
    """So a count over any window is a difference, whatever was forgotten before."""
    store = receive(Store(), "a:1|c", "a:2|c|@0.5", "a:1|c\na:1|c")
    assert values(store, "a") == [1, 5, 6, 7]


def test_a_gauge_is_set_and_moved() -> None:
    """An unsigned value sets it, a signed one moves it."""
    assert values(receive(Store(), "a:5|g", "a:+2|g", "a:-4|g", "a:1|g"), "a") == [5, 7, 3, 1]


def test_a_negative_gauge_is_one_point() -> None:
    """The zero that clients send before a negative value in the same packet was never the gauge's value."""
    assert values(receive(Store(), "a:5|g", "a:0|g\na:-1|g"), "a") == [5, -1]


def test_timers_keep_their_samples_and_sets_their_size() -> None:
    """Each sample is a point; a set's point is the number of distinct members so far."""
    store = receive(Store(), "t:3:4|ms", "s:x|s", "s:y|s", "s:x|s")
    assert values(store, "t") == [3, 4]
    assert values(store, "s") == [1, 2, 2]


def test_tags_and_kinds_part_series() -> None:
    """The same name with other tags, or of another kind, is another series; the order of tags does not matter."""
    store = receive(Store(), "a:1|g|#x:1,y:2", "a:2|g|#y:2,x:1", "a:3|g|#x:2", "a:4|c")
    assert [(series.kind, dict(series.tags), len(series)) for series in store.select("a")] == [
        ("gauge", {"x": "1", "y": "2"}, 2),
        ("gauge", {"x": "2"}, 1),
        ("counter", {}, 1),
    ]


def test_names_are_selected_exactly_or_by_pattern() -> None:
    """A glob pattern matches whole names; a dot means a dot."""
    store = receive(Store(), "pool.open.a:1|g", "pool.open.b:1|g", "poolXopen.a:1|g")
    assert [series.name for series in store.select("pool.open.a")] == ["pool.open.a"]
    assert [series.name for series in store.select(match="pool.open.*")] == ["pool.open.a", "pool.open.b"]
    assert len(list(store.select())) == 3


def test_a_window_is_half_open_and_knows_the_value_before_it() -> None:
    """What was received at the end is outside; the value in force at the start is told."""
    series = only(receive(Store(), *(f"a:{n}|g" for n in range(10))), "a")
    window = series.window(3.0, 6.0)
    assert (window["at"], window["value"], window["before"]) == ([3, 4, 5], [3, 4, 5], 2)
    assert series.window(-1.0, 0.5)["before"] is None
    assert series.window(3.0, 6.0)["complete"]


def test_a_long_series_forgets_its_past_and_says_so() -> None:
    """The newest points stay, and a window that reaches into the forgotten is marked."""
    store = receive(Store(max_points=100), *(f"a:{n}|g" for n in range(1000)))
    series = only(store, "a")
    assert 75 <= len(series) <= 100
    assert store.points == len(series)
    kept = series.window(-math.inf, math.inf)
    assert kept["value"][-1] == 999
    assert not kept["complete"]
    assert series.window(kept["at"][0], math.inf)["complete"]
    assert not series.window(kept["at"][0] - 1, math.inf)["complete"]


def test_too_many_series_displace_those_not_heard_of_for_longest() -> None:
    """A name that keeps coming stays, one that fell silent goes."""
    store = Store(max_series=10)
    for n in range(50):
        receive(store, f"steady:1|c\nname{n}:1|c", start=float(n))
    assert len(store) == 10
    assert store.evicted == 41
    assert len(only(store, "steady")) == 50


def test_points_are_bounded_altogether() -> None:
    """Many middling series cannot add up without end."""
    store = Store(max_total=500)
    for n in range(100):
        receive(store, *(f"name{n}:1|c" for _ in range(20)), start=100.0 * n)
    assert store.points <= 500
    assert store.points == sum(len(series) for series in store.select())


def test_a_set_stops_counting_at_its_bound() -> None:
    """Members beyond the bound are not kept."""
    series = Series("s", (), "set")
    for n in range(MAX_MEMBERS + 5):
        (sample,) = parse_packet(f"s:{n}|s".encode()).samples
        series.add(sample, float(n))
    assert series.summary()["value"] == pytest.approx(MAX_MEMBERS)
