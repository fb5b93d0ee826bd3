"""What a limiter answers."""

from typing import NamedTuple

__all__ = ["Decision", "Permit"]


class Decision(NamedTuple):
    """Whether a call may start now. True in a condition when it may.

    Attributes:
        allowed: the permit is given.
        retry_after: seconds after which it would be given if nobody else came; 0 when it is given.
        remaining: permits that could be taken at once after this decision.
    """

    allowed: bool
    retry_after: float
    remaining: int

    def __bool__(self) -> bool:
        return self.allowed


class Permit(NamedTuple):
    """A reserved start.

    Attributes:
        delay: seconds from the answer until the call may start.
        at: the same instant by the storage's clock, in seconds since 1970-01-01 UTC.
    """

    delay: float
    at: float
