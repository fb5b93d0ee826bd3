"""Datagrams that the receiver passes on."""

from __future__ import annotations

import socket

import pytest

from backpressure_lab.metrics.forward import Forwarder


def test_what_is_sent_arrives() -> None:
    """A second server gets the very datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(10)
        forward = Forwarder("127.0.0.1", other.getsockname()[1])
        forward.send(b"airflow.a:1|c")
        assert other.recv(100) == b"airflow.a:1|c"
        assert forward.sent == 1
        forward.close()


def test_a_name_that_is_not_known_is_asked_for_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the other server is not there, datagrams are dropped without a look-up each."""
    asked = []

    def unknown(*question: object, **_: object) -> None:
        asked.append(question)
        raise socket.gaierror("not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    now = [0.0]
    forward = Forwarder("statsd-exporter", 9125, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 9.9, 10.0, 12.0):
        forward.send(b"x")
    assert len(asked) == 2
    assert forward.sent == 0


def test_a_server_that_goes_away_and_comes_back_is_found_again() -> None:
    """A refused datagram closes the socket; after the pause the name is looked up anew."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    now = [0.0]
    forward = Forwarder("127.0.0.1", port, clock=lambda: now[0])
    for _ in range(5):  # the kernel reports the refusal of one datagram with a later one
        forward.send(b"lost")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        other.settimeout(10)
        now[0] = 11.0
        forward.send(b"found")
        assert other.recv(100) == b"found"
    forward.close()
