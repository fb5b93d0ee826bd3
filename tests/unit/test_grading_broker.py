"""What a task of a submission may reach while it runs, and what it may not, however it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from backpressure.airflow import connection, upstream
from backpressure.limiter.operations import GCRA_TAKE
from backpressure.retry.budget import CHANGE
from backpressure.storage import Argument, MemoryStorage, Operation, Result

from backpressure_lab import manifest
from backpressure_lab.exercises import catalog
from backpressure_lab.exercises.place import Place
from backpressure_lab.exercises.staging import Stage
from backpressure_lab.grading import staged
from backpressure_lab.grading.broker import Broker
from backpressure_lab.grading.staged import SubmissionError
from backpressure_lab.sandbox import warden
from backpressure_lab.sandbox.warden import NoSandboxError, Nursery

FILES = catalog.find(manifest.load(), "106.4")
RIGHT = FILES.solution.read_text(encoding="utf-8")
LANE = "token__partner"
WAYS_OUT = [
    ["..", "x7"],
    ["..", "..", "notify", LANE],
    ["page", "..", "..", "x7"],
    ["../x7"],
    ["..", ""],
    ["."],
    ["", "..", "x7"],
    ["page", ""],
    ["page/1"],
]


class Partner:
    """An upstream that notes its calls."""

    calls: list[tuple[str, str, str | None]]

    def __init__(self, lane: str) -> None:
        self.lane = lane

    def call(self, path: str, *, request_id: str | None, **_: Any) -> upstream.Reply:
        """Note the call."""
        self.calls.append((self.lane, path, request_id))
        return upstream.Reply(200, httpx.Headers({"RateLimit-Limit": "8"}), b"{}", 0.01)


class Noting(MemoryStorage):
    """A storage that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def run(
        self, operation: Operation, keys: tuple[str, ...], *arguments: Argument, timeout: float | None = None
    ) -> Result:
        """Note the keys."""
        self.keys += keys
        return super().run(operation, keys, *arguments, timeout=timeout)


@pytest.fixture
def partner() -> type[Partner]:
    """An upstream, with no calls yet."""
    Partner.calls = []
    return Partner


@pytest.fixture
def storage() -> Noting:
    """The shared state."""
    return Noting()


@pytest.fixture
def broker(partner: Callable[[str], Any], storage: Noting) -> Broker:
    """What answers a cell of the check ``token``."""
    return Broker([LANE], "token/", partner, storage)


def asked(**changed: Any) -> dict[str, Any]:
    """A call that may be made, with changes."""
    return {"ask": "upstream", "method": "GET", "parts": ["call", LANE, "page"], "timeout": 5, "headers": {}} | changed


def applied(**changed: Any) -> dict[str, Any]:
    """An operation that may be done, with changes."""
    arguments = [1, 10**9, 1, 0]
    return {
        "ask": "storage",
        "operation": GCRA_TAKE.name,
        "keys": ["x"],
        "arguments": arguments,
        "timeout": 1,
    } | changed


def test_a_call_of_the_checks_own_upstream_is_made(broker: Broker) -> None:
    """With its name in the upstream's log, and no other header."""
    answer = broker.answer(asked(headers={"X-Request-Id": "page 7", "Authorization": "Bearer made-up"}))
    assert answer["status"] == 200
    assert Partner.calls == [(LANE, "page", "page 7")]


def test_a_call_may_have_no_path(broker: Broker) -> None:
    """As ``Upstream.call()`` without one."""
    assert broker.answer(asked(parts=["call", LANE, ""]))["status"] == 200
    assert Partner.calls == [(LANE, "", None)]


@pytest.mark.parametrize("way", WAYS_OUT[:3])
def test_no_url_leads_elsewhere(way: list[str]) -> None:
    """A client would take the dots for a way up, whatever they are quoted like; who asks for them is told."""
    with pytest.raises(ValueError, match=r"'\.\.' in 'call/"):
        upstream.Endpoint("http://127.0.0.1:1").url("call", LANE, *way)


def test_names_of_limits_are_the_checks_own(broker: Broker, storage: Noting) -> None:
    """Two checks never share a limit, whatever they call it."""
    assert broker.answer(applied())["result"][0] is True
    assert storage.keys == ["token/x"]


