"""A client of the lab for a command: starts the lab when it is down, and tells whether it is still there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backpressure.airflow.client import AirflowClient, AirflowError, AirflowUnreachableError

from backpressure_lab.cli import elsewhere, stack
from backpressure_lab.errors import LabError, NoAnswerError, NotRunningError, WentDownError
from backpressure_lab.stack import bootstrap, lab
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

# A restarted API server answers again within this time.
_PATIENCE = 45.0


@dataclass(frozen=True)
class Session:
    """A client of an Airflow, and a way to ask whether that is still there."""

    api: AirflowClient
    alive: Callable[[], bool]


@contextmanager
def opened(layout: Layout, url: str | None, *, quiet: bool) -> Iterator[Session]:
    """The Airflow at ``url``, or this checkout's lab, which is started in the background when it is not running.

    Raises:
        NotRunningError: it is not running and could not be started, or it went away meanwhile.
        LabError: what is at ``url`` is not an Airflow that can run the course.
    """
    if url is None:
        with airflow(layout, quiet=quiet) as api:
            yield Session(api, lambda: lab.is_staying(layout))
    else:
        with elsewhere.airflow(url) as api:
            yield Session(api, lambda: True)


@contextmanager
def airflow(layout: Layout, *, quiet: bool) -> Iterator[AirflowClient]:
    """A client of this checkout's lab, which is started in the background when it is not running.

    Raises:
        NotRunningError: it is not running and could not be started, or it went away meanwhile.
    """
    running = lab.current(layout)
    if (running is None or running.phase != "ready") and stack.bring_up(layout, quiet=quiet) != 0:
        raise NotRunningError("The lab is not running and could not be started.\nTry: ./lab up")
    with reach(layout, _PATIENCE) as api:
        yield api


@contextmanager
def reach(layout: Layout, patience: float = 0.0) -> Iterator[AirflowClient]:
    """A client of this checkout's lab as it is.

    Args:
        layout: where the lab lies.
        patience: how many seconds a request waits for an API server that is being started again.

    Raises:
        NotRunningError: it is not running, or it went away meanwhile.
    """
    if not lab.is_up(layout):
        raise NotRunningError("The lab is not running.\nStart it with: ./lab up")
    with bootstrap.client(Context.load(layout), patience, lambda: lab.is_staying(layout)) as api:
        try:
            yield api
        except AirflowUnreachableError as error:
            if lab.is_staying(layout):
                raise NoAnswerError(error) from error
            raise WentDownError("this command", "give it again") from error
        except KeyboardInterrupt:
            print("lab: interrupted; what ran was ended, and what it had changed is given back", file=sys.stderr)
            raise
        except AirflowError as error:
            raise LabError(f"Airflow refused a request: {error}") from error
