"""A link's rate is shared evenly and never exceeded."""

from __future__ import annotations

import heapq

import pytest

from backpressure_lab.upstream.link import SLACK, Link, chunk_size

RATE = 100_000.0


def download(sizes: list[int], *, lateness: float = 0.0) -> list[tuple[float, int, int]]:
    """Play downloads that begin together; each asks for a chunk when its last one is through, so much late.

    Returns:
        (instant, download, bytes) for every chunk.
    """
    link, sent = Link(), []
    asking: list[tuple[float, int, int, float | None]] = [(0.0, n, size, None) for n, size in enumerate(sizes)]
    heapq.heapify(asking)
    while asking:
        now, number, left, after = heapq.heappop(asking)
        size = min(chunk_size(RATE), left)
        through = link.send(size, RATE, now, after)
        sent.append((through, number, size))
        if left > size:
            heapq.heappush(asking, (through + lateness, number, left - size, through))
    return sent


@pytest.mark.parametrize("lateness", [0.0, 0.004])
def test_one_download_gets_the_whole_rate(lateness: float) -> None:
    """A download takes size ÷ rate, also when its sender is woken a little late each time."""
    assert download([100_000], lateness=lateness)[-1][0] == pytest.approx(1.0, rel=0.001)


def test_downloads_in_progress_share_the_rate_evenly() -> None:
    """Four equal downloads end together, after four times the time of one."""
    sent = download([50_000] * 4)
    ends = [max(at for at, number, _ in sent if number == n) for n in range(4)]
    assert max(ends) == pytest.approx(2.0)
    assert min(ends) > 0.95 * max(ends)


def test_the_sum_never_exceeds_the_rate() -> None:
    """In no window of w seconds is more sent than rate * (w + slack)."""
    sent = sorted(download([30_000, 60_000, 90_000], lateness=0.01))
    for first, (begin, _, _) in enumerate(sent):
        total = 0
        for at, _, size in sent[first + 1 :]:
            total += size
            assert total <= RATE * (at - begin + SLACK) + 1e-6


def test_a_stalled_download_saves_up_no_rate() -> None:
    """A client that read nothing for a minute does not get a minute's bytes at once."""
    link = Link()
    first = link.send(2000, RATE, 0.0)
    assert link.send(2000, RATE, 60.0, first) == pytest.approx(60.0 - SLACK + 2000 / RATE)
