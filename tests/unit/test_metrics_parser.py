"""StatsD's dialects: what is understood, and that nothing else does harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backpressure_lab.metrics.parser import KINDS, Sample, parse_packet


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("a.b:3|c", Sample("a.b", (), "counter", 3.0)),
        ("a.b:-3|c", Sample("a.b", (), "counter", -3.0)),
        ("a.b:2|c|@0.1", Sample("a.b", (), "counter", 20.0)),
        ("a.b:128|g", Sample("a.b", (), "gauge", 128.0)),
        ("a.b:+2|g", Sample("a.b", (), "gauge", 2.0, relative=True)),
        ("a.b:-2.5|g", Sample("a.b", (), "gauge", -2.5, relative=True)),
        ("a.b:12.75|ms", Sample("a.b", (), "timer", 12.75)),
        ("a.b:12|ms|@0.5", Sample("a.b", (), "timer", 12.0)),
        ("a.b:1e-3|h", Sample("a.b", (), "histogram", 0.001)),
        ("a.b:.5|d", Sample("a.b", (), "distribution", 0.5)),
        ("a.b:user 7|s", Sample("a.b", (), "set", 0.0, member="user 7")),
        ("a.b:1|c|#x:1,flag,b:c:d", Sample("a.b", (("b", "c:d"), ("flag", ""), ("x", "1")), "counter", 1.0)),
        ("a.b:1|g|#x:1|c:83c0a9|T1656581400", Sample("a.b", (("x", "1"),), "gauge", 1.0)),
        ("a.b,pool_name=p 1:5|g", Sample("a.b", (("pool_name", "p 1"),), "gauge", 5.0)),
        ("a,run=manual__2026-01-01T00:00:00+00:00:5|c", Sample("a", (("run", "manual__2026-01-01T00:00:00+00:00"),),
                                                               "counter", 5.0)),
    ],
)  # fmt: skip
def test_a_line_is_understood(line: str, sample: Sample) -> None:
    """Counters, gauges, timers, histograms, distributions and sets, with rate and tags of both kinds."""
    packet = parse_packet(line.encode())
    assert packet.samples == [sample]
    assert (packet.malformed, packet.unsupported) == (0, 0)


def test_a_packet_holds_many_metrics_and_a_metric_many_values() -> None:
    """Lines are parted by newlines, packed values by colons; a last newline is no line."""
    packet = parse_packet(b"a:1|c\nb:2:3|ms|#x:y\r\nc:4|g\n")
    assert [(s.name, s.value) for s in packet.samples] == [("a", 1), ("b", 2), ("b", 3), ("c", 4)]
    assert packet.samples[2].tags == (("x", "y"),)
    assert packet.malformed == 0


@pytest.mark.parametrize(
    "line",
    [
        "", "\n\n", "a", "a:1", "a:|c", ":1|c", "a:1|x", "a:one|c", "a:nan|g", "a:inf|g", "a:1_0|c", "a:1|c|@0",
        "a:1|c|@1.5", "a:1|c|@x", "a:1|c|?", "a:1:x|ms", "a:|s", "a\x00b:1|c", "|||", "::::", "a:1e9999|c",
        "a:\u0661|c", f"{'n' * 501}:1|c",
    ],
)  # fmt: skip
def test_a_line_that_is_no_metric_is_counted_and_does_no_harm(line: str) -> None:
    """Its neighbours in the packet are kept."""
    assert parse_packet(line.encode()).malformed == 1
    neighbours = parse_packet(f"good:1|c\n{line}\ngood:2|c".encode())
    assert [sample.value for sample in neighbours.samples] == [1, 2]
    assert neighbours.malformed == (1 if line.strip() else 0)


def test_events_and_service_checks_are_counted_apart() -> None:
    """They are well formed, but no time series."""
    packet = parse_packet(b"_e{5,4}:title|text\n_sc|db|0\na:1|c")
    assert (len(packet.samples), packet.malformed, packet.unsupported) == (1, 0, 2)


@given(st.binary(max_size=300))
def test_no_datagram_raises(data: bytes) -> None:
    """Whatever arrives is parsed or counted, and values are finite."""
    packet = parse_packet(data)
    assert packet.samples or packet.malformed or packet.unsupported
    assert all(abs(sample.value) < float("inf") for sample in packet.samples)


@given(
    st.text("ab_.", min_size=1, max_size=20),
    st.sampled_from(sorted(set(KINDS) - {"s"})),
    st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e12),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("ab:.1", max_size=6), max_size=3),
)
def test_what_a_client_formats_is_read_back(name: str, kind: str, value: float, tags: dict[str, str]) -> None:
    """Any name, number and tags come back as they were sent."""
    text = ",".join(f"{tag}:{content}" for tag, content in tags.items())
    line = f"{name}:{value!r}|{kind}" + (f"|#{text}" if tags else "")
    (sample,) = parse_packet(line.encode()).samples
    assert (sample.name, sample.kind, sample.value, dict(sample.tags)) == (name, KINDS[kind], value, tags)
