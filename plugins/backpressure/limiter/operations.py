"""The limiters' operations, by the names under which storages know them."""

import os

from backpressure.limiter import transitions
from backpressure.limiter.rate import HORIZON_NS
from backpressure.storage.protocol import Feature, Operation

__all__ = ["ADOPT", "FEATURE", "GCRA_TAKE", "RESET", "TAKE"]

FEATURE = Feature("limiter", version=1, folder=os.path.dirname(__file__), tables=("limiter", "limiter_start"))  # noqa: PTH120 - pathlib would cost every short process its import

_NOW = "greatest(l.seen, {schema}.now_ns())"
_TAKE_AT_ONCE = f"""
UPDATE {{schema}}.limiter l
SET tat = greatest(l.tat, {_NOW}) + $4::bigint * $3::bigint,
    seen = {_NOW},
    expires = greatest(l.tat, {_NOW}) + $4 * $3
WHERE l.key = $1 AND l.allowance IS NULL AND l.blocked_until <= {_NOW}
    AND l.seen - {{schema}}.now_ns() < 60000000000
    AND l.tat + ($4 - $2::bigint) * $3 <= {_NOW} + least($5::bigint, {HORIZON_NS})
RETURNING true, greatest(0, l.tat - $2 * $3 - l.seen), greatest(0, (l.seen + $2 * $3 - l.tat) / $3)
"""  # noqa: S608 - constants
"""GCRA in one update, for a row that is there, in which no server has a say, and that has the permit; and only if the
clock was not set back.

The clock is read after the row's present version was committed: either the statement's snapshot holds that version, or
PostgreSQL waits for it and evaluates everything again. Within one evaluation the readings follow one another, and a
later one never makes the permit larger.
"""

GCRA_TAKE = Operation("gcra_take_1", FEATURE, transitions.gcra_take, statement=_TAKE_AT_ONCE)
TAKE = Operation("limiter_take_1", FEATURE, transitions.take, many=True)
ADOPT = Operation("limiter_adopt_1", FEATURE, transitions.adopt)
RESET = Operation("limiter_reset_1", FEATURE, transitions.reset, many=True)
