"""What an exception says about trying again: whether it is worth it, and when the other side wants it.

Knows the project's own refusals and whatever carries an HTTP response in the way of httpx, requests, aiohttp or urllib;
none of them is imported.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may go away by themselves; other 4xx and 5xx will be the same next time."""

MAX_RETRY_AFTER = 7 * 86400.0
"""Longest Retry-After in seconds that is believed."""


def is_transient(exception: BaseException) -> bool:
    """Whether the same call may succeed later; False only when the exception carries an HTTP status that says no."""
    status = http_status(exception)
    return status is None or status < 400 or status in TRANSIENT_STATUS  # noqa: PLR2004 - where HTTP's errors begin


def http_status(exception: BaseException) -> int | None:
    """The HTTP status that an exception, or the one it was raised from, carries; None when there is none."""
    for link in _chain(exception):
        response = getattr(link, "response", None)
        candidates = (
            getattr(response, "status_code", None),
            getattr(response, "status", None),
            getattr(link, "status_code", None),
            getattr(link, "status", None),
            getattr(link, "code", None) if hasattr(link, "headers") else None,
        )
        for status in candidates:
            if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:  # noqa: PLR2004 - HTTP
                return int(status)
    return None


def retry_after(exception: BaseException, now: datetime | None = None) -> float | None:
    """Seconds after which the other side wants to be asked again; None when it does not say.

    Taken from a `retry_after` attribute in seconds (RateLimitedError, CircuitOpenError) or from the Retry-After header.

    Args:
        exception: What was raised; its causes are looked at, too.
        now: The present instant for headers that give a date while the response has no Date of its own.
    """
    for link in _chain(exception):
        seconds = getattr(link, "retry_after", None)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return _believable(float(seconds))
        headers = _headers(link)
        if headers is not None:
            value = _header(headers, "Retry-After")
            if value is not None:
                return parse_retry_after(value, _date(_header(headers, "Date")) or now)
    return None


def parse_retry_after(value: str, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110: whole seconds or a date); None for anything else.

    Args:
        value: The header's value.
        now: What a date is relative to; None means this machine's clock. Pass the response's own Date, so that a skewed
            clock does not matter.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return _believable(float(text))
    date = _date(text)
    if date is None:
        return None
    return _believable((date - (now or datetime.now(tz=UTC))).total_seconds())


def _chain(exception: BaseException) -> list[BaseException]:
    """The exception and those it was explicitly raised from."""
    links: list[BaseException] = []
    link: BaseException | None = exception
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__
    return links


def _headers(exception: BaseException) -> Mapping[str, Any] | None:
    for holder in (getattr(exception, "response", None), exception):
        headers = getattr(holder, "headers", None)
        if headers is not None and hasattr(headers, "get"):
            return headers  # type: ignore[no-any-return]  # a foreign class: only its `get` and `items` are used
    return None


def _header(headers: Mapping[str, Any], name: str) -> str | None:
    value = headers.get(name)
    if value is None:
        value = headers.get(name.lower())
    return value if isinstance(value, str) else None


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def _believable(seconds: float) -> float | None:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
