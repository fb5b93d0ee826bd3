"""Pictures in the terminal: what stands where, at several widths, with and without colour and Unicode."""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from backpressure.findings import Evidence, Finding, finding
from backpressure.measures import Measure, peak
from backpressure.timeline import Timeline
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from backpressure_lab.render import FindingsTable, Gantt, Limit, Load, Picture, VerdictLine, lesson_picture, run_view
from backpressure_lab.render.glyphs import shortened
from backpressure_lab.render.picture import elapsed, steps

T0 = 1_790_000_000.0
UNICODE, ASCII = "utf-8", "ascii"


class Terminal(io.TextIOWrapper):
    """A stream with an encoding, as a terminal has."""

    def __init__(self, encoding: str) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, errors="strict", newline="")


def drawn(
    what: RenderableType,
    width: int = 80,
    encoding: str = UNICODE,
    environment: dict[str, str] | None = None,
    **console: Any,
) -> list[str]:
    """The lines that a terminal shows, spaces at their ends left out."""
    stream = Terminal(encoding)
    Console(file=stream, width=width, legacy_windows=False, _environ=environment or {}, **console).print(what)
    stream.flush()
    return [line.rstrip() for line in stream.bytes.getvalue().decode(encoding).splitlines()]


def waves(count: int = 6, slots: int = 3, **more: Any) -> Timeline:
    """Calls of eight seconds that run three at a time, each first scheduled, then queued for a second."""
    queued = [1 + 9 * (k // slots) for k in range(count)]
    return Timeline.from_arrays(
        **{
            "scheduled": [T0] * count,
            "queued": [T0 + q for q in queued],
            "start": [T0 + q + 1 for q in queued],
            "end": [T0 + q + 9 for q in queued],
            "task_id": "call",
            "map_index": list(range(count)),
            "state": "success",
        }
        | more
    )


def test_each_state_has_a_sign_of_its_own() -> None:
    """Scheduled, queued and running stand one after the other, in proportion, told apart by their characters."""
    lines = drawn(Gantt(Picture.of(waves()), zone=UTC), width=8 + 57)
    assert lines[0] == "call[0] " + "░" * 3 + "▒" * 3 + "█" * 24
    assert lines[3] == "call[3] " + "░" * 30 + "▒" * 3 + "█" * 24
    assert lines[-1] == "░ scheduled ▒ queued █ running  from 14:13:20.0"


def test_a_plain_terminal_gets_plain_characters() -> None:
    """Where the encoding has no blocks and ticks, everything is drawn in ASCII, in the same places."""
    picture = Picture.of(waves(), limit=3)
    plain, fine = (drawn(Gantt(picture, zone=UTC), encoding=encoding) for encoding in (ASCII, UNICODE))
    signs = str.maketrans("░▒█▁└┴─", ".:#_++-")
    assert plain == [line.translate(signs) for line in fine]


@pytest.mark.parametrize("encoding", [UNICODE, ASCII])
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_nothing_is_wider_than_the_terminal(width: int, encoding: str) -> None:
    """At any width every line fits, and long names keep their map index."""
    work = waves(12, task_id="a_task_with_a_remarkably_long_name", state=["failed", *["success"] * 11])
    evidence = [finding("A bullet of some length", "a claim " * 20, peak(work) <= 0.123 * peak(work, "the calls " * 9))]
    for what in (
        Gantt(Picture.of(work, load=Load(work.concurrency(), (Limit(2),), "x" * 99))),
        FindingsTable(evidence),
        VerdictLine("as expected"),
    ):
        assert max(map(len, drawn(what, width, encoding))) <= width
    assert any("[11]" in line for line in drawn(Gantt(Picture.of(work)), width, encoding))


def test_the_load_is_drawn_under_its_limit() -> None:
    """The limit is a line right above the lines that it allows, and nothing is above it when it is kept."""
    lines = drawn(Gantt(Picture.of(waves(), limit=3), zone=UTC), width=8 + 57)
    top = lines.index("running at once") + 1
    assert lines[top] == "limit 3 " + "▁" * 57
    assert [line[:8] for line in lines[top + 1 : top + 4]] == ["      3 ", "      2 ", "      1 "]
    assert lines[top + 1][8:] == " " * 6 + "█" * 24 + " " * 3 + "█" * 24


def test_load_over_the_limit_stands_above_the_line() -> None:
    """What is too much breaks through the limit's line, which goes on beside it."""
    lines = drawn(Gantt(Picture.of(waves(), limit=2), zone=UTC), width=8 + 57)
    assert "      3 " + "▁" * 6 + "█" * 24 + "▁" * 3 + "█" * 24 in lines


def test_a_limit_may_change() -> None:
    """A pool that is made larger has a line that steps up, and no line where nothing was limited."""
    limits = (Limit(2, T0, T0 + 9), Limit(4, T0 + 10, T0 + 18))
    load = Load(waves().concurrency(), limits, "slots of the calls")
    lines = drawn(Gantt(Picture.of(waves(), load=load), zone=UTC), width=8 + 57)
    (higher,) = (line for line in lines if line.startswith("limit 4 "))
    assert higher[8:] == " " * 30 + "▁" * 24
    (lower,) = (line for line in lines if line.startswith("      3 "))
    assert lower[8:38] == "▁" * 6 + "█" * 24


@pytest.mark.parametrize(("count", "limit"), [(50, 20), (50, None), (300, 7.5), (100, 64)])
def test_a_high_load_is_scaled_to_a_few_lines(count: int, limit: float | None) -> None:
    """However high the load, its panel stays low, and a limit still falls between two lines."""
    lines = drawn(Gantt(Picture.of(waves(count, slots=count), limit=limit), max_rows=5))
    panel = lines[lines.index("running at once") + 1 : -3]
    assert len(panel) <= 10 or limit == 7.5
    assert any("█" in line for line in panel)
    assert ("▁" * 5 in "".join(panel)) is (limit is not None)


def test_many_rows_are_folded_in_the_middle() -> None:
    """The first and the last rows stay, the others become one line that says how many they are and how many ran."""
    lines = drawn(Gantt(Picture.of(waves(40)), max_rows=10))
    assert lines[5].startswith("call[5]")
    assert lines[6].startswith("⋮ 31 more")
    assert "█" in lines[6]
    assert [line.split()[0] for line in lines[7:10]] == ["call[37]", "call[38]", "call[39]"]


def test_short_work_is_never_lost() -> None:
    """An instance that ran for less than a column still has one."""
    work = Timeline.from_arrays(
        start=[T0, T0 + 5.001], end=[T0 + 10, T0 + 5.002], scheduled=T0, queued=T0, task_id=["long", "short"]
    )
    (line,) = (line for line in drawn(Gantt(Picture.of(work))) if line.startswith("short"))
    assert line.count("█") == 1


def test_deferred_and_unfinished_work() -> None:
    """What resumed from deferral shows when it was away, and what is unfinished lasts to the end, with its state."""
    work = Timeline.from_arrays(
        scheduled=[T0 + 6, T0, T0],
        queued=[T0 + 7, math.nan, T0 + 1],
        start=[T0 + 1, math.nan, T0 + 2],
        end=[T0 + 10, math.nan, math.nan],
        state=["success", "scheduled", "deferred"],
        task_id=["resumed", "waiting", "deferred"],
    )
    resumed, deferred, waiting = drawn(Gantt(Picture.of(work)), width=9 + 60 + 10)[:3]
    assert resumed == "resumed  " + " " * 6 + "╌" * 30 + "░" * 6 + "█" * 18
    assert waiting == "waiting  " + "░" * 60 + " scheduled"
    assert deferred == "deferred " + "░" * 6 + "▒" * 6 + "╌" * 48 + " deferred"


def test_colour_is_left_out_when_the_user_says_so() -> None:
    """NO_COLOR turns every colour off, and without it a terminal gets them."""
    what = Gantt(Picture.of(waves(state="failed"), limit=2))
    coloured = "\n".join(drawn(what, force_terminal=True, color_system="standard"))
    assert "\x1b[31m" in coloured
    plain = "\n".join(drawn(what, force_terminal=True, color_system="standard", environment={"NO_COLOR": "1"}))
    assert "\x1b[3" not in plain.replace("\x1b[3m", "")


def test_nothing_to_show_says_so() -> None:
    """An empty run has a line of words in place of a picture."""
    assert drawn(Gantt(Picture.of(Timeline.from_arrays(start=[])))) == ["no task instance was scheduled"]


def results() -> list[Finding]:
    """One finding that holds, one that does not, one not measured."""
    work = waves()
    return [
        finding("Set pool slot limits", "never more than three", peak(work) <= 3),
        finding("Fill the pool", "and never fewer", (peak(work) == 4) & (Measure(0.9, "utilisation") >= 0.8)),
        finding("Wait", "not for long", Measure(None, "p95 wait", "s") <= 1.5),
    ]


def test_findings_show_what_was_observed_and_the_limit() -> None:
    """Mark, bullet and local time; the claim beneath; measure, value and limit of every part, and who."""
    lines = drawn(FindingsTable(results(), zone=UTC))
    assert lines[0].split() == ["✓", "Set", "pool", "slot", "limits", "14:13:22.0"]
    assert lines[1] == "  never more than three"
    assert lines[2].split("  ")[-2:] == ["3", "<= 3"]
    assert lines[3] == "     call[0], call[1], call[2] overlapped"
    assert lines[4].startswith("✗ Fill the pool")
    assert "  ✗  peak concurrency of call    3  = 4" in lines
    assert lines.count(lines[3]) == 2
    assert "  ✓  utilisation               0.9  >= 0.8" in lines
    assert "? Wait" in lines
    assert "     p95 wait                    -  <= 1.5 s" in lines


@pytest.mark.parametrize(("encoding", "cut"), [(UNICODE, "…"), (ASCII, "~")])
def test_who_was_involved_is_whole_where_it_must_be_explained(encoding: str, cut: str) -> None:
    """Of what holds it takes a line and no more; of what does not hold it is all there."""
    who = Measure(3, "peak", detail=" ".join(f"call[{number}]" for number in range(20)))
    held = drawn(FindingsTable([finding("b", "c", who == 3)]), 80, encoding)
    assert len(held) == 4
    assert held[3].startswith("     call[0] call[1]")
    assert held[3].endswith(f"{cut}call[19]")
    broken = drawn(FindingsTable([finding("b", "c", who == 4)]), 80, encoding)
    assert " ".join(" ".join(broken[3:]).split()) == who.detail


def test_marks_are_coloured_by_what_must_be() -> None:
    """In a contrast scenario a finding that does not hold, and must not, is green; one that holds there is red."""
    shown = drawn(FindingsTable(results()[:2], expected=[]), force_terminal=True, color_system="standard")
    assert shown[0].startswith("\x1b[31m✓")
    assert next(line for line in shown if "Fill the pool" in line).startswith("\x1b[32m✗")


@pytest.mark.parametrize(("verdict", "line"), [("as expected", "✓"), ("not as expected", "✗"), ("not measured", "?")])
def test_the_verdict_is_one_line(verdict: str, line: str) -> None:
    """A mark, the verdict's words, and a remark."""
    assert drawn(VerdictLine(verdict, "12 s")) == [f"{line} {verdict}  12 s"]


@dataclass(frozen=True)
class Scenario:
    """What must hold."""

    holds: tuple[str, ...]


@dataclass(frozen=True)
class Item:
    """A lesson."""

    id: str = "106.2.1"
    title: str = "Pools"
    scenarios: dict[str, Scenario] = field(default_factory=lambda: {"pooled": Scenario(("Set pool slot limits",))})


@dataclass(frozen=True)
class Result:
    """A run of it."""

    records: list[dict[str, Any]]
    evidence: Evidence
    item: Item = field(default_factory=Item)
    scenario: str = "pooled"
    run_id: str = "run"
    state: str = "success"
    seconds: float = 12.3
    verdict: str = "as expected"


def record(task: str, begin: float, end: float, **more: Any) -> dict[str, Any]:
    """A task instance as the REST API gives it."""
    stamps = {
        key: datetime.fromtimestamp(T0 + second, UTC).isoformat()
        for key, second in zip(
            ("scheduled_when", "queued_when", "start_date", "end_date"), (begin, begin, begin, end), strict=True
        )
    }
    return (
        {"task_id": task, "dag_id": "d", "dag_run_id": "run", "pool": "p", "pool_slots": 2, "state": "success"}
        | stamps
        | more
    )


def test_a_run_is_shown_whole() -> None:
    """Title, picture, findings and verdict of a run stand one below the other."""
    records = [record("call", 0, 4), record("judge", 4, 5, pool="lab_control")]
    limited = peak(Timeline.from_records(records[:1]), slots=True) == 2
    evidence = Evidence("pooled", (finding("Set pool slot limits", "claim", limited),))
    lines = drawn(run_view(Result(records, evidence), Console(width=80)))
    assert lines[0] == "106.2.1 Pools, scenario pooled"
    assert "peak slots of call: 2 = 2 slots" in lines
    assert not any("judge" in line for line in lines)
    assert lines[-1] == "✓ as expected  run success, 1 of 1 findings hold, 12 s"


def test_the_load_is_what_the_finding_measured() -> None:
    """The panel shows the very curve of the limited peak, and the windows of one peak with a limit each."""
    records = [record("call", 0, 4), record("control", 0, 4), record("call", 6, 9), record("call", 6, 8)]
    calls = Timeline.from_records([one for one in records if one["task_id"] == "call"])
    before, after = peak(calls, window=(None, T0 + 5)), peak(calls, window=(T0 + 5, None))
    evidence = Evidence(
        "s",
        (
            finding("first", "c", (peak(calls, "others") > 1) & (before == 1)),
            finding("second", "c", after.between(2, 3) & (before <= 9)),
        ),
    )
    picture = lesson_picture(records, Evidence.from_dict(evidence.to_dict()))
    assert picture.load is not None
    assert picture.load.title == "peak concurrency of call: 1 = 1, then 2 <= 3"
    assert picture.load.limits == (Limit(1, T0, T0 + 4), Limit(3, T0 + 6, T0 + 9))
    assert picture.load.curve.at([T0 + 1, T0 + 5, T0 + 7, T0 + 8.5]).tolist() == [1, 0, 2, 1]
    assert len(picture.rows) == 4


def test_nothing_is_counted_where_no_finding_limits_it() -> None:
    """Without a limited peak a run has rows alone; with one that began earlier the picture begins with it."""
    records = [record("call", 2, 4)]
    assert lesson_picture(records, Evidence("s", ())).load is None
    runs = Timeline.from_arrays(start=[T0], end=[T0 + 9], dag_id="d", run_id="r")
    picture = lesson_picture(records, Evidence("s", (finding("b", "c", peak(runs) <= 1),)))
    assert (picture.begin, picture.finish) == (T0, T0 + 9)


def test_helper_runs_are_told_apart() -> None:
    """Where rows belong to several runs, a helper's row says which."""
    records = [record("call", 0, 4), record("work", 0, 4, dag_id="d__helper", dag_run_id="run__first")]
    picture = lesson_picture(records, Evidence("s", ()))
    assert sorted(row.name for row in picture.rows) == ["call", "first/work"]


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.floats(0.001, 1e6), st.integers(1, 30))
def test_ticks_are_round_and_not_too_many(span: float, most: int) -> None:
    """A step divides any span into no more parts than there is room for, and not into much fewer."""
    step = steps(span, most)
    assert span / step <= most * (1 + 1e-6)
    assert step <= span / most * 6 or step == 1e-3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.25, "0.25s"), (45, "45s"), (150, "2m30s"), (180, "3m"), (7500, "2h05m")]
)
def test_elapsed_time_is_short(seconds: float, text: str) -> None:
    """Seconds, minutes and hours, as short as they can be."""
    assert elapsed(seconds) == text


@settings(deadline=None)  # a busy machine must not fail a pure function
@given(st.text(max_size=30), st.integers(0, 30), st.sampled_from(["…", "~"]))
def test_shortened_names_fit(name: str, width: int, ellipsis: str) -> None:
    """A name is never longer than its room, and unchanged when it fits."""
    short = shortened(name, width, ellipsis)
    assert len(short) <= width
    assert short == name or len(name) > width


def test_rows_stand_in_the_order_of_starting() -> None:
    """Whoever started first is on top; what never started comes last, by when it was scheduled."""
    work = Timeline.from_arrays(
        scheduled=[T0, T0, T0 + 1, T0],
        start=[T0 + 3, T0 + 1, math.nan, math.nan],
        end=T0 + 4,
        task_id=["a", "b", "c", "d"],
    )
    names = [row.name for row in Picture.of(work).rows]
    assert names == ["b", "a", "d", "c"]
    assert all(
        first.finish <= second.begin
        for row in Picture.of(waves()).rows
        for first, second in itertools.pairwise(row.segments)
    )
