"""Concurrency limits that hold across every process, by leases."""

from backpressure.bulkhead.bulkhead import Bulkhead
from backpressure.bulkhead.lease import Lease

__all__ = ["Bulkhead", "Lease"]
