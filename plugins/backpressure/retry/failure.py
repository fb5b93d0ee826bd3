"""What an exception says about trying again: whether it is worth it, and when the other side wants it.

Knows the project's own refusals and whatever carries an HTTP response in the way of httpx, requests, aiohttp or urllib;
none of them is imported.
"""

import math
import time
from collections.abc import Mapping
from typing import Any

from backpressure.limiter.headers import read

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may go away by themselves; other 4xx and 5xx will be the same next time."""


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


def retry_after(exception: BaseException, now: float | None = None) -> float | None:
    """Seconds after which the other side wants to be asked again; None when it does not say.

    Taken from a `retry_after` attribute in seconds (RateLimitedError, CircuitOpenError) or from the response's headers.

    Args:
        exception: What was raised; its causes are looked at, too.
        now: The present instant in seconds since 1970 for headers that give a date while the response has no Date of
            its own; None means this machine's clock.
    """
    for link in _chain(exception):
        seconds = getattr(link, "retry_after", None)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return max(0.0, float(seconds)) if math.isfinite(seconds) else None
        headers = _headers(link)
        if headers is not None:
            said = read(headers, time.time() if now is None else now)
            if said is not None and said.retry_after is not None:
                return said.retry_after
    return None


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
        if headers is not None and hasattr(headers, "items"):
            return headers  # type: ignore[no-any-return]  # a foreign class: only its `items` is used
    return None
