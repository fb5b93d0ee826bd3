"""What the processes of `processes.py` do, one job after the other: a line of JSON for each, then a line to start."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[2] / "plugins"), str(Path(__file__).parents[1])]

from backpressure import (  # noqa: E402 - found by the path above
    Bulkhead,
    KeyRotation,
    MultiLimiter,
    Quota,
    Rate,
    RateLimitedError,
    RateLimiter,
    SlidingWindow,
)
from backpressure.storage import PostgresStorage, Storage  # noqa: E402 - the same
from support.file_storage import FileStorage  # noqa: E402 - the same

if TYPE_CHECKING:
    from collections.abc import Callable

REAL_TIME, REAL_TIME_NS = time.time, time.time_ns
LIMITS = {"rate": Rate, "window": SlidingWindow, "quota": Quota}


def _storage(arguments: dict[str, Any]) -> Storage:
    if "file" in arguments:
        return FileStorage(Path(arguments["file"]), timeout=30.0)
    return PostgresStorage(arguments["dsn"], schema=arguments["schema"], timeout=arguments.get("timeout", 30.0))


def _limiter(arguments: dict[str, Any]) -> RateLimiter:
    kind, settings = arguments["limit"]
    return RateLimiter(arguments.get("name", "x"), LIMITS[kind](**settings), _storage(arguments))


def _skew(offset: float) -> None:
    """Let this process believe in another time of day."""
    time.time = lambda: REAL_TIME() + offset
    time.time_ns = lambda: REAL_TIME_NS() + int(offset * 1e9)


def take_for(arguments: dict[str, Any]) -> Any:
    """Ask without a pause for some seconds; says how many permits it got and how often it asked."""
    limiter = _limiter(arguments)
    yield
    granted = asked = 0
    end = time.monotonic() + arguments["seconds"]
    while time.monotonic() < end:
        granted += limiter.try_acquire().allowed
        asked += 1
    yield {"granted": granted, "asked": asked}


def take_times(arguments: dict[str, Any]) -> Any:
    """Ask a number of times; says how many permits it got."""
    limiter = _limiter(arguments)
    yield
    yield sum(limiter.try_acquire().allowed for _ in range(arguments["times"]))


def take_overlapping(arguments: dict[str, Any]) -> Any:
    """Take, rotate and reset limits that others want too, each time others and in another order."""
    storage = _storage(arguments)
    chance = random.Random(arguments["seed"])  # noqa: S311 - no secret
    limiters = [RateLimiter(name, SlidingWindow(3, 0.05), storage) for name in "abcde"]
    yield
    for turn in range(arguments["rounds"]):
        chosen = chance.sample(limiters, 3)
        if turn % 3 == 0:
            MultiLimiter(chosen).reset()
        elif turn % 3 == 1:
            KeyRotation(chosen).try_acquire()
        else:
            MultiLimiter(chosen).try_acquire()
    yield arguments["rounds"]


def starts_for(arguments: dict[str, Any]) -> Any:
    """The same; says by the server's clock when each permit was given."""
    limiter = _limiter(arguments)
    yield
    starts = []
    end = time.monotonic() + arguments["seconds"]
    while time.monotonic() < end:
        try:
            (permit,) = limiter.reserve(1, max_wait=0)
        except RateLimitedError:
            continue
        starts.append(permit.at)
    yield starts


def starts_reserved(arguments: dict[str, Any]) -> Any:
    """Reserve a number of permits one by one; says by the server's clock when each may start."""
    limiter = _limiter(arguments)
    yield
    yield [limiter.reserve(1)[0].at for _ in range(arguments["permits"])]


def take_once(arguments: dict[str, Any]) -> Any:
    """Ask once, as a short task would; says whether it got a permit."""
    yield
    yield _limiter(arguments).try_acquire().allowed


def come_back(arguments: dict[str, Any]) -> Any:
    """Ask, wait for exactly as long as told, ask again; says how often it was refused the second time."""
    limiter = _limiter(arguments)
    yield
    refused = 0
    for _ in range(arguments["rounds"]):
        decision = limiter.try_acquire()
        if not decision.allowed:
            time.sleep(decision.retry_after)
            refused += not limiter.try_acquire().allowed
    yield refused


def wait_for_permits(arguments: dict[str, Any]) -> Any:
    """Wait for a number of permits; says how many it got."""
    limiter = _limiter(arguments)
    yield
    for _ in range(arguments["permits"]):
        limiter.acquire(timeout=60)
    yield arguments["permits"]


def _subject(arguments: dict[str, Any]) -> Any:
    from conformance.subjects import SUBJECTS, Limit, Place  # noqa: PLC0415 - for the conformance tests alone

    return SUBJECTS[arguments["subject"]].open(Place(*arguments["place"]), Limit(*arguments["limit"]))


def ask_for(arguments: dict[str, Any]) -> Any:
    """Ask any subject for some seconds, `pause` apart; says when each permit was asked for and had, and what failed."""
    take = _subject(arguments)
    yield
    began = time.monotonic()
    granted, asked = [], 0
    while time.monotonic() - began < arguments["seconds"]:
        before = time.monotonic()
        if take("x")[0]:
            granted.append((before, time.monotonic()))
        asked += 1
        time.sleep(arguments.get("pause", 0.0))
    yield {"granted": granted, "refused": asked - len(granted), "began": began, "ended": time.monotonic()}


def ask_once(arguments: dict[str, Any]) -> Any:
    """Ask any subject once, as a short task would."""
    yield
    yield _subject(arguments)("x")[0]


def ask_as_told(arguments: dict[str, Any]) -> Any:
    """Come back exactly when told; says how often that was in vain, or null when nothing is told."""
    take = _subject(arguments)
    yield
    in_vain = 0
    for _ in range(arguments["rounds"]):
        allowed, after = take("x")
        if not allowed:
            if after is None:
                in_vain = None
                break
            time.sleep(after)
            in_vain += not take("x")[0]
    yield in_vain


def hold_in_turn(arguments: dict[str, Any]) -> Any:
    """Take and hold a bulkhead's permit a number of times; says when each time began and ended."""
    bulkhead = Bulkhead("b", arguments["limit"], _storage(arguments), lease=arguments.get("lease", 10.0))
    yield
    held = []
    for _ in range(arguments["times"]):
        with bulkhead.acquire(timeout=60):
            began = time.monotonic()
            time.sleep(arguments["seconds"])
            held.append((began, time.monotonic()))
    yield held


def hold_for_ever(arguments: dict[str, Any]) -> Any:
    """Take a bulkhead's permit, say so, and hold it until killed."""
    bulkhead = Bulkhead("b", arguments["limit"], _storage(arguments), lease=arguments["lease"])
    yield
    with bulkhead.acquire(timeout=60):
        _say("held")
        time.sleep(3600)
    yield None


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _job(name: str) -> Any:
    if name in globals():
        return globals()[name]
    from conformance import jobs  # noqa: PLC0415 - for the conformance tests alone

    return getattr(jobs, name)


def serve(listen: Callable[[], str], say: Callable[[str], None]) -> None:
    """Get ready, wait for the signal, work, report; until there is no job left."""
    while line := listen():
        name, arguments = json.loads(line)
        if "skew" in arguments or time.time is not REAL_TIME:
            _skew(arguments.get("skew", 0.0))
        job = _job(name)(arguments)
        next(job)
        say("ready")
        listen()
        say(json.dumps(next(job)))


def main() -> None:
    """Serve as a process."""
    serve(sys.stdin.readline, _say)


if __name__ == "__main__":
    main()
