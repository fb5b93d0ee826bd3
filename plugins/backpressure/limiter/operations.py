"""The limiters' operations, by the names under which storages know them."""

import os
from typing import Any

from backpressure.limiter import transitions
from backpressure.limiter.rate import HORIZON_NS
from backpressure.storage.protocol import Feature, Operation, Result, Shortcut

__all__ = ["ADOPT", "FEATURE", "GCRA_TAKE", "RESET", "TAKE"]

FEATURE = Feature("limiter", version=1, folder=os.path.dirname(__file__), tables=("limiter", "limiter_start"))  # noqa: PTH120 - pathlib would cost every short process its import

_TAKE_AT_ONCE = f"""
UPDATE {{schema}}.limiter l
SET tat = greatest(l.tat, l.seen, {{schema}}.now_ns()) + {{2}}::bigint * {{1}}::bigint,
    seen = greatest(l.seen, {{schema}}.now_ns()),
    expires = greatest(l.tat, l.seen, {{schema}}.now_ns()) + {{2}}::bigint * {{1}}::bigint
WHERE l.key = $1 AND l.allowance IS NULL AND greatest(
    l.blocked_until,
    l.tat + ({{2}}::bigint - {{0}}::bigint) * {{1}}::bigint - least({{3}}::bigint, {HORIZON_NS}),
    l.seen - 59999999999
) <= {{schema}}.now_ns()
RETURNING l.seen + {{0}}::bigint * {{1}}::bigint - l.tat
"""  # noqa: S608 - constants
"""GCRA in one update, for a row that is there, in which no server has a say, and that has the permit; and only if the
clock was not set back. The arguments are burst, interval, cost and longest wait; it returns how far the bucket is from
empty afterwards, negative when the permit is for later.

The clock is read after the row's present version was committed: either the statement's snapshot holds that version, or
PostgreSQL waits for it and evaluates everything again. Within one evaluation the readings follow one another, and a
later one never makes the permit larger. Each reading costs as much as ten other terms, so there is one condition on it
and not three.
"""


def _told(row: Result, arguments: tuple[Any, ...]) -> Result:
    (left,) = row
    return (True, 0, left // arguments[1]) if left >= 0 else (True, -left, 0)


GCRA_TAKE = Operation(
    "gcra_take_1", FEATURE, transitions.gcra_take, shortcut=Shortcut(_TAKE_AT_ONCE, _told, by_arguments=True)
)
TAKE = Operation("limiter_take_1", FEATURE, transitions.take, many=True)
ADOPT = Operation("limiter_adopt_1", FEATURE, transitions.adopt)
RESET = Operation("limiter_reset_1", FEATURE, transitions.reset, many=True)
