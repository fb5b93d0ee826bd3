"""A link of limited rate that the downloads in progress share."""

from __future__ import annotations

SLICE = 0.02
"""Seconds of the link that one chunk takes; the grain in which downloads take turns."""
SLACK = 0.05
"""Seconds that a sender may be late without losing its turn; timers and a busy machine wake it late."""
_SMALLEST, _LARGEST = 1024, 262_144


def chunk_size(rate: float) -> int:
    """Return how many bytes to send in one turn at so many bytes a second."""
    return int(min(max(rate * SLICE, _SMALLEST), _LARGEST))


class Link:
    """Gives each chunk its time on the link, in the order of asking.

    A download asks for its next chunk when the last one is through, so that downloads in progress take turns and share
    the rate evenly; in no window of w seconds is more sent than rate * (w + ``SLACK``).
    """

    def __init__(self) -> None:
        self._free_at = 0.0

    def send(self, size: int, rate: float, now: float, after: float | None = None) -> float:
        """Reserve the link and return the instant at which the last byte is through.

        Args:
            size: bytes.
            rate: bytes a second.
            now: the instant of asking.
            after: when this download's last chunk was through; None for its first.
        """
        earliest = now if after is None else max(after, now - SLACK)
        self._free_at = max(self._free_at, earliest) + size / rate
        return self._free_at
