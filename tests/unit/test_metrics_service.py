"""The StatsD receiver as a process: what Airflow's own client sends, read back over HTTP."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import statsd
from backpressure.airflow.metrics import Metrics, MetricsError

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = secrets.token_hex(16)
DEADLINE = 30.0


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Run one receiver for all tests here; yields its URL and its UDP port."""
    token_file = tmp_path_factory.mktemp("metrics") / "token"
    token_file.write_text(TOKEN)
    with subprocess.Popen(
        [sys.executable, "-m", "backpressure_lab.metrics", "--port", "0", "--token-file", str(token_file)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield line.replace(",", "").split()[3], int(line.rsplit(":", 1)[1])
        finally:
            process.kill()


@pytest.fixture
def metrics(receiver: tuple[str, int]) -> Iterator[Metrics]:
    """Return a client."""
    client = Metrics(base_url=receiver[0], token=TOKEN)
    yield client
    client.close()


@pytest.fixture
def airflow(receiver: tuple[str, int]) -> Iterator[statsd.StatsClient]:
    """Return the client that Airflow sends with."""
    client = statsd.StatsClient("127.0.0.1", receiver[1], prefix="airflow")
    yield client
    client.close()


def after(metrics: Metrics, packets: int, before: dict[str, Any]) -> dict[str, Any]:
    """Wait until so many more packets were received and return the new counts."""
    deadline = time.monotonic() + DEADLINE
    while (stats := metrics.stats())["packets"] < before["packets"] + packets:
        assert time.monotonic() < deadline, f"{stats} does not reach {packets} more packets than {before}"
        time.sleep(0.01)
    return stats


def test_what_airflows_client_sends_is_kept(metrics: Metrics, airflow: statsd.StatsClient) -> None:
    """Counters, gauges (negative ones, too) and timers become series with instants of receipt."""
    before = metrics.stats()
    for _ in range(3):
        airflow.incr("ti.start", 2)
    airflow.gauge("pool.open_slots.p", -1)
    airflow.timing("loop", 12.5)
    stats = after(metrics, 5, before)
    assert stats["malformed"] == before["malformed"]
    start = metrics.series("ti.start")
    assert start is not None
    assert (start.kind, start.values, start.increase) == ("counter", (2.0, 4.0, 6.0), 6.0)
    assert before["now"] <= start.at[0] <= start.at[-1] <= stats["now"]
    gauge, timer = metrics.series("pool.open_slots.p"), metrics.series("loop")
    assert gauge is not None
    assert gauge.values == (-1.0,)
    assert timer is not None
    assert (timer.kind, timer.values) == ("timer", (12.5,))


def test_a_window_counts_from_what_was_before(metrics: Metrics, airflow: statsd.StatsClient) -> None:
    """The increase of a counter within a window leaves out what was counted before it."""
    before = metrics.stats()
    airflow.incr("windowed", 5)
    middle = after(metrics, 1, before)
    airflow.incr("windowed", 2)
    after(metrics, 1, middle)
    series = metrics.series("windowed", since=middle["now"])
    assert series is not None
    assert (series.before, series.increase, series.complete) == (5.0, 2.0, True)
    assert series.value_at(middle["now"]) == 5.0
    assert series.value_at(series.at[0]) == 7.0
    early = metrics.series("windowed", until=middle["now"])
    assert early is not None
    assert early.increase == 5.0
    long_ago = metrics.series("windowed", since=0.0)
    assert long_ago is not None
    assert not long_ago.complete


def test_tags_and_patterns_select(metrics: Metrics, airflow: statsd.StatsClient) -> None:
    """One name with several sets of tags needs the tags; a pattern returns all."""
    before = metrics.stats()
    airflow.gauge("tagged,pool_name=a", 1)
    airflow.gauge("tagged,pool_name=b", 2)
    after(metrics, 2, before)
    with pytest.raises(ValueError, match="has 2 series"):
        metrics.series("tagged")
    b = metrics.series("tagged", tags={"pool_name": "b"})
    assert b is not None
    assert b.values == (2.0,)
    assert [series.tags for series in metrics.matching("tag*")] == [{"pool_name": "a"}, {"pool_name": "b"}]
    assert [name["value"] for name in metrics.names("tagged")] == [1.0, 2.0]
    assert metrics.series("never sent") is None


def test_garbage_is_counted_and_harmless(metrics: Metrics, receiver: tuple[str, int]) -> None:
    """Random bytes among metrics lose nothing but themselves."""
    before = metrics.stats()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in (b"\xff\x00\x80", b"airflow.good:1|c\nbad\nairflow.good:1|c", b"_e{1,1}:a|b"):
            sender.sendto(data, ("127.0.0.1", receiver[1]))
    stats = after(metrics, 3, before)
    grown = {name: stats[name] - before[name] for name in ("metrics", "malformed", "unsupported")}
    assert grown == {"metrics": 2, "malformed": 2, "unsupported": 1}
    good = metrics.series("good")
    assert good is not None
    assert good.increase == 2


def test_the_kernels_losses_are_told(metrics: Metrics) -> None:
    """A lesson that reconciles counts can see whether datagrams were dropped before they were read."""
    stats = metrics.stats()
    assert stats["receive_buffer"] > 0
    expected = {0} if sys.platform == "linux" else {None}
    assert {stats["dropped_by_kernel"]} == expected


def test_reading_needs_the_token_and_health_does_not(receiver: tuple[str, int]) -> None:
    """Names, series and counts are for the lab's own."""
    for route in ("names", "series?name=x", "stats"):
        assert httpx.get(f"{receiver[0]}/{route}").status_code == 401
    health = httpx.get(f"{receiver[0]}/health").json()
    assert (health["status"], health["service"]) == ("healthy", "metrics")
    assert httpx.get(f"{receiver[0]}/time").json()["now"] >= health["now"]
    with pytest.raises(MetricsError, match="HTTP 401"):
        Metrics(base_url=receiver[0], token="wrong").stats()


def test_a_bad_query_is_refused_by_name(receiver: tuple[str, int]) -> None:
    """The answer names the field and what is expected."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for query, field in (("", "name"), ("?name=x&since=nan", "since"), ("?name=x&until=later", "until")):
        reply = httpx.get(f"{receiver[0]}/series{query}", headers=headers)
        assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)


def test_a_receiver_that_is_not_there_is_explained() -> None:
    """The error says what to do."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Metrics(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}", token=TOKEN)
        with pytest.raises(MetricsError, match="Is the lab up"):
            client.stats()


def test_instants_of_what_was_never_sent_are_none(metrics: Metrics, airflow: statsd.StatsClient) -> None:
    """A count that stays at nothing is sent by nobody."""
    airflow.incr("busy")
    airflow.incr("busy")
    deadline = time.monotonic() + 10
    while len(metrics.instants("busy")) < 2:
        assert time.monotonic() < deadline
    assert metrics.instants("never sent") == ()