def test_a_retry_budget_is_the_checks_own(broker: Broker, storage: Noting) -> None:
    """Tokens are put in and taken out as without a sandbox, under a name that no other check has."""
    spend = applied(operation=CHANGE.name, arguments=[-1.0, 1.0, 0.0])
    assert [broker.answer(spend)["result"] for _ in range(2)] == [[True, 0.0], [False, 0.0]]
    assert storage.keys == ["token/x"] * 2


@pytest.mark.parametrize(
    "question",
    [
        asked(parts=["call", "other__partner", "page"]),
        asked(parts=["lanes", LANE]),
        asked(parts=["log"]),
        asked(parts=["jobs", LANE]),
        asked(parts=["call"]),
        asked(parts="call"),
        asked(parts=[["call"], LANE]),
        asked(parts=["call", LANE, "x" * 1000]),
        *(asked(parts=["call", LANE, *way]) for way in WAYS_OUT),
        asked(method="DELETE"),
        asked(method=["GET"]),
        asked(headers={"X-Request-Id": "a\r\nAuthorization: b"}),
        asked(headers={"X-Request-Id": 7}),
        applied(operation="run_script"),
        applied(operation=None),
        applied(keys=[]),
        applied(keys=["x" * 1000]),
        applied(keys="token/x"),
        applied(keys=[1]),
        applied(arguments=[{"$ne": 1}]),
        applied(arguments=[{"bytes": "no base64", "more": 1}]),
        applied(arguments=[{"bytes": 7}]),
        applied(arguments=[{"bytes": "%"}]),
        applied(arguments=[{"bytes": "QQ==" * 1000}]),
        applied(arguments=[[[1]]]),
        applied(arguments=[2**70]),
        applied(arguments=[float("nan")]),
        applied(arguments=list(range(1000))),
        {"ask": "connection", "conn_id": "airflow_api"},
        {"ask": None},
        {},
    ],
)
def test_what_no_task_needs_is_refused(broker: Broker, storage: Noting, question: dict[str, Any]) -> None:
    """Nothing is called, and nothing is stored."""
    assert set(broker.answer(question)) == {"refused", "kind"}
    assert (Partner.calls, storage.keys) == ([], [])


def test_calls_are_counted(broker: Broker) -> None:
    """A task that asks without end is refused from some point on."""
    answers = [broker.answer(asked()) for _ in range(2100)]
    assert sum("refused" in answer for answer in answers) == 100


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Has loaded what tasks of a submission need."""
    why = warden.missing()
    if why:
        pytest.skip(why)
    with Nursery("airflow.sdk", "backpressure_lab.grading.brokered") as made:
        yield made


@pytest.fixture
def play(
    partner: type[Partner], storage: Noting, nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Runs ``fetch`` of a text in a cell; the world that the broker reaches is the test's."""
    monkeypatch.setattr(upstream, "Upstream", partner)
    monkeypatch.setattr(connection, "storage", lambda: storage)

    def played(text: str, numbers: Any = (101, 102), *, quickly: bool = True) -> Any:
        plan = {
            "text": text,
            "name": "submission.py",
            "lanes": [LANE],
            "token": "token",
            "names": {"fetch": ["numbers"]},
        }
        context = {"numbers": list(numbers), "params": {"partner": LANE}, "ti": object(), "conn": object()}
        return staged.play(plan, "fetch", (), context, nursery if quickly else None)

    return played


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES.right, ids=lambda path: path.stem)
def test_a_right_answer_runs_in_a_cell_as_it_would_outside(
    play: Callable[..., Any], storage: Noting, path: Any
) -> None:
    """Its calls reach the upstream, its limit the shared state, through a channel and nothing else."""
    assert play(path.read_text(encoding="utf-8"), quickly=path != FILES.solution) is None
    assert [name for _, _, name in Partner.calls] == ["page 101", "page 102"]
    assert {key for key in storage.keys if LANE in key} == set(storage.keys) != set()


