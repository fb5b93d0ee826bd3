"""The simulator as a process: HTTP, faults on real sockets, the lesson's client, start and stop."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from backpressure.airflow.run import Run
from backpressure.airflow.upstream import (
    Endpoint,
    Upstream,
    UpstreamDroppedError,
    UpstreamError,
    UpstreamRateLimitedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    retry_after,
)

from backpressure_lab.upstream.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = secrets.token_hex(16)
DEADLINE = 30.0


@contextlib.contextmanager
def started(service: str, token_file: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a service on a free port; yields the process and its first line of output."""
    token_file.write_text(TOKEN + "\n")
    command = [sys.executable, "-m", f"backpressure_lab.{service}", "--port", "0", "--token-file", str(token_file)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


def until(condition: Callable[[], Any]) -> Any:
    """Poll for a state and return it; fails at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not (state := condition()):
        assert time.monotonic() < deadline, "the state was not reached in time"
        time.sleep(0.01)
    return state


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one simulator for all tests here: each has a lane of its own."""
    with started("upstream", tmp_path_factory.mktemp("upstream") / "token") as (_, line):
        yield line.split()[-1]


@pytest.fixture
def upstream(base_url: str, request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Return a client of a lane named after the test."""
    with Upstream(request.node.name, base_url=base_url, token=TOKEN, timeout=DEADLINE) as client:
        client.configure(service_time=0)
        yield client


def request_socket(upstream: Upstream, key: str = "k") -> socket.socket:
    """Send a request of which nobody reads the reply."""
    url = httpx.URL(upstream.endpoint.url("call", upstream.lane))
    sender = socket.create_connection((url.host, url.port or 0))
    sender.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n\r\n" % (url.raw_path, key.encode()))
    return sender


def test_health_and_time_need_no_token(base_url: str) -> None:
    """Both tell the clock that the log is written by."""
    health = httpx.get(f"{base_url}/health").json()
    assert (health["status"], health["service"]) == ("healthy", "upstream")
    now = httpx.get(f"{base_url}/time").json()["now"]
    assert health["started_at"] < health["now"] <= now


def test_control_and_logs_need_the_token(base_url: str) -> None:
    """Without it, or with another, nothing is told and nothing changes; the data plane is open."""
    http = httpx.Client(base_url=base_url, verify=False)  # noqa: S501  # plain HTTP; certificates would only cost time
    routes = [("GET", "lanes"), ("GET", "lanes/x"), ("PATCH", "lanes/x"), ("DELETE", "lanes/x"), ("GET", "log"),
              ("PUT", "lanes/x/schedule"), ("GET", "notify/x")]  # fmt: skip
    for method, route in routes:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            reply = http.request(method, f"/{route}", headers=headers)
            assert (reply.status_code, "token" in reply.json()["error"]["message"]) == (401, True)
    assert http.get("/call/x").status_code == 200
    assert http.post("/notify/x", content=b"hello").status_code == 201
    http.close()


def test_a_payload_depends_on_lane_path_and_revision_alone(upstream: Upstream) -> None:
    """Fetched twice it is the same; another path or revision is other data."""
    first, again, other = upstream.call("a/b"), upstream.call("a/b", key="k"), upstream.call("a/c")
    assert first.body == again.body != other.body
    assert first.headers["ETag"] == f'"{first.data["digest"]}"'
    upstream.configure(revision=2)
    assert upstream.call("a/b").data["digest"] != first.data["digest"]


def test_names_may_hold_any_printable_character(base_url: str) -> None:
    """Run ids with colons, plus signs and spaces, and letters beyond ASCII, name a lane."""
    for lane in ("manual__2026-01-01T00:00:00.5+00:00", "a b/c?d#e%f", "über"):
        client = Upstream(lane, base_url=base_url, token=TOKEN)
        client.call("p q/r", key="k", request_id="id+1")
        log = client.log()
        assert (log.lane.tolist(), log.path.tolist(), log.request_id.tolist()) == ([lane], ["p q/r"], ["id+1"])
    too_long = Upstream("x" * 201, base_url=base_url, token=TOKEN)
    with pytest.raises(ValueError, match="1 to 200 printable characters"):
        too_long.configure()


def test_a_shut_upstream_answers_all_at_once_when_it_opens(upstream: Upstream) -> None:
    """Callers wait, however many, and none for longer than the block lasts that shut it, though that fails."""
    with ThreadPoolExecutor(3) as pool:
        with contextlib.suppress(LookupError), upstream.shut():
            calls = [pool.submit(upstream.call) for _ in range(3)]
            until(lambda: upstream.state()["waiting"] == 3)
            assert not any(call.done() for call in calls)
            raise LookupError
        assert all(call.result(DEADLINE).ok for call in calls)


def test_a_fresh_start_forgets_what_was_set_and_has_new_data(upstream: Upstream) -> None:
    """Faults of before are gone, the log from the returned instant is this start's, and the data are others."""
    old = upstream.call("rates").data["digest"]
    upstream.configure(outage=True)
    since = upstream.begin(service_time=0.0)
    assert upstream.call("rates").data["digest"] != old
    assert len(upstream.log(since=since)) == 1
    assert upstream.state()["settings"]["service_time"] == 0.0
    upstream.begin(revision=0)
    assert upstream.call("rates").data["digest"] == old


def test_capacity_queue_and_refusal(upstream: Upstream) -> None:
    """Of five at once two are served, one waits, two get 503 with Retry-After, and the log shows it."""
    upstream.configure(capacity=2, queue_limit=1, service_time=60)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(request_socket(upstream)) for _ in range(5)]
        until(lambda: upstream.log().statuses() == {"serving": 2, "waiting": 1, "503": 2})
        state = upstream.state()
        assert (state["serving"], state["waiting"], state["settings"]["capacity"]) == (2, 1, 2)
        log = upstream.log()
        assert log.select(status=503).retry_after.tolist() == [60, 60]
        assert log.inflight("start").peak().value == 2
        sockets[0].close()
        sockets[1].close()
        sockets[2].close()
        until(lambda: upstream.log().count(status="disconnected") == 3)
    assert upstream.log().inflight("start").peak().value == 2


def test_waiting_shows_as_latency(upstream: Upstream) -> None:
    """With capacity 1, one request is served at a time, in order of arrival."""
    upstream.configure(capacity=0, service_time=0.02)
    with ThreadPoolExecutor(6) as pool:
        replies = [pool.submit(upstream.call) for _ in range(6)]
        until(lambda: upstream.log().statuses() == {"waiting": 6})
        upstream.configure(capacity=1)
        assert all(reply.result().ok for reply in replies)
    log = upstream.log()
    assert log.inflight("start").peak().value == 1
    assert log.inflight().peak().value == 6
    assert log.start.tolist() == sorted(log.start.tolist())
    assert (log.latency() >= log.service()).all()


def test_a_quota_is_told_in_every_usual_header(upstream: Upstream) -> None:
    """Each reply tells what is left; the refusal tells when to come back."""
    upstream.configure(quotas={"a": {"limit": 2, "period": 3600, "daily": 30}})
    first = upstream.call(key="a")
    assert first.headers["X-RateLimit-Limit"] == "2"
    assert first.headers["X-RateLimit-Remaining"] == "1"
    assert first.headers["RateLimit-Policy"] == '"rate";q=2;w=3600, "daily";q=30;w=86400'
    assert first.headers["RateLimit"].startswith('"rate";r=1;t=3600, "daily";r=29;t=')
    upstream.call(key="a")
    with pytest.raises(UpstreamRateLimitedError, match="quota") as caught:
        upstream.call(key="a")
    assert caught.value.status == 429
    assert caught.value.retry_after is not None
    assert 3500 < caught.value.retry_after <= 3600
    assert upstream.call(key="b").ok
    log = upstream.log()
    assert log.select(key="a").statuses() == {"200": 2, "429": 1}
    assert log.select(status=429).retry_after.tolist() == [caught.value.retry_after]


def test_retry_after_as_a_date(upstream: Upstream) -> None:
    """The other form of the header is rounded up to a whole second and read by the client, too."""
    upstream.configure(outage=True, retry_after=90, retry_after_format="date")
    reply = upstream.call(check=False)
    instant = parsedate_to_datetime(reply.headers["Retry-After"]).timestamp()
    log = upstream.log()
    assert 90 <= instant - log.finish[-1] <= 91.001
    assert log.retry_after[-1] == pytest.approx(instant - log.finish[-1], abs=0.01)
    assert reply.retry_after is not None
    assert 0 < reply.retry_after <= 91
    assert retry_after({}) is retry_after({"Retry-After": "soon"}) is None


def test_an_outage_is_scheduled_with_its_end(upstream: Upstream) -> None:
    """One call sets the whole weather; what took effect when is on record."""
    instants = upstream.schedule([{"at": 0, "set": {"outage": True}, "for": 3600}])
    with pytest.raises(UpstreamUnavailableError) as caught:
        upstream.call()
    assert caught.value.retry_after is not None
    assert 3500 < caught.value.retry_after <= 3600
    upstream.reset()
    assert upstream.call().ok
    recorded = [(change["settings"].get("outage"), change["at"]) for change in upstream.changes(since=instants[0])]
    assert recorded[0] == (True, instants[0])
    assert recorded[1][0] is False


def test_a_scheduled_change_reaches_waiting_requests_by_itself(upstream: Upstream) -> None:
    """A request that waits for capacity is served when the schedule brings it, with no other request coming."""
    upstream.configure(capacity=0)
    upstream.schedule([{"at": 0.2, "set": {"capacity": 1}}])
    assert upstream.call().ok
    (change,) = [change for change in upstream.changes() if change["settings"] == {"capacity": 1}]
    assert upstream.log().start[0] >= change["at"]


def test_a_dropped_connection(upstream: Upstream) -> None:
    """The client sees the connection close without a reply, and can go on after it."""
    upstream.configure(drop_first=1)
    with pytest.raises(UpstreamDroppedError) as caught:
        upstream.call(key="a")
    assert caught.value.status is None
    assert upstream.call(key="a").ok
    assert upstream.log().status.tolist() == ["dropped", "200"]


def test_a_hanging_request_outlives_its_client(upstream: Upstream) -> None:
    """The client's timeout ends it; the log says that it hung, from arrival to the client's leaving."""
    upstream.configure(hang=1, hang_seconds=3600)
    with pytest.raises(UpstreamTimeoutError, match=r"no reply within 0\.1 s"):
        upstream.call(timeout=0.1)
    with request_socket(upstream, "other"):
        log = until(lambda: (log := upstream.log(key="other")).status.tolist() == ["hung"] and log)
        assert log.inflight().peak().value == 1
    ended = until(lambda: (log := upstream.log(key="other")).latency().tolist() and log)
    assert ended.status.tolist() == ["hung"]
    assert len(ended.waits()) == 0


def test_a_hanging_request_is_dropped_or_answered_at_last(upstream: Upstream) -> None:
    """After hang_seconds the connection closes, or the request is served as if it had come then."""
    upstream.configure(hang_first=1, hang_seconds=0.1)
    with pytest.raises(UpstreamDroppedError):
        upstream.call(key="a")
    upstream.configure(hang_then="answer")
    assert upstream.call(key="b").ok
    log = upstream.log()
    assert log.status.tolist() == ["hung", "200"]
    assert (log.latency() >= 0.1).all()
    assert log.waits()[0] >= 0.1


def test_a_client_that_gives_up_frees_its_place(upstream: Upstream) -> None:
    """Leaving the queue, or the service, is logged as disconnected and lets the next one in."""
    upstream.configure(capacity=1, queue_limit=1, service_time=3600)
    with request_socket(upstream, "served") as served, request_socket(upstream, "waits") as waits:
        until(lambda: upstream.log().statuses() == {"serving": 1, "waiting": 1})
        waiting = "waits" if upstream.log(key="waits").status[0] == "waiting" else "served"
        (waits if waiting == "waits" else served).close()
        until(lambda: upstream.log(key=waiting).status.tolist() == ["disconnected"])
        with request_socket(upstream, "next"):
            until(lambda: upstream.log(key="next").status.tolist() == ["waiting"])
            (served if waiting == "waits" else waits).close()
            until(lambda: upstream.log(key="next").status.tolist() == ["serving"])
    until(lambda: upstream.log().statuses() == {"disconnected": 3})


def test_a_share_of_requests_fails_after_service(upstream: Upstream) -> None:
    """Errors are 5xx replies of requests that were served."""
    upstream.configure(error=0.5, error_status=502)
    statuses = [upstream.call(check=False).status for _ in range(20)]
    assert statuses.count(502) == pytest.approx(10, abs=2)
    upstream.configure(error=1)
    with pytest.raises(UpstreamUnavailableError) as caught:
        upstream.call()
    assert caught.value.status == 502
    assert len(upstream.log().waits()) == len(upstream.log())


def test_downloads_share_the_links_rate(upstream: Upstream) -> None:
    """Bodies arrive whole, and all together never faster than the link; without a link rate they do."""
    size, rate = 30_000, 200_000.0
    upstream.configure(body_size=size, link_rate=rate)
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda _: upstream.call(), range(3)))
    assert [len(reply.body) for reply in replies] == [size] * 3
    log = upstream.log()
    assert log.bytes.tolist() == [size] * 3
    span = log.finish.max() - log.start.min()
    assert 3 * size <= rate * (span + 0.06)
    assert (log.finish - log.start >= size / rate - 1e-5).all()
    upstream.configure(link_rate=None)
    assert upstream.call().data["digest"] == replies[0].data["digest"]
    assert upstream.log().download_rates()[-1] > rate


