"""The bulkhead's operations, by the names under which storages know them."""

import os

from backpressure.bulkhead import transitions
from backpressure.storage.protocol import Feature, Operation

__all__ = ["ACQUIRE", "COUNT", "FEATURE", "RELEASE", "RENEW"]

FEATURE = Feature(
    "bulkhead",
    version=1,
    folder=os.path.dirname(__file__),  # noqa: PTH120 - pathlib would cost every short process its import
    tables=("bulkhead", "bulkhead_entry", "bulkhead_tenant"),
)

ACQUIRE = Operation("bulkhead_acquire_1", FEATURE, transitions.acquire)
RENEW = Operation("bulkhead_renew_1", FEATURE, transitions.renew)
RELEASE = Operation("bulkhead_release_1", FEATURE, transitions.release)
COUNT = Operation("bulkhead_count_1", FEATURE, transitions.count)
