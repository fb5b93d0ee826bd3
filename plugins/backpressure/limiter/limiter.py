"""One limit, asked before each call."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from backpressure.clock import NANOSECONDS
from backpressure.limiter.asking import Limiter
from backpressure.limiter.operations import ADOPT
from backpressure.limiter.rate import Limit
from backpressure.storage.protocol import Storage

if TYPE_CHECKING:
    from backpressure.events import Listener
    from backpressure.limiter.headers import ServerLimit

__all__ = ["RateLimiter"]

LONGEST_ADOPTED = 86400.0
"""A server's word is kept for a day at most; then it is asked again."""


class RateLimiter(Limiter):
    """A limit on how often something happens, shared by everybody who uses the same storage and name.

    Making one does no I/O. Its permits are lost by nothing but a crash of the storage's host; see the storage.

    Args:
        name: 1 to 255 bytes in UTF-8; limits of different kinds with the same name are apart.
        rate: the limit: `Rate`, `SlidingWindow` or `Quota`. Everybody should use the same one; a changed one takes
            over what the former one recorded.
        storage: where the state lives.
        fail_open: what to do while the storage can't be reached: False raises `StorageUnavailableError` (no call
            without a permit), True lets every call through, unlimited.
        listeners: told of every decision; see `backpressure.events`.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        name: str,
        rate: Limit,
        storage: Storage,
        *,
        fail_open: bool = False,
        listeners: Iterable["Listener"] = (),
    ) -> None:
        super().__init__(name, [(name, rate)], storage, fail_open=fail_open, listeners=listeners)
        self.rate = rate

    def __repr__(self) -> str:
        return f"RateLimiter({self.name!r}, {self.rate!r})"

    def adopt(self, headers: Mapping[str, str], now: float | None = None) -> "ServerLimit | None":
        """Take over what a server says of its own limit, for everybody who shares this limiter.

        Its `Retry-After` stops every permit until then; its remaining calls are counted down until they are renewed.
        Permits already given stay given. One statement when the headers say anything, else none.

        Args:
            headers: of the response, names in any case; see `backpressure.limiter.headers` for what is read.
            now: seconds since 1970-01-01 UTC, for dates in a response without a `Date` header; None takes the clock's.

        Returns:
            What was read, or None.

        Raises:
            StorageError: the storage could not be told; with `fail_open`, not for being away.
        """
        said, arguments = self._said(headers, now)
        if said is not None and arguments is not None and self._ask((ADOPT, arguments)):
            self._adopted(said)
        return said

    async def adopt_async(self, headers: Mapping[str, str], now: float | None = None) -> "ServerLimit | None":
        """Take over what a server says, without blocking the event loop; see `adopt`."""
        said, arguments = self._said(headers, now)
        if said is not None and arguments is not None and await self._ask_async((ADOPT, arguments)):
            self._adopted(said)
        return said

    def _said(
        self, headers: Mapping[str, str], now: float | None
    ) -> tuple["ServerLimit | None", tuple[int, int | None, int] | None]:
        from backpressure.limiter.headers import read  # noqa: PLC0415 - only for those who adopt

        said = read(headers, self.storage.clock.now_ns() / NANOSECONDS if now is None else now)
        if said is None:
            return None, None
        reset = said.reset or 0.0
        blocked_for = max(said.retry_after or 0.0, reset if said.remaining == 0 else 0.0)
        allowance = said.remaining if reset else None
        if blocked_for == 0 and allowance is None:
            return said, None
        return said, (_nanoseconds(blocked_for), allowance, _nanoseconds(reset))

    def _adopted(self, said: "ServerLimit") -> None:
        if self._listeners:
            from backpressure.events import ServerLimitAdopted  # noqa: PLC0415 - only for those who listen

            self._publish(
                ServerLimitAdopted(self.name, said.remaining, max(said.retry_after or 0.0, said.reset or 0.0))
            )


def _nanoseconds(seconds: float) -> int:
    return int(min(seconds, LONGEST_ADOPTED) * NANOSECONDS)
