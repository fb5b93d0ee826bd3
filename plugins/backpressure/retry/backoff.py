"""How long to wait before a retry: exponential backoff with jitter that tells siblings apart.

Without jitter, all who failed together come back together. Full and decorrelated jitter are those of the AWS
Architecture Blog, "Exponential Backoff And Jitter" (Brooker, 2015).
"""

import hashlib
import random
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol, Self

from backpressure.checks import check_number

Jitter = Literal["full", "decorrelated", "none"]


class RandomSource(Protocol):
    """Whatever draws a number between two bounds: `random.Random`, the `random` module's default, or a test's own."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number from a to b, uniformly."""


class _Fields(NamedTuple):
    base: float = 1.0
    limit: float = 300.0
    factor: float = 2.0
    jitter: Jitter = "full"


class Backoff(_Fields):
    """The waiting times before each retry, in seconds.

    Attributes:
        base: Waiting time before the first retry, at most (full jitter), at least (decorrelated) or exactly (none).
        limit: No wait is longer.
        factor: Growth from one retry to the next, 1 to 10. Decorrelated jitter does not use it: it draws from `base` to
            three times the last wait.
        jitter: "full": uniform from 0 to the exponential time. "decorrelated": see factor. "none": all callers that
            failed together come back together.

    Raises:
        ValueError: A setting is outside its range.
    """

    __slots__ = ()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Check the settings."""
        self = super().__new__(cls, *values, **named)
        self._check()
        return self

    def _check(self) -> None:
        check_number("base", self.base, 0.001, 86400)
        check_number("limit", self.limit, self.base, 366 * 86400)
        check_number("factor", self.factor, 1, 10)
        if self.jitter not in ("full", "decorrelated", "none"):
            raise ValueError(f"jitter must be 'full', 'decorrelated' or 'none', not {self.jitter!r}")

    def delays(self, source: RandomSource) -> Iterator[float]:
        """The waits before the first, second, third … retry; endless."""
        exponential = last = self.base
        while True:
            if self.jitter == "full":
                yield source.uniform(0.0, exponential)
            elif self.jitter == "decorrelated":
                last = min(self.limit, source.uniform(self.base, last * 3))
                yield last
            else:
                yield exponential
            exponential = min(self.limit, exponential * self.factor)

    def delay(self, retry: int, source: RandomSource) -> float:
        """The wait before the `retry`-th retry, counted from 1, for one who keeps no state between retries.

        With a source from `seeded`, every try of a task instance goes through the same sequence, so that decorrelated
        jitter works across processes, too.
        """
        if retry < 1:
            raise ValueError(f"retry must be at least 1, as the first retry is number 1, not {retry}")
        delays = self.delays(source)
        for _ in range(min(retry, _MOST) - 1):
            next(delays)
        return next(delays)


_MOST = 1000
"""Beyond so many retries the wait no longer grows, and walking there would take longer than it is worth."""


def seeded(*identity: object) -> random.Random:
    """A random source of one's own: the same for the same identity, unrelated for any other.

    Give it what tells siblings apart: dag_id, run_id, task_id, map_index.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in identity)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - spreads callers out; nothing is secret