def test_expiry_headers(upstream: Upstream) -> None:
    """max_age is told in both forms, and not at all by default."""
    assert "Expires" not in upstream.call().headers
    upstream.configure(max_age=60)
    headers = upstream.call().headers
    assert headers["Cache-Control"] == "max-age=60"
    assert parsedate_to_datetime(headers["Expires"]).timestamp() == pytest.approx(upstream.time() + 60, abs=20)


def test_a_job_runs_and_ends_with_a_result_that_depends_on_its_name(upstream: Upstream, base_url: str) -> None:
    """Polling sees running, then done; the same name gives the same result on any lane."""
    job = upstream.submit_job(0.2, "report")
    assert upstream.job(job)["state"] == "running"
    done = until(lambda: (view := upstream.job(job))["state"] == "done" and view)
    other = Upstream("another lane", base_url=base_url, token=TOKEN)
    assert other.job(other.submit_job(0, "report"))["result"] == done["result"]
    assert httpx.get(upstream.job_url(job)).json()["result"] == done["result"]
    with pytest.raises(UpstreamError, match="has no job") as caught:
        other.job(job)
    assert caught.value.status == 404
    with pytest.raises(UpstreamError, match=r"a number from 0 to 3600 s"):
        upstream.submit_job(-1)


def test_notifications_arrive_whatever_the_weather(upstream: Upstream) -> None:
    """They are listed with their instants, apart from the log of requests."""
    upstream.configure(outage=True)
    before = upstream.time()
    upstream.notify({"alert": "depth", "n": 3})
    upstream.notify("plain")
    notes = upstream.notifications(since=before)
    assert [note["body"] for note in notes] == [{"alert": "depth", "n": 3}, "plain"]
    assert before <= notes[0]["at"] <= notes[1]["at"] <= upstream.time()
    assert upstream.notifications(until=before) == []
    assert len(upstream.log()) == 0
    with pytest.raises(UpstreamError, match="at most 16384 bytes"):
        upstream.notify("x" * 20_000)


