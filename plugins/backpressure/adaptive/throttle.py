"""Client-side throttling: refuse locally what the other side would refuse anyway.

After the SRE book, "Handling Overload": a client that sees many of its requests refused drops some of its own before
they are sent, since even a refusal costs the other side. The probability is

    max(0, (requests - k * accepts) / (requests + 1))

over a sliding window; with `k` of 2, for each request that the other side accepts it still gets to see one that it
refuses, by which the clients notice its recovery.
"""

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from backpressure.adaptive.transitions import COUNT
from backpressure.checks import check_name, check_number, check_seconds
from backpressure.clock import NANOSECONDS
from backpressure.errors import RejectedError, StorageError
from backpressure.storage.protocol import Storage

P = ParamSpec("P")
T = TypeVar("T")


class ThrottledError(RejectedError):
    """The call was dropped before it was sent, as most were refused lately; `retry_after` on, the share may differ."""


def refusal_probability(requests: int, accepts: int, k: float) -> float:
    """The share of requests to drop locally, from 0 to below 1.

    Args:
        requests: Requests within the window, locally dropped ones included.
        accepts: Those of them that the other side accepted.
        k: How many requests for each accepted one it may see.
    """
    return max(0.0, (requests - k * accepts) / (requests + 1))


class AcceptanceThrottle:
    """Drops calls locally in proportion to what the other side refuses, as seen by all processes together.

    A call costs two statements when it is accepted, else one.

    Args:
        name: Who is called; 1 to 255 bytes in UTF-8.
        storage: Where the counts live.
        k: How many requests the other side may see for each that it accepts, 1 to 100; lower is stricter.
        window: Seconds over which requests are counted, in twentieths.
        draw: Draws a number from 0 up to 1; None: honest randomness.

    Raises:
        ValueError: An argument is outside its range.
    """

    def __init__(
        self,
        name: str,
        storage: Storage,
        *,
        k: float = 2.0,
        window: float = 120.0,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self.name = check_name(name)
        self.storage = storage
        check_number("k", k, 1, 100)
        check_seconds("window", window)
        self.k = k
        self.window = window
        self._window_ns = round(window * NANOSECONDS)
        self._draw = draw or _uniform

    def ask(self) -> None:
        """Count a request; call `accepted` when the other side accepts it.

        Raises:
            ThrottledError: It should not be sent.
            StorageError: The storage could not be asked.
        """
        self._judge(*self.storage.run(COUNT, (self.name,), 1, 0, self._window_ns))

    def accepted(self) -> None:
        """The other side took the request, whatever its answer: it was not refused for overload.

        Raises:
            StorageError: The storage could not be told.
        """
        self.storage.run(COUNT, (self.name,), 0, 1, self._window_ns)

    def call(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function unless it is dropped; whatever it raises means that it was not accepted.

        A result that was accepted and can't be counted is returned all the same, and the log says so.

        Raises:
            ThrottledError: It was dropped.
            StorageError: The storage could not be asked before the call.
        """
        self.ask()
        value = function(*args, **kwargs)
        try:
            self.accepted()
        except StorageError as error:
            import logging  # noqa: PLC0415 - slow to import, and rarely needed

            # The call is done: its result must not be lost for want of a count.
            logging.getLogger("backpressure.adaptive").warning(
                "throttle %r: an accepted call could not be counted: %s", self.name, error
            )
        return value

    async def ask_async(self) -> None:
        """Count a request; see `ask`."""
        self._judge(*await self.storage.run_async(COUNT, (self.name,), 1, 0, self._window_ns))

    async def accepted_async(self) -> None:
        """The other side took the request; see `accepted`."""
        await self.storage.run_async(COUNT, (self.name,), 0, 1, self._window_ns)

    def _judge(self, requests: int, accepts: int) -> None:
        probability = refusal_probability(requests, accepts, self.k)
        if self._draw() < probability:
            raise ThrottledError(
                f"call to {self.name!r} dropped before it was sent: of {requests} within {self.window:g} s "
                f"{accepts} were accepted, so {probability:.0%} are dropped",
                self.window / 20,
            )


def _uniform() -> float:
    return int.from_bytes(os.urandom(6), "big") / 2**48
