"""One call that a breaker let through."""

from backpressure.breaker.state import Result


class Attempt:
    """A call on its way, from its admission to its report.

    Attributes:
        call: The call's number.
        epoch: The epoch in which it was let through; None when the storage could not be asked and the call is not to
            be reported.
        probe: Whether it is a probe of the half-open breaker.
        began_ns: When it began, on the monotonic clock.
        judged: What the caller said about it inside a `with` block, before it ended.
    """

    __slots__ = ("began_ns", "call", "epoch", "judged", "probe")

    def __init__(self, call: int, epoch: int | None, began_ns: int, *, probe: bool = False) -> None:
        self.call = call
        self.epoch = epoch
        self.began_ns = began_ns
        self.probe = probe
        self.judged: Result | None = None

    def fail(self) -> None:
        """Count this call as a failure although it raises nothing, such as for a response with an error status."""
        self.judged = Result.FAILURE

    def ignore(self) -> None:
        """Count this call neither as a success nor as a failure."""
        self.judged = Result.IGNORED