def test_lanes_do_not_disturb_each_other(upstream: Upstream, base_url: str) -> None:
    """A fault, a quota and a log belong to one lane."""
    other = Upstream("undisturbed", base_url=base_url, token=TOKEN)
    upstream.configure(outage=True)
    assert other.call().ok
    assert other.state()["settings"]["outage"] is False
    assert set(other.log().lane) == {"undisturbed"}


def test_an_abandoned_fault_goes_away(upstream: Upstream) -> None:
    """A lane that nobody uses returns to its defaults."""
    upstream.configure(outage=True, expires_after=0.1)
    until(lambda: upstream.state()["settings"]["outage"] is False)
    assert upstream.call().ok


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ('{"capacity": -1}', "capacity", "0 to 10000"),
        ('{"slow": NaN}', "slow", "0.01 to 1000"),
        ('{"slow": 1e999}', "slow", "0.01 to 1000"),
        ('{"capcity": 3}', "capcity", "did you mean capacity"),
        ('{"quotas": {"a": {"limit": 1.5}}}', "quotas.a.limit", "a whole number"),
        ("[]", "settings", "an object"),
        ("{", "body", "JSON"),
        ("", "body", "JSON"),
        ("[" * 100_000, "body", "JSON"),
    ],
)
def test_a_bad_setting_is_400_with_field_value_and_range(base_url: str, body: str, field: str, words: str) -> None:
    """The answer is strict JSON that names what was wrong, and the lane stays as it was."""
    reply = httpx.patch(f"{base_url}/lanes/bad", content=body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["field"], words in error["expected"], "value" in error) == (field, True, True)
    assert "NaN" not in reply.text.replace("NaN}", "")


