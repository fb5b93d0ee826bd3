"""What servers say about their limits, in all the ways in which they say it."""

from __future__ import annotations

import pytest
from backpressure.limiter.headers import ServerLimit, read
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_900_000_000.0


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Retry-After": "120"}, ServerLimit(retry_after=120.0)),
        ({"retry-after": " 0.5 "}, ServerLimit(retry_after=0.5)),
        ({"RETRY-AFTER": "Sun, 17 Mar 2030 17:47:40 GMT"}, ServerLimit(retry_after=60.0)),
        ({"Retry-After": "Sunday, 17-Mar-30 17:47:40 GMT"}, ServerLimit(retry_after=60.0)),
        ({"Retry-After": "Sun Mar 17 17:47:40 2030"}, ServerLimit(retry_after=60.0)),
        ({"Retry-After": "2030-03-17T17:47:40Z"}, ServerLimit(retry_after=60.0)),
        ({"Retry-After": "Sun, 17 Mar 2030 17:00:00 GMT"}, ServerLimit(retry_after=0.0)),
        ({"RateLimit": '"default";r=50;t=30'}, ServerLimit(remaining=50, reset=30.0)),
        ({"RateLimit": '"a";r=50;t=30, "b";r=3;t=3600'}, ServerLimit(remaining=3, reset=3600.0)),
        ({"RateLimit": '"default";r=0'}, ServerLimit(remaining=0)),
        (
            {"RateLimit": '"d";r=5;t=30', "RateLimit-Policy": '"d";q=100;w=60'},
            ServerLimit(remaining=5, reset=30.0, quota=100, window=60.0),
        ),
        ({"RateLimit-Policy": '"d";q=100;w=60;pk=:Y2Ru:'}, ServerLimit(quota=100, window=60.0)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, ServerLimit(remaining=50, reset=5.0, quota=100)),
        (
            {"RateLimit-Limit": "100, 100;w=10", "RateLimit-Remaining": "7", "RateLimit-Reset": "4"},
            ServerLimit(remaining=7, reset=4.0, quota=100),
        ),
        (
            {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1900000090"},
            ServerLimit(remaining=0, reset=90.0, quota=60),
        ),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1900000090000"}, ServerLimit(remaining=1, reset=90.0)),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1899999990"}, ServerLimit(remaining=1, reset=0.0)),
        (
            {"X-Rate-Limit-Remaining": "1", "X-Rate-Limit-Reset": "2030-03-17T17:47:40+00:00"},
            ServerLimit(remaining=1, reset=60.0),
        ),
        (
            {"X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "5", "Retry-After": "3"},
            ServerLimit(retry_after=3.0, remaining=10, reset=5.0),
        ),
    ],
)
def test_what_is_said_is_read(headers: dict[str, str], said: ServerLimit) -> None:
    """Seconds, points in time and dates, in every spelling in use."""
    assert read(headers, NOW) == said


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/html"},
        {"Retry-After": ""},
        {"Retry-After": "-5"},
        {"Retry-After": "soon"},
        {"Retry-After": "nan"},
        {"Retry-After": "inf"},
        {"Retry-After": "1e3"},
        {"Retry-After": "٣"},
        {"Retry-After": "9" * 400},
        {"Retry-After": "99999999999"},
        {"Retry-After": "Fri, 99 Foo 2030 17:46:40 GMT"},
        {"RateLimit": ""},
        {"RateLimit": '"default"'},
        {"RateLimit": '"default";r=many;t=30'},
        {"RateLimit": '"default";r=-1;t=30'},
        {"RateLimit-Policy": "100;w"},
        {"X-RateLimit-Remaining": "-1"},
        {"X-RateLimit-Remaining": "none"},
        {"X-RateLimit-Limit": "60"},
    ],
)
def test_garbage_says_nothing(headers: dict[str, str]) -> None:
    """What can't be read is passed over."""
    assert read(headers, NOW) is None


def test_dates_are_compared_with_the_servers_own_clock() -> None:
    """With a `Date` header the client's clock does not matter, however wrong it is."""
    headers = {"Date": "Sun, 17 Mar 2030 17:46:40 GMT", "Retry-After": "Sun, 17 Mar 2030 17:47:10 GMT"}
    for now in (NOW, NOW - 5, NOW + 5, 0.0):
        assert read(headers, now) == ServerLimit(retry_after=30.0)
    headers = {"Date": "Sun, 17 Mar 2030 17:46:40 GMT", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1900000030"}
    assert read(headers, NOW - 3600) == ServerLimit(remaining=0, reset=30.0)


NAMES = ["Retry-After", "RateLimit", "RateLimit-Policy", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Date"]
fragments = st.sampled_from(
    ['"a"', ";r=", ";t=", ";q=", "0", "9", "-", ".", ",", " ", "GMT", "Mar", "1900000000", "=", "e9"]
)
values = st.one_of(st.text(max_size=30), st.lists(fragments, max_size=10).map("".join))


@given(st.dictionaries(st.sampled_from(NAMES), values))
def test_no_header_does_harm(headers: dict[str, str]) -> None:
    """Whatever a server sends, the reader raises nothing and says nothing absurd."""
    said = read(headers, NOW)
    if said is not None:
        for seconds in (said.retry_after, said.reset, said.window):
            assert seconds is None or 0 <= seconds <= 366 * 86400
        for number in (said.remaining, said.quota):
            assert number is None or 0 <= number <= 10**15
