"""A lane's settings: every bad value is refused by name, value and range."""

from __future__ import annotations

import math

import pytest

from backpressure_lab.upstream.fields import FieldError
from backpressure_lab.upstream.settings import RULES, Quota, Settings, changed, checked


@pytest.mark.parametrize(
    ("field", "value", "range_words"),
    [
        ("capacity", -1, "0 to 10000 or null"),
        ("capacity", 2.5, "a whole number"),
        ("capacity", True, "a whole number"),
        ("capacity", "3", "a whole number"),
        ("service_time", math.nan, "0 to 3600 s"),
        ("service_time", math.inf, "0 to 3600 s"),
        ("service_time", -0.001, "0 to 3600 s"),
        ("slow", 0, "0.01 to 1000"),
        ("outage", 1, "true or false"),
        ("outage", None, "true or false"),
        ("drop", 1.01, "0 to 1"),
        ("hang", -0.1, "0 to 1"),
        ("hang_then", "explode", '"drop" or "answer"'),
        ("retry_after", "soon", '"recovery"'),
        ("link_rate", 0, "bytes a second or null"),
        ("body_size", 10**12, "0 to 32000000 bytes"),
        ("fault_keys", "a", "a list of keys"),
        ("fault_keys", [1], "a list of keys"),
        ("error_status", 404, "500 to 599"),
        ("quotas", [], "an object of key"),
        ("expires_after", 0, "0.1 to 604800 s"),
    ],
)
def test_a_bad_value_is_refused_by_name_value_and_range(field: str, value: object, range_words: str) -> None:
    """The error names the field, repeats the value and says what would be accepted."""
    with pytest.raises(FieldError) as caught:
        checked({field: value})
    assert caught.value.field == field
    assert caught.value.value is value
    assert range_words in caught.value.expected
    assert repr(value)[:50] in str(caught.value)


@pytest.mark.parametrize(
    ("quota", "field"),
    [
        ({"limit": -1}, "quotas.a.limit"),
        ({"period": math.nan}, "quotas.a.period"),
        ({"window": "rolling"}, "quotas.a.window"),
        ({"burst": 3}, "quotas.a.burst"),
        (5, "quotas.a"),
    ],
)
def test_a_bad_quota_is_refused_with_the_path_to_it(quota: object, field: str) -> None:
    """A nested error names the key and the member."""
    with pytest.raises(FieldError) as caught:
        checked({"quotas": {"a": quota}})
    assert caught.value.field == field


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    """A misspelled setting is not ignored."""
    with pytest.raises(FieldError, match="did you mean capacity"):
        checked({"capcity": 3})


@pytest.mark.parametrize("settings", [None, [], "capacity", 7])
def test_settings_must_be_an_object(settings: object) -> None:
    """A body of another JSON type is refused."""
    with pytest.raises(FieldError, match="an object of name"):
        checked(settings)


def test_the_defaults_obey_their_own_rules() -> None:
    """Every default would be accepted from outside, and comes back unchanged."""
    assert checked(Settings().to_json()) == Settings().to_json()
    assert RULES.keys() == Settings().to_json().keys()


def test_settings_survive_the_way_through_json() -> None:
    """What is shown can be set again."""
    settings = changed(Settings(), checked({"quotas": {"a": {"limit": 4, "daily": 30}}, "fault_keys": ["x"]}))
    assert settings.quotas == {"a": Quota(limit=4, daily=30)}
    assert changed(Settings(), checked(settings.to_json())) == settings


def test_the_star_is_the_quota_of_every_key_that_is_not_named() -> None:
    """A named key has its own quota, the others share the rule of "*", each with its own count."""
    settings = changed(Settings(), checked({"quotas": {"a": {"limit": 1}, "*": {"limit": 2}}}))
    assert settings.quota("a") == Quota(limit=1)
    assert settings.quota("b") == Quota(limit=2)
    assert Settings().quota("b") is None