def test_the_client_turns_a_bad_setting_into_a_value_error(upstream: Upstream) -> None:
    """The lesson's author reads name, value and range."""
    with pytest.raises(ValueError, match="capacity=-1 was refused: expected a whole number from 0 to 10000 or null"):
        upstream.configure(capacity=-1)
    with pytest.raises(ValueError, match=r"schedule\[0\]\.at=-3"):
        upstream.schedule([{"at": -3, "set": {}}])


def test_unknown_routes_are_answered_in_json(base_url: str) -> None:
    """No HTML, no traceback."""
    reply = httpx.get(f"{base_url}/nope")
    assert (reply.status_code, "Not Found" in reply.json()["error"]["message"]) == (404, True)


def test_the_log_says_when_it_cannot_know(upstream: Upstream, base_url: str) -> None:
    """A window that begins before the simulator did is incomplete; reading by key and window selects."""
    upstream.call(key="a")
    upstream.call(key="b")
    started_at = httpx.get(f"{base_url}/health").json()["started_at"]
    assert upstream.log(since=started_at).complete
    assert not upstream.log(since=started_at - 1).complete
    log = upstream.log()
    assert upstream.log(key="b").id.tolist() == [log.id[1]]
    assert len(upstream.log(until=float(log.arrival[1]))) == 1


