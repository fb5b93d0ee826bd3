"""Rate limits that hold across every process: rates with burst, exact sliding windows, calendar quotas."""

from backpressure.limiter.decision import Decision, Permit
from backpressure.limiter.limiter import RateLimiter
from backpressure.limiter.rate import Quota, Rate, SlidingWindow
from backpressure.limiter.several import Choice, KeyRotation, MultiLimiter, all_of

__all__ = [
    "Choice",
    "Decision",
    "KeyRotation",
    "MultiLimiter",
    "Permit",
    "Quota",
    "Rate",
    "RateLimiter",
    "SlidingWindow",
    "all_of",
]