@pytest.mark.slow
def test_a_bulkhead_is_shared_from_a_cell(play: Callable[..., Any], storage: Noting) -> None:
    """A place that one cell holds is refused to the next, and one that was given back is not."""
    text = body(
        "from backpressure import Bulkhead",
        'places = Bulkhead("places", 1, storage("backpressure_db"))',
        "lease = places.try_acquire(tenant='a')",
        "if lease and numbers[0] < 102:",
        "    lease.release()",
        "return lease is not None",
    )
    assert [play(text, [number]) for number in (101, 102, 103)] == [True, True, False]
    assert set(storage.keys) == {"token/places"}


def body(*lines: str) -> str:
    """The right answer with another body of ``fetch``."""
    head, _, rest = RIGHT.partition('        partner = Upstream(params["partner"])\n')
    _, _, tail = rest.partition("    fetch.expand")
    return head + "".join(f"        {line}\n" for line in lines) + "\n    fetch.expand" + tail


TASKS = {
    "raises": (body('raise KeyError("x" * 10_000)'), "KeyError: 'xxx"),
    "ends its process": (body("import os", "os._exit(0)"), "ended with exit code 0"),
    "asks another upstream": (body('Upstream("lane_of_another").call("page")'), "no upstream 'lane_of_another'"),
    "sets the upstream": (body('Upstream(params["partner"]).reset()'), "only calls"),
    "reads the log": (body('Upstream(params["partner"]).log()'), "only calls"),
    "takes another connection": (body('storage("airflow_api").run(None, ("x",))'), "there is no connection"),
    "opens the database": (
        body(
            "from backpressure.storage import PostgresStorage",
            'RateLimiter("x", Rate(1, 1), PostgresStorage("host=/")).acquire(timeout=1)',
        ),
        "",
    ),
    "asks Airflow": (body("from airflow.sdk import Variable", 'Variable.get("x")'), ""),
    "returns a long list": (body("return list(range(5000))"), "a list of 5000"),
    "returns much": (body('return "x" * 500_000'), "more than 20000 characters"),
    "returns too much": (body('return "x" * 5_000_000'), "ended with"),
    "returns what is no JSON": (body("return object()"), "ended with"),
    "forks": (body("import os", "os.fork()"), "PermissionError"),
    "looks for the task's context": (
        body("raise KeyError(params['partner'], [name for name in globals() if name == 'ti'])"),
        "[]",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("text", "part"), TASKS.values(), ids=TASKS)
def test_a_task_that_misbehaves_fails_and_that_is_all(play: Callable[..., Any], text: str, part: str) -> None:
    """What it did is the text of its failure; the task's own process, which holds the keys, goes on."""
    with pytest.raises(SubmissionError) as failure:
        play(text)
    assert part in str(failure.value)
    assert len(str(failure.value)) < 600


@pytest.mark.slow
def test_a_task_that_is_given_too_much_fails(play: Callable[..., Any]) -> None:
    """As by the results of its own tasks before it, which is no trouble of the machine's."""
    with pytest.raises(SubmissionError, match="it was given too much: a message of"):
        play(RIGHT, [10**9] * 100_000)


@pytest.mark.slow
def test_a_task_that_does_not_end_is_ended(play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time that a task has."""
    monkeypatch.setattr(staged, "CALL_SECONDS", 4.0)
    with pytest.raises(SubmissionError, match="had not ended after 4 s"):
        play(body("while True: pass"))


def test_a_task_without_a_sandbox_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails in Airflow, and who watches the run is told that nothing can be said of it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise NoSandboxError("The sandbox did not start: no answer in time.")

    monkeypatch.setattr(staged, "play", refuse)
    place = Place(tmp_path / "checks", tmp_path / "submissions", upstream.Endpoint("http://none"))
    unasked: Any = None
    stage = Stage(place, unasked, "x__1", (), {}, {})
    plan = stage.wrapper.with_suffix(".json")
    plan.parent.mkdir()
    plan.write_text("{}", encoding="utf-8")
    assert stage.trouble is None
    with pytest.raises(NoSandboxError):
        staged._in_cell(plan, "fetch")()
    assert stage.trouble == "The sandbox did not start: no answer in time."
