"""Procedures of several operations and waits, written once and run in a thread or in an event loop.

A procedure is a generator: it yields `Ask` and gets the operation's result, or `Sleep` and gets an empty one. Whatever
goes wrong while it waits is raised inside it, so that it can clean up, by further steps if need be.
"""

from collections.abc import Generator
from typing import NamedTuple, TypeVar

from backpressure.storage.protocol import Argument, Operation, Result, Storage

__all__ = ["Ask", "Sleep", "Steps", "perform", "perform_async"]

T = TypeVar("T")


class Ask(NamedTuple):
    """Apply an operation."""

    operation: Operation
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...]
    timeout: float | None = None


class Sleep(NamedTuple):
    """Wait."""

    seconds: float


Steps = Generator[Ask | Sleep, Result, T]


def perform(storage: Storage, steps: Steps[T]) -> T:
    """Run a procedure in the calling thread."""
    try:
        step = next(steps)
        while True:
            try:
                result = _take(storage, step)
            except BaseException as error:  # noqa: BLE001 - the procedure may have to clean up, whatever happened
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


async def perform_async(storage: Storage, steps: Steps[T]) -> T:
    """Run a procedure in the running event loop."""
    try:
        step = next(steps)
        while True:
            try:
                result = await _take_async(storage, step)
            except BaseException as error:  # noqa: BLE001 - the same, a cancellation included
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        value: T = stop.value
        return value


def _take(storage: Storage, step: Ask | Sleep) -> Result:
    if isinstance(step, Ask):
        return storage.run(step.operation, step.keys, *step.arguments, timeout=step.timeout)
    storage.clock.sleep(step.seconds)
    return ()


async def _take_async(storage: Storage, step: Ask | Sleep) -> Result:
    if isinstance(step, Ask):
        return await storage.run_async(step.operation, step.keys, *step.arguments, timeout=step.timeout)
    await storage.clock.sleep_async(step.seconds)
    return ()