def test_a_wrong_token_or_address_is_explained(base_url: str) -> None:
    """The error says what to do."""
    with pytest.raises(UpstreamError, match="password must be this lab's token"):
        Upstream("x", base_url=base_url, token="wrong").configure()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(UpstreamDroppedError, match="Is the lab up"):
            Upstream("x", base_url=f"http://127.0.0.1:{port}", token=TOKEN).call()


def test_the_client_finds_the_simulator_by_its_airflow_connection(
    base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Host, port and password of the connection are all it needs, read on first use; the run notes what it sets."""
    url = httpx.URL(base_url)
    asked = []
    noted: list[str] = []
    monkeypatch.setattr(Run, "current", lambda: SimpleNamespace(borrow_lane=noted.append))

    def get(conn_id: str) -> SimpleNamespace:
        asked.append(conn_id)
        return SimpleNamespace(host=url.host, port=url.port if conn_id == "upstream" else None, password=TOKEN)

    monkeypatch.setitem(sys.modules, "airflow.sdk", SimpleNamespace(Connection=SimpleNamespace(get=get)))
    client = Upstream("by connection")
    assert asked == []
    client.configure(service_time=0)
    assert client.call().ok
    assert asked == ["upstream"]
    assert noted == ["by connection"]
    assert client.endpoint == Endpoint(base_url, TOKEN)
    with pytest.raises(ValueError, match=r"connection 'other' has host='127\.0\.0\.1' and port=None"):
        Upstream("x", conn_id="other").call()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("service", ["upstream", "metrics"])
def test_a_signal_stops_a_service_promptly(service: str, number: signal.Signals, tmp_path: Path) -> None:
    """Exit code 0, nothing more printed and no secret, whatever requests are in progress."""
    with started(service, tmp_path / "token") as (process, line):
        base_url = line.replace(",", "").split()[3]
        address = [c.laddr.ip for c in psutil.Process(process.pid).net_connections()]
        assert set(address) == {"127.0.0.1"}
        sockets = []
        if service == "upstream":
            client = Upstream("x", base_url=base_url, token=TOKEN)
            client.configure(hang=1, hang_seconds=3600, fault_keys=["hang"], capacity=1, service_time=3600)
            sockets = [request_socket(client, key) for key in ("hang", "a", "b")]
            until(lambda: client.log().statuses() == {"hung": 1, "serving": 1, "waiting": 1})
            client.close()
        process.send_signal(number)
        rest, _ = process.communicate(timeout=DEADLINE)
        assert (process.returncode, rest) == (0, "")
        assert line.startswith(f"{service} ready on http://127.0.0.1:")
        assert TOKEN not in line
        for sender in sockets:
            sender.close()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--port", "70000"], 2, "no port number from 0 to 65535"),
        (["--port", "-1"], 2, "no port number"),
        (["--token-file", "/nonexistent/token"], 2, "Write a random token there first"),
        (["--token-file", "/dev/null"], 2, "at least 16"),
        (["--por", "1"], 2, "unrecognized"),
        (["--host", "203.0.113.7"], 1, "upstream: "),
    ],
)
def test_a_bad_command_line_is_explained(
    options: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what was wrong; no traceback."""
    assert run_here(tmp_path, *options) == code
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_a_port_in_use_is_explained(base_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 with the remedy."""
    assert run_here(tmp_path, "--port", str(httpx.URL(base_url).port)) == 1
    assert "Choose another port" in capsys.readouterr().err


def run_here(folder: Path, *options: str) -> object:
    """Run the simulator's command in this process and return its exit code."""
    (folder / "token").write_text(TOKEN)
    try:
        return main(["--port", "0", "--token-file", str(folder / "token"), *options])
    except SystemExit as stopped:
        return stopped.code
