"""What it is like when a database has nothing left to give: its connections used up, three stalls, and an alarm."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backpressure.airflow.run import Run

__all__ = ["stalls", "use_up", "watch_role"]

_MOST = 1000
_LOCK = 106_091


def use_up(
    role: str = "lab", every: float = 0.0, *, dsn: str | None = None, watching: str | None = None
) -> dict[str, Any]:
    """Take a role's connections one after the other until the database refuses, then give them all back.

    Args:
        role: whose connections these are.
        every: seconds between two of them.
        dsn: a libpq connection string instead of the application database's Airflow connection.
        watching: the same for the role that counts.

    Returns ``limit`` (of the role), ``sessions`` (that the server counted then), ``sqlstate`` and ``refused``
    (its words), and ``at`` (epoch s).

    Raises:
        LookupError: nothing was refused.
    """
    from backpressure.airflow.database import (  # noqa: PLC0415 - not while a DAG file is parsed
        Sessions,
        TooManyConnectionsError,
        connect,
    )

    with ExitStack() as held, closing(Sessions(dsn=watching)) as sessions:
        for _ in range(_MOST):
            try:
                held.enter_context(closing(connect(application="use up", dsn=dsn)))
            except TooManyConnectionsError as refusal:
                at = time.time()
                counted = sessions.sample(role=role)["total"]
                told = {"sqlstate": refusal.sqlstate, "refused": str(refusal), "at": at}
                return told | {"sessions": counted, "limit": sessions.limit(role)}
            time.sleep(every)
    raise LookupError(f"{_MOST} connections of role {role!r}, and none was refused")


def stalls(options: str, patience: float, lasts: float, *, dsn: str | None = None) -> list[dict[str, Any]]:
    """Meet a connection pool that is empty, a lock that is held, and a statement that is slow; how long each takes.

    Args:
        options: of the connections that are stalled, as libpq has them: ``"-c lock_timeout=500"``.
        patience: seconds to wait for a connection of the pool.
        lasts: seconds until the connection and the lock are free, and that the statement takes.
        dsn: a libpq connection string instead of the application database's Airflow connection.

    Returns for each its name, ``stall``, the ``seconds`` that it took, ``ended``, which is the error that ended it or
    nothing, and ``at`` (epoch s).
    """
    from sqlalchemy.pool import QueuePool  # noqa: PLC0415 - not while a DAG file is parsed

    from backpressure.airflow.database import connect  # noqa: PLC0415 - the same

    def create() -> Any:
        return connect(application="stalled", dsn=dsn)

    pool = QueuePool(create, pool_size=1, max_overflow=0, timeout=patience)
    with closing(connect(application="stalled", dsn=dsn, options=options)) as stalled:

        def execute(statement: str, value: float) -> Callable[[], object]:
            return lambda: stalled.cursor().execute(statement, [value])

        found = []
        with _while_held(pool.connect, lasts):
            found.append(_timed("connection", lambda: pool.connect().close()))
        with _while_held(lambda: _locked(dsn), lasts):
            found.append(_timed("lock", execute("SELECT pg_advisory_lock(%s)", _LOCK)))
        found.append(_timed("statement", execute("SELECT pg_sleep(%s)", lasts)))
    pool.dispose()
    return found


def watch_role(run: Run, role: str, alarm: float, until: Callable[[], Any], seconds: float = 120.0) -> list[Any]:
    """Count a role's connections four times a second, from outside of it, until something is so; returns the samples.

    Whenever a sample reaches this share of the role's limit, and the one before did not, the run's upstream is told:
    ``{"alarm": connections}``.
    """
    from backpressure.airflow.database import Sessions  # noqa: PLC0415 - not while a DAG file is parsed
    from backpressure.airflow.upstream import Upstream  # noqa: PLC0415 - the same

    with closing(Sessions()) as sessions, Upstream(run.run_id) as partner:
        enough, before = alarm * sessions.limit(role), 0.0

        def look() -> dict[str, float]:
            nonlocal before
            seen = sessions.sample(role=role)
            if seen["total"] >= enough > before:
                partner.notify({"alarm": seen["total"]})
            before = seen["total"]
            return seen

        return run.sample(look, until, seconds, 0.25)


def _locked(dsn: str | None) -> Any:
    from backpressure.airflow.database import connect  # noqa: PLC0415 - not while a DAG file is parsed

    holder = connect(application="holder", dsn=dsn)
    holder.cursor().execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    return holder


@contextlib.contextmanager
def _while_held(take: Callable[[], Any], seconds: float) -> Iterator[None]:
    """Something is taken, and given back after so many seconds, or as soon as nobody waits for it any more."""
    taken, done = take(), threading.Event()

    def give_back() -> None:
        done.wait(seconds)
        taken.close()

    giver = threading.Thread(target=give_back)
    giver.start()
    try:
        yield
    finally:
        done.set()
        giver.join()


def _timed(stall: str, what: Callable[[], object]) -> dict[str, Any]:
    begun, ended = time.monotonic(), ""
    try:
        what()
    except Exception as error:  # noqa: BLE001 - which one it is, is what is asked
        ended = type(error).__name__
    return {"stall": stall, "seconds": time.monotonic() - begun, "ended": ended, "at": time.time()}
