"""What a lane can be told: names, units, ranges and defaults, and the check of every value."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from backpressure_lab.upstream.fields import FieldError, Rule, choice, flag, members, number

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY_KEY = "*"
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one key may send: ``limit`` requests per ``period`` seconds, and ``daily`` requests per day (UTC).

    ``window`` is "sliding" (in no window of one period more than the limit) or "fixed" (periods cut at multiples of the
    period since the epoch, so that up to twice the limit fits around a cut). None means no limit.
    """

    limit: int | None = None
    period: float = 1.0
    window: Literal["sliding", "fixed"] = "sliding"
    daily: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A lane's behaviour; the defaults are a healthy service of 200 requests a second.

    Attributes:
        capacity: requests served at once; None serves all at once, 0 none.
        service_time: seconds that serving one request takes.
        service_distribution: "constant", or "exponential" with service_time as its mean.
        queue_limit: requests that may wait for capacity; beyond it 503. None is without limit.
        slow: factor on service_time, for requests whose service starts while it is in force.
        outage: every request, waiting ones included, is refused with 503 at once.
        outage_first: seconds of outage that begin with the lane's first request, so that whoever calls meets it.
        retry_after: seconds to tell with a 503; None tells the estimated wait (in an outage, the time until the next
            scheduled change, or until outage_first is over), "recovery" always tells the time until the next scheduled
            change.
        retry_after_format: "seconds" or "date", the two forms of Retry-After in RFC 9110.
        error: share of requests that are served and answered with error_status.
        error_status: 500 to 599.
        drop: share of requests whose connection is closed without a reply.
        drop_first: so many first requests of each key are dropped, too.
        hang: share of requests that get no reply for hang_seconds.
        hang_first: so many first requests of each key hang, too.
        hang_seconds: how long a hanging request is held.
        hang_then: what follows: "drop" closes the connection, "answer" serves the request.
        fault_keys: keys that error, drop and hang are confined to; None is all keys.
        body_size: bytes of the reply's body; smaller than the plain reply changes nothing.
        link_rate: bytes a second that all bodies of this lane share; None is without limit.
        max_age: seconds for Cache-Control and Expires; None sends neither.
        revision: number that goes into every payload and its digest; another number is other data.
        quotas: key → Quota; the key "*" stands for every key that is not named.
        expires_after: seconds without a request or control after which the lane resets itself; None is never.
        seed: start of the random numbers behind "exponential".
    """

    capacity: int | None = 10
    service_time: float = 0.05
    service_distribution: Literal["constant", "exponential"] = "constant"
    queue_limit: int | None = 100
    slow: float = 1.0
    outage: bool = False
    outage_first: float = 0.0
    retry_after: float | Literal["recovery"] | None = None
    retry_after_format: Literal["seconds", "date"] = "seconds"
    error: float = 0.0
    error_status: int = 500
    drop: float = 0.0
    drop_first: int = 0
    hang: float = 0.0
    hang_first: int = 0
    hang_seconds: float = 30.0
    hang_then: Literal["drop", "answer"] = "drop"
    fault_keys: tuple[str, ...] | None = None
    body_size: int = 0
    link_rate: float | None = None
    max_age: int | None = None
    revision: int = 0
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    expires_after: float | None = 900.0
    seed: int = 0

    def quota(self, key: str) -> Quota | None:
        """Return the quota that holds for a key, if any."""
        return self.quotas.get(key) or self.quotas.get(ANY_KEY)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


def _keys(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not all(isinstance(key, str) for key in value):
        raise FieldError(name, value, "a list of keys, or null for all")
    return tuple(value)


def _quotas(name: str, value: Any) -> dict[str, Quota]:
    quotas = members(name, value, 'an object of key → {"limit", "period", "window", "daily"}')
    return {key: _quota(f"{name}.{key}", quota) for key, quota in quotas.items()}


def _quota(name: str, value: Any) -> Quota:
    parts = members(name, value, 'an object with "limit", "period", "window" and "daily", each optional')
    return Quota(**_checked(parts, _QUOTA_RULES, prefix=f"{name}."))


_QUOTA_RULES: dict[str, Rule] = {
    "limit": number(0, 100_000, None, whole=True),
    "period": number(0.001, 31 * _DAY, unit=" s"),
    "window": choice("sliding", "fixed"),
    "daily": number(0, 10_000_000, None, whole=True),
}

RULES: dict[str, Rule] = {
    "capacity": number(0, 10_000, None, whole=True),
    "service_time": number(0, 3600, unit=" s"),
    "service_distribution": choice("constant", "exponential"),
    "queue_limit": number(0, 100_000, None, whole=True),
    "slow": number(0.01, 1000),
    "outage": flag,
    "outage_first": number(0, 3600, unit=" s"),
    "retry_after": number(0, _DAY, None, "recovery", unit=" s"),
    "retry_after_format": choice("seconds", "date"),
    "error": number(0, 1),
    "error_status": number(500, 599, whole=True),
    "drop": number(0, 1),
    "drop_first": number(0, 1000, whole=True),
    "hang": number(0, 1),
    "hang_first": number(0, 1000, whole=True),
    "hang_seconds": number(0, 3600, unit=" s"),
    "hang_then": choice("drop", "answer"),
    "fault_keys": _keys,
    "body_size": number(0, 32_000_000, whole=True, unit=" bytes"),
    "link_rate": number(100, 10_000_000_000, None, unit=" bytes a second"),
    "max_age": number(0, 365 * _DAY, None, whole=True, unit=" s"),
    "revision": number(0, 2**31 - 1, whole=True),
    "quotas": _quotas,
    "expires_after": number(0.1, 7 * _DAY, None, unit=" s"),
    "seed": number(0, 2**31 - 1, whole=True),
}
assert RULES.keys() == {f.name for f in fields(Settings)}


def _checked(changes: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str = "") -> dict[str, Any]:
    for name, value in changes.items():
        if name not in rules:
            near = difflib.get_close_matches(str(name), rules, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise FieldError(f"{prefix}{name}", value, f"a known name: {', '.join(rules)}{hint}")
    return {name: rules[name](f"{prefix}{name}", value) for name, value in changes.items()}


def checked(changes: Any) -> dict[str, Any]:
    """Check settings given from outside and return them typed.

    Raises:
        FieldError: an unknown name, or a value of the wrong type or out of range.
    """
    return _checked(members("settings", changes, "an object of name → value"), RULES)


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return the settings with checked changes made."""
    return replace(settings, **changes)
