"""A stock that orders are taken from, in a table beside the limiters: a row for each product, locked while it changes.

A lesson's orders need something to wait for in a database; a row that another session has locked is that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

import psycopg2.errors

from backpressure.airflow.database import WATCHING_DB, connect

__all__ = ["fill", "locked", "remove", "take"]

# Without its schema a table's name would mean another one from the moment on at which somebody makes a schema that is
# called as the role is, and the package calls its schema so.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS public.lesson_stock "
    "(product text PRIMARY KEY, lines integer NOT NULL, taken integer NOT NULL)"
)
_FILL = """INSERT INTO public.lesson_stock VALUES (%(product)s, %(lines)s, 0)
    ON CONFLICT (product) DO UPDATE SET lines = excluded.lines"""
_TAKE = "UPDATE public.lesson_stock SET taken = taken + 1 WHERE product = %(product)s RETURNING lines"
_LOCK = "SELECT lines FROM public.lesson_stock WHERE product = %(product)s FOR UPDATE"
_REMOVE = "DELETE FROM public.lesson_stock WHERE starts_with(product, %(prefix)s)"


def fill(products: Iterable[str], lines: int = 1, *, dsn: str | None = None) -> None:
    """Say how many lines an order of each product has."""
    with closing(connect(WATCHING_DB, dsn=dsn)) as database, database.cursor() as cursor:
        cursor.execute(_TABLE)
        for product in products:
            cursor.execute(_FILL, {"product": product, "lines": lines})


def take(product: str, patience: float, *, application: str = "", dsn: str | None = None) -> int | None:
    """Take an order from the stock: how many lines it has; None if the row stayed locked for so many seconds."""
    with closing(connect(WATCHING_DB, application=application, dsn=dsn)) as database, database.cursor() as cursor:
        # Not lock_timeout: who stands second in line waits for two locks, one after the other, so long for each.
        cursor.execute("SELECT set_config('statement_timeout', %(wait)s, false)", {"wait": f"{patience * 1000:.0f}ms"})
        try:
            cursor.execute(_TAKE, {"product": product})
        except psycopg2.errors.QueryCanceled:
            return None
        ((lines,),) = cursor.fetchall()
        return int(lines)


@contextmanager
def locked(product: str, *, dsn: str | None = None) -> Iterator[None]:
    """Hold the lock of a product's row within this block, as a session does that forgot to commit."""
    with closing(connect(WATCHING_DB, application="forgotten", dsn=dsn)) as database, database.cursor() as cursor:
        database.autocommit = False
        cursor.execute(_LOCK, {"product": product})
        yield


def remove(prefix: str, *, dsn: str | None = None) -> None:
    """Remove the products whose names begin so."""
    with closing(connect(WATCHING_DB, dsn=dsn)) as database, database.cursor() as cursor:
        cursor.execute(_TABLE)
        cursor.execute(_REMOVE, {"prefix": prefix})
