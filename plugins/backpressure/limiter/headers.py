"""What a server says about its limits, read from response headers. What can't be read is passed over.

Read are `Retry-After` (RFC 9110: seconds or a date), `RateLimit` and `RateLimit-Policy` (the IETF's
draft-ietf-httpapi-ratelimit-headers: structured fields, and the draft's older forms), and `X-RateLimit-Limit`,
`-Remaining`, `-Reset` in the spellings in use: a number of seconds, a Unix time in seconds or milliseconds, or a date.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ServerLimit", "read"]

LONGEST_WAIT = 366 * 86400.0
"""A longer wait is taken for garbage."""
EARLIEST_UNIX_TIME = 1e9
"""A reset above this is a point in time (2001 or later), below it a number of seconds (31 years)."""
EARLIEST_UNIX_MILLISECONDS = 1e12

_PREFIXES = ("ratelimit", "x-ratelimit", "x-rate-limit")
_PARAMETER = re.compile(r";\s*([a-z*][a-z0-9_.*-]*)\s*=\s*(-?\d+(?:\.\d+)?)")
_PAIR = re.compile(r"(?:^|[,;])\s*(limit|remaining|reset)\s*=\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


class ServerLimit(NamedTuple):
    """What a server said, as far as it did. Times are seconds from the response on.

    Attributes:
        retry_after: it asks for no call before.
        remaining: calls that it still takes until `reset`.
        reset: when it will take more again.
        quota: calls that it takes in each `window`.
        window: length of its period.
    """

    retry_after: float | None = None
    remaining: int | None = None
    reset: float | None = None
    quota: int | None = None
    window: float | None = None


def read(headers: Mapping[str, str], now: float) -> ServerLimit | None:
    """Read a response's headers; None when they say nothing.

    Args:
        headers: names in any case.
        now: the client's time in seconds since 1970-01-01 UTC. Used for dates only, and only when the response has no
            `Date` header: with it, the server's dates are compared with the server's own clock.
    """
    fields = {str(name).lower(): str(value).strip() for name, value in headers.items()}
    server_now = _date(fields.get("date", ""))
    present = now if server_now is None else server_now
    retry_after = _retry_after(fields.get("retry-after", ""), present)
    said = [limit for limit in (_structured(fields), _paired(fields), *_separate(fields, present)) if limit]
    # Several limits at once: the one that runs out first.
    tightest = min(said, key=_tightness, default=ServerLimit())
    quota, window = _policy(fields.get("ratelimit-policy", ""))
    found = tightest._replace(
        retry_after=retry_after,
        quota=tightest.quota if quota is None else quota,
        window=window,
    )
    return None if found == ServerLimit() else found


def _retry_after(text: str, now: float) -> float | None:
    seconds = _number(text)
    if seconds is None:
        date = _date(text)
        seconds = None if date is None else max(0.0, date - now)
    return _plausible(seconds)


def _structured(fields: Mapping[str, str]) -> ServerLimit | None:
    """`RateLimit: "default";r=50;t=30`, of several items the tightest."""
    items = []
    for item in fields.get("ratelimit", "").split(","):
        parameters = dict(_PARAMETER.findall(item))
        if "r" in parameters:
            remaining = _count(parameters["r"])
            if remaining is not None:
                items.append(ServerLimit(remaining=remaining, reset=_plausible(_number(parameters.get("t", "")))))
    return min(items, key=_tightness, default=None)


def _paired(fields: Mapping[str, str]) -> ServerLimit | None:
    """`RateLimit: limit=100, remaining=50, reset=30`, as an older draft had it."""
    pairs = {name.lower(): value for name, value in _PAIR.findall(fields.get("ratelimit", ""))}
    remaining = _count(pairs.get("remaining", ""))
    if remaining is None:
        return None
    return ServerLimit(
        remaining=remaining, reset=_plausible(_number(pairs.get("reset", ""))), quota=_count(pairs.get("limit", ""))
    )


def _separate(fields: Mapping[str, str], now: float) -> list[ServerLimit]:
    """`X-RateLimit-Remaining: 50` and its like."""
    found = []
    for prefix in _PREFIXES:
        remaining = _count(fields.get(f"{prefix}-remaining", ""))
        if remaining is not None:
            reset = _reset(fields.get(f"{prefix}-reset", ""), now)
            found.append(ServerLimit(remaining=remaining, reset=reset, quota=_count(fields.get(f"{prefix}-limit", ""))))
    return found


def _reset(text: str, now: float) -> float | None:
    seconds = _number(text)
    if seconds is None:
        seconds = _date(text)
    if seconds is None:
        return None
    if seconds >= EARLIEST_UNIX_MILLISECONDS:
        seconds /= 1000
    return _plausible(max(0.0, seconds - now) if seconds >= EARLIEST_UNIX_TIME else seconds)


def _policy(text: str) -> tuple[int | None, float | None]:
    """`RateLimit-Policy: "default";q=100;w=60`; of several policies the first."""
    parameters = dict(_PARAMETER.findall(text.partition(",")[0]))
    return _count(parameters.get("q", "")), _plausible(_number(parameters.get("w", "")))


def _tightness(limit: ServerLimit) -> tuple[int, float]:
    return limit.remaining or 0, -(limit.reset or 0.0)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"\d{1,20}(\.\d{1,20})?", text, re.ASCII):
        return None
    return float(text)


def _count(text: str) -> int | None:
    # Some servers list several windows: "50, 50;w=1".
    number = _number(re.split("[,;]", text, maxsplit=1)[0].strip())
    return int(number) if number is not None and number <= 10**15 else None


def _date(text: str) -> float | None:
    from datetime import UTC, datetime  # noqa: PLC0415 - rare, and slow to import
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - the same

    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _plausible(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) and 0 <= seconds <= LONGEST_WAIT else None
