"""Counting within a sliding window, bounded in memory. Pure functions.

Failures are counted exactly: whether `k` failures lie within the window depends on the latest `k` alone. Likewise the
quorum: whether `q` distinct hosts failed within the window depends on the `q` hosts that failed last. The rates need
all calls and are counted in slices: a call older than the window never counts, one younger than the window less one
slice always does.
"""

from backpressure.breaker.settings import RecordRules
from backpressure.breaker.state import Bucket, HostFailure

SLICES = 20
"""Slices that a window is counted in; a rate is judged over 19 to 20 twentieths of the window."""


def add_failure(failures: tuple[int, ...], now: int, threshold: int) -> tuple[int, ...]:
    """The latest `threshold` failures, after one more at the instant `now`."""
    return (*failures, now)[-threshold:]


def count_failures(failures: tuple[int, ...], now: int, window_ns: int) -> int:
    """How many of the failures lie within the window: later than `now - window_ns`."""
    return sum(1 for at in failures if at > now - window_ns)


def add_host(hosts: tuple[HostFailure, ...], host: str, now: int, quorum: int) -> tuple[HostFailure, ...]:
    """The `quorum` hosts that failed last, latest first, after one more failure of `host`."""
    others = tuple(entry for entry in hosts if entry.host != host)
    return (HostFailure(host, now), *others)[:quorum]


def count_hosts(hosts: tuple[HostFailure, ...], now: int, window_ns: int) -> int:
    """How many of the hosts failed within the window."""
    return sum(1 for entry in hosts if entry.at > now - window_ns)


def add_call(buckets: tuple[Bucket, ...], now: int, window_ns: int, *, failed: bool, slow: bool) -> tuple[Bucket, ...]:
    """The calls of the window by slices, after one more that ended at the instant `now`."""
    width = max(1, window_ns // SLICES)
    start = now - now % width
    if buckets and buckets[-1].start == start:
        last = buckets[-1]
        return (*buckets[:-1], Bucket(start, last.calls + 1, last.failures + failed, last.slow + slow))
    kept = tuple(bucket for bucket in buckets if bucket.start > now - window_ns)
    return (*kept, Bucket(start, 1, int(failed), int(slow)))


def rates(buckets: tuple[Bucket, ...], now: int, window_ns: int) -> tuple[int, float, float]:
    """The calls within the window, the share that failed and the share that was slow."""
    recent = [bucket for bucket in buckets if bucket.start > now - window_ns]
    calls = sum(bucket.calls for bucket in recent)
    if not calls:
        return 0, 0.0, 0.0
    return calls, sum(b.failures for b in recent) / calls, sum(b.slow for b in recent) / calls


def open_ns(rules: RecordRules, openings: int, random: float) -> int:
    """How long the `openings`-th opening in a row lasts; `random` is uniform from 0 up to 1."""
    grown = rules.open_for_ns * rules.growth ** min(openings - 1, 64)
    return round(min(grown, float(rules.limit_ns)) * (1 + rules.jitter * random))
