"""What the workers of `support.processes` do for the breakers' and bulkheads' properties; see `support/workers.py`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from conformance.breakers import BREAKERS, Settings
from conformance.bulkheads import BULKHEADS, Permits
from conformance.subjects import Place

if TYPE_CHECKING:
    from collections.abc import Callable


def _breaker(arguments: dict[str, Any]) -> Callable[[Callable[[], object]], bool]:
    return BREAKERS[arguments["subject"]].open(Place(*arguments["place"]), Settings(*arguments["settings"]))


def _bulkhead(arguments: dict[str, Any]) -> Any:
    return BULKHEADS[arguments["subject"]].open(Place(*arguments["place"]), Permits(*arguments["settings"]))


def fail() -> None:
    """A call that fails."""
    raise OSError("down")


def call_once(arguments: dict[str, Any]) -> Any:
    """One call, as a short task makes it; says whether it was let through, when it asked, and when it ended."""
    seconds = arguments.get("seconds", 0.0)
    yield
    call = _breaker(arguments)
    began = time.monotonic()
    passed = call(fail if arguments["fails"] else lambda: time.sleep(seconds))
    yield {"passed": passed, "began": began, "ended": time.monotonic()}


def call_prepared(arguments: dict[str, Any]) -> Any:
    """One call of a breaker that is connected already; says whether it was let through, and when it ran."""
    call = _breaker(arguments)
    ran: list[float] = []

    def work() -> None:
        ran.append(time.monotonic())
        time.sleep(arguments["seconds"])
        ran.append(time.monotonic())

    yield
    call(work)
    yield ran


def call_until_refused(arguments: dict[str, Any]) -> Any:
    """Call what fails until refused a number of times; says when those let through asked and the others were told."""
    call = _breaker(arguments)
    yield
    asked, refused = [], []
    end = time.monotonic() + arguments["seconds"]
    while len(refused) < arguments["times"] and time.monotonic() < end:
        began = time.monotonic()
        if call(fail):
            asked.append(began)
        else:
            refused.append(time.monotonic())
    yield {"asked": asked, "refused": refused}


def call_until_passed(arguments: dict[str, Any]) -> Any:
    """Call what succeeds until let through; says after how many seconds, or null."""
    call = _breaker(arguments)
    yield
    began = time.monotonic()
    after = None
    while after is None and time.monotonic() - began < arguments["seconds"]:
        if call(int):
            after = time.monotonic() - began
        time.sleep(0.02)
    yield after


def call_and_hang(arguments: dict[str, Any]) -> Any:
    """Make calls, half of which fail; or one that says so and hangs, until killed."""
    call = _breaker(arguments)
    yield
    if arguments["hang"]:
        call(_hang)
    turn = 0
    while True:
        turn += 1
        call(fail if turn % 2 else int)
    yield None


def hold_in_turn_of(arguments: dict[str, Any]) -> Any:
    """Hold a permit a number of times; says when each began and ended."""
    hold = _bulkhead(arguments)
    yield
    time.sleep(arguments.get("after", 0.0))
    held = []
    for _ in range(arguments["times"]):
        with hold(arguments.get("timeout", 60.0)):
            began = time.monotonic()
            time.sleep(arguments["seconds"])
            held.append((began, time.monotonic()))
    yield held


def hold_and_hang(arguments: dict[str, Any]) -> Any:
    """Hold a permit until killed."""
    hold = _bulkhead(arguments)
    yield
    with hold(60.0):
        _hang()
    yield None


def wait_for_one(arguments: dict[str, Any]) -> Any:
    """Wait for a permit; says after how many seconds it was there, or null."""
    hold = _bulkhead(arguments)
    yield
    began = time.monotonic()
    try:
        with hold(arguments["seconds"]):
            yield time.monotonic() - began
    except TimeoutError:
        yield None


def _hang() -> None:
    sys.stdout.write("held\n")
    sys.stdout.flush()
    time.sleep(3600)
