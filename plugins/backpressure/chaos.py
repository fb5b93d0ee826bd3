"""Experiments with faults: a canary that tells whether a system is steady, and faults that are injected one at a time.

An experiment begins when the canary has been steady for a while, and is over when it is so again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

__all__ = ["Canary", "UnsteadyError", "carry_out"]

Record = dict[str, Any]
_ENDING = 30.0


class UnsteadyError(Exception):
    """The system was not steady when a fault was to be injected: the experiments stop there."""


class Canary:
    """Asks a system for something at a steady rate, whether or not it has answered before, and notes what came.

    Its ``beats`` have the instants ``due`` and ``ended`` (epoch s), whether it was ``ok`` in the end, and the
    ``errors`` of all attempts.

    Args:
        ask: what to ask; an exception is a failure.
        every: seconds between two beats.
        again: how a beat is tried again: it gets what to call, and calls it as often as it likes.
        now: the clock.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        ask: Callable[[], object],
        every: float,
        again: Callable[[Callable[[], object]], object] = lambda call: call(),
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not every > 0:
            raise ValueError(f"every must be a number of seconds above 0, not {every}")
        self.beats: list[Record] = []
        self._ask, self._every, self._again, self._now, self._sleep = ask, every, again, now, sleep
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._loop = threading.Thread(target=self._run, name="canary", daemon=True)

    def __enter__(self) -> Self:
        self._loop.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Begin no further beat, and wait for those on their way."""
        self._stop.set()
        for thread in [self._loop, *self._threads]:
            thread.join(_ENDING)

    def steady(self, seconds: float) -> bool:
        """Whether every beat that was due in the last so many seconds, and is over, went well; and most are over."""
        since = self._now() - seconds
        recent = [beat for beat in list(self.beats) if beat["due"] >= since]
        return len(recent) >= 0.5 * seconds / self._every and all(beat["ok"] and not beat["errors"] for beat in recent)

    def _run(self) -> None:
        due = self._now()
        while not self._stop.is_set():
            beat = threading.Thread(target=self.beat, args=(due,), daemon=True)
            self._threads.append(beat)
            beat.start()
            due = max(due + self._every, self._now())
            self._sleep(max(0.0, due - self._now()))

    def beat(self, due: float) -> None:
        """Ask once, and again as far as told, and note what came."""
        errors: list[str] = []

        def attempt() -> object:
            try:
                return self._ask()
            except Exception as error:
                errors.append(type(error).__name__)
                raise

        try:
            self._again(attempt)
            ok = True
        except Exception:  # noqa: BLE001 - what was raised has been noted
            ok = False
        self.beats.append({"due": due, "ended": self._now(), "ok": ok, "errors": errors})


def carry_out(
    experiments: Mapping[str, Callable[[], Mapping[str, Any]]],
    steady: Callable[[], bool],
    *,
    patience: float = 20.0,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Record]:
    """Inject one fault after another, each when the system is steady, and wait until it is so again.

    Args:
        experiments: for each its name, and what injects the fault and returns when that is over, with what it did.
        steady: whether the system is as it should be.
        patience: seconds to wait for that.
        now: the clock.
        sleep: waits for so many seconds.

    Returns:
        For each experiment its ``name``, when it ``began`` and ``ended``, whether the system was steady ``before`` and
        ``after``, and what it told.

    Raises:
        UnsteadyError: the system was not steady before an experiment, and did not become so.
    """

    def settles() -> bool:
        until = now() + patience
        while not (so := steady()) and now() < until:
            sleep(0.1)
        return so

    done: list[Record] = []
    for name, inject in experiments.items():
        if not settles():
            raise UnsteadyError(f"{name} was not begun: the system has not been steady for {patience:g} s")
        began = now()
        told = inject()
        ended = now()
        done.append({"name": name, "began": began, "ended": ended, "before": True, "after": settles(), **told})
    return done
