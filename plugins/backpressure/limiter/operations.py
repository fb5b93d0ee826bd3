"""The limiters' operations, by the names under which storages know them."""

import os

from backpressure.limiter import transitions
from backpressure.storage.protocol import Feature, Operation

__all__ = ["ADOPT", "FEATURE", "GCRA_TAKE", "RESET", "TAKE"]

FEATURE = Feature("limiter", version=1, folder=os.path.dirname(__file__), tables=("limiter", "limiter_start"))  # noqa: PTH120 - pathlib would cost every short process its import

GCRA_TAKE = Operation("gcra_take_1", FEATURE, transitions.gcra_take)
TAKE = Operation("limiter_take_1", FEATURE, transitions.take, many=True)
ADOPT = Operation("limiter_adopt_1", FEATURE, transitions.adopt)
RESET = Operation("limiter_reset_1", FEATURE, transitions.reset, many=True)
