"""Retries that do not make it worse: siblings that part, a shared budget, and the other side's own word."""

from backpressure.retry.backoff import Backoff, seeded
from backpressure.retry.budget import BudgetDecision, RetryBudget
from backpressure.retry.calling import Retry, retry, retry_async
from backpressure.retry.failure import http_status, is_transient, retry_after

__all__ = [
    "Backoff",
    "BudgetDecision",
    "Retry",
    "RetryBudget",
    "http_status",
    "is_transient",
    "retry",
    "retry_after",
    "retry_async",
    "seeded",
]
