"""A lane's settings over time: schedules, temporary changes and their record."""

from __future__ import annotations

from typing import Any

import pytest

from backpressure_lab.upstream.fields import FieldError
from backpressure_lab.upstream.settings import Settings
from backpressure_lab.upstream.weather import MAX_ENTRIES, Weather

T0 = 1_000.0


def capacity_over_time(weather: Weather, *instants: float) -> list[int | None]:
    """Return the capacity in force at instants in order."""
    capacities = []
    for instant in instants:
        weather.advance(T0 + instant)
        capacities.append(weather.settings.capacity)
    return capacities


def test_scheduled_changes_take_effect_at_their_instants() -> None:
    """Each entry holds from its instant on, whatever their order in the request."""
    weather = Weather()
    weather.schedule([{"at": 8, "set": {"capacity": 6}}, {"at": 4, "set": {"capacity": 2}}], T0)
    assert capacity_over_time(weather, 3.9, 4.0, 7.9, 8.0) == [10, 2, 2, 6]


def test_a_temporary_change_shows_what_lies_beneath_when_it_ends() -> None:
    """What was set meanwhile on other fields stays, what was set before shows again."""
    weather = Weather()
    weather.configure({"capacity": 5}, T0)
    weather.schedule([{"at": 1, "set": {"capacity": 1, "queue_limit": 0}, "for": 3}], T0)
    assert capacity_over_time(weather, 1, 3.9) == [1, 1]
    assert weather.settings.queue_limit == 0
    assert capacity_over_time(weather, 4) == [5]
    assert weather.settings.queue_limit == Settings().queue_limit


def test_overlapping_temporary_changes_end_each_at_its_own_time() -> None:
    """The later one counts while both are in force, the earlier one after it."""
    weather = Weather()
    weather.schedule([{"at": 0, "set": {"capacity": 1}, "for": 10}, {"at": 2, "set": {"capacity": 2}, "for": 3}], T0)
    assert capacity_over_time(weather, 0, 2, 5, 10) == [1, 2, 1, 10]


def test_a_late_look_sees_the_same_as_a_timely_one() -> None:
    """Changes missed while nobody looked are made in order and recorded at their own instants."""
    weather = Weather()
    weather.schedule([{"at": 1, "set": {"outage": True}, "for": 2}, {"at": 4, "set": {"capacity": 3}}], T0)
    weather.advance(T0 + 60)
    assert [(change.at - T0, change.settings) for change in weather.changes] == [
        (1, {"outage": True}),
        (3, {"outage": False}),
        (4, {"capacity": 3}),
    ]


def test_the_next_change_is_known() -> None:
    """The next instant is the nearest of starts and ends, and None after the last."""
    weather = Weather()
    weather.schedule([{"at": 2, "set": {"outage": True}, "for": 3}, {"at": 4, "set": {"capacity": 3}}], T0)
    seen = []
    while (instant := weather.next_change()) is not None:
        seen.append(instant - T0)
        weather.advance(instant)
    assert seen == [2, 4, 5]


def test_a_new_schedule_replaces_the_old_one_and_ends_what_was_temporary() -> None:
    """Nothing of the former schedule comes later, and no fault of it stays."""
    weather = Weather()
    weather.schedule([{"at": 0, "set": {"outage": True}, "for": 9}, {"at": 5, "set": {"capacity": 1}}], T0)
    weather.advance(T0)
    assert weather.settings.outage
    weather.schedule([], T0 + 1)
    assert not weather.settings.outage
    assert capacity_over_time(weather, 20) == [10]


def test_setting_a_value_by_hand_overrides_a_temporary_one() -> None:
    """A change by hand takes effect at once and is not undone by the end of the temporary one."""
    weather = Weather()
    weather.schedule([{"at": 0, "set": {"capacity": 1, "slow": 3.0}, "for": 5}], T0)
    weather.advance(T0)
    weather.configure({"capacity": 7}, T0 + 1)
    assert capacity_over_time(weather, 1, 6) == [7, 7]
    assert weather.settings.slow == 1.0


def test_reset_returns_to_the_defaults_and_forgets_what_was_to_come() -> None:
    """After a reset nothing happens any more."""
    weather = Weather()
    weather.configure({"capacity": 1}, T0)
    weather.schedule([{"at": 0, "set": {"drop": 1}, "for": 5}, {"at": 3, "set": {"outage": True}}], T0)
    weather.advance(T0)
    weather.reset(T0 + 1)
    weather.advance(T0 + 60)
    assert weather.settings == Settings()
    assert weather.next_change() is None


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ("soon", "schedule"),
        ({"at": 1}, "schedule"),
        ([7], "schedule[0]"),
        ([{"at": 1}], "schedule[0]"),
        ([{"at": 1, "set": {}, "until": 3}], "schedule[0]"),
        ([{"at": 1, "set": {}}, {"at": -1, "set": {}}], "schedule[1].at"),
        ([{"at": float("nan"), "set": {}}], "schedule[0].at"),
        ([{"at": 1, "set": {}, "for": 0}], "schedule[0].for"),
        ([{"at": 1, "set": {"capacity": -1}}], "schedule[0].set.capacity"),
        ([{"at": 1, "set": {"capcity": 1}}], "schedule[0].set.capcity"),
        ([{"at": 1, "set": {}}] * (MAX_ENTRIES + 1), "schedule"),
    ],
)
def test_a_bad_schedule_is_refused_whole(entries: Any, field: str) -> None:
    """The error names the entry, and what was scheduled before stays."""
    weather = Weather()
    weather.schedule([{"at": 2, "set": {"capacity": 2}}], T0)
    with pytest.raises(FieldError) as caught:
        weather.schedule(entries, T0)
    assert caught.value.field == field
    assert capacity_over_time(weather, 3) == [2]
