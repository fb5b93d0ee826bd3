"""Measures: what they say of made-up timelines, when they have no value, and what comes of comparing them."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from backpressure import measures
from backpressure.measures import Measure, figure
from backpressure.timeline import Timeline


def calls() -> Timeline:
    """Five calls, the fourth failed and the last two late, in a pool of three slots."""
    return Timeline.from_arrays(
        scheduled=[0, 0, 0, 0, 1],
        queued=[0.5, 0.5, 0.5, 3, 3.5],
        start=[1, 1, 1, 3.25, 4],
        end=[3, 3, 3.25, 5, 6],
        task_id="call",
        map_index=[0, 1, 2, 3, 4],
        priority_weight=[1, 1, 1, 1, 10],
        state=["success", "success", "success", "failed", "success"],
    )


NOTHING = Timeline.from_arrays(start=[], end=[])


def test_a_peak_knows_where_and_who() -> None:
    """The peak has its value, its first instant and the instances that overlapped there."""
    peak = measures.peak(calls(), slots=True)
    assert (peak.value, peak.unit, peak.at, peak.samples) == (3, "slots", 1.0, 5)
    assert peak.name == "peak slots of call"
    assert peak.detail == "call[0], call[1], call[2] overlapped"
    assert measures.peak(calls(), "the calls", window=(3.5, None)).value == (2)
    assert measures.peak(calls(), window=(4, 4)).value is None


@pytest.mark.parametrize(
    ("measure", "value", "at"),
    [
        (measures.depth(calls()), 4, 0.0),
        (measures.depth(calls(), at=3.5), 1, 3.5),
        (measures.mean_depth(calls(), (1, 2)), 2, 2),
        (measures.gate(calls()), 0.5, 0.5),
        (measures.gate(calls(), "max", label="late ones"), 3, 3.0),
        (measures.gate(calls(), "mean"), 1.4, None),
        (measures.executor_wait(calls(), "min"), 0.25, 3.25),
        (measures.wait(calls(), 0.5), 1, 1.0),
        (measures.duration(calls(), "p25"), 2.0, 3.0),
        (measures.makespan(calls()), 5, 6.0),
        (measures.makespan(calls(), begin="scheduled"), 6, 6.0),
        (measures.busy(calls()), 10, 6.0),
        (measures.utilisation(calls(), 3), 10 / 15, 6.0),
        (measures.utilisation(calls(), 3, (1, 3)), 1, 3),
        (measures.starts(calls(), (3, 9)), 2, 4.0),
        (measures.starts(calls(), (7, 9)), 0, 9),
        (measures.start_rate(calls()), 4 / 3, 4.0),
        (measures.count(calls()), 5, 6.0),
        (measures.count(calls(), "failed"), 1, 5.0),
        (measures.overtakes(calls()), 0, None),
        (measures.inversions(calls()), 1, 3.0),
    ],
)
def test_measures_of_a_timeline(measure: Measure, value: float, at: float | None) -> None:
    """Each named measure has the value that the stamps give, and the instant that decided it."""
    assert measure.value == pytest.approx(value)
    if at is not None:
        assert measure.at == at


@pytest.mark.parametrize(
    ("measure", "detail"),
    [
        (measures.depth(calls(), at=3.1), "call[3], call[4] waited"),
        (measures.depth(calls(), at=9), "none waited"),
        (measures.growth(calls(), (0, 0.9)), "4 waited at the beginning, 4 at the end"),
        (measures.starts(calls(), (3, 9)), "call[3], call[4] started"),
        (measures.starts(calls(), (7, 9)), "none started"),
        (measures.count(calls(), "success"), "1 failed"),
        (measures.count(calls(), "skipped"), "4 success, 1 failed"),
        (measures.peak(calls(), window=(5.5, 6)), "call[4] ran alone"),
    ],
)
def test_a_measure_tells_who_was_involved(measure: Measure, detail: str) -> None:
    """Also where nobody was: the reader of a finding that does not hold wants to know what there was instead."""
    assert measure.detail == detail


def test_a_peak_at_a_windows_edge_names_who_is_there() -> None:
    """An instant finer than Airflow's stamps cuts the window off, and those cut are found where they begin."""
    assert measures.peak(calls(), window=(1.00000049, 2)).detail == "call[0], call[1], call[2] overlapped"


def test_orders_name_the_instances() -> None:
    """Orders are sequences of names, in the order of starting and of queueing."""
    work = Timeline.from_arrays(queued=[2, 1], start=[3, 4], task_id=["a", "b"])
    assert measures.start_order(work).value == ("a", "b")
    assert measures.queue_order(work).value == ("b", "a")
    assert (measures.start_order(work) == ["a", "b"]).holds is True


def test_pairs_name_who_and_need_two_weights() -> None:
    """An inversion tells who waited behind whom; without two weights there can be none, which is no zero."""
    inversion = measures.inversions(calls())
    assert inversion.detail == "call[4] (weight 10) waited behind call[3] (weight 1)"
    alike = calls().select(priority_weight=1)
    assert measures.overtakes(alike).value is None
    assert (measures.inversions(alike) == 0).holds is None


@pytest.mark.parametrize(
    "measure",
    [
        measures.peak(NOTHING),
        measures.depth(NOTHING),
        measures.mean_depth(NOTHING, (0, 1)),
        measures.growth(NOTHING, (0, 1)),
        measures.gate(NOTHING),
        measures.wait(NOTHING, "max"),
        measures.overtakes(NOTHING),
        measures.inversions(NOTHING),
        measures.makespan(NOTHING),
        measures.busy(NOTHING),
        measures.utilisation(NOTHING, 3),
        measures.start_order(NOTHING),
        measures.starts(NOTHING, (0, 1)),
        measures.start_rate(NOTHING),
        measures.count(NOTHING),
    ],
    ids=lambda measure: measure.name,
)
def test_without_a_workload_nothing_is_measured(measure: Measure) -> None:
    """A run whose workload was deleted gives no value, so that no finding holds by chance."""
    assert measure.value is None
    assert (measure == 0).holds is None


def test_quantiles_need_samples() -> None:
    """A median of two is none, unless two are said to be enough; the largest of one is one."""
    work = Timeline.from_arrays(scheduled=[0, 0], queued=[1, 2])
    assert measures.gate(work).value is None
    assert measures.gate(work).samples == 2
    assert measures.gate(work, least=2).value == 1.5
    assert measures.gate(work, "max").value == 2


@pytest.mark.parametrize("statistic", ["average", "p", "p101", 95, -0.1])
def test_an_unknown_statistic_is_refused(statistic: str | float) -> None:
    """A statistic that does not exist is an error of the lesson, not an unmeasured finding."""
    with pytest.raises(ValueError, match="statistic"):
        measures.wait(calls(), statistic)


def test_growth_has_a_sign() -> None:
    """A queue that fills grows, one that drains shrinks."""
    work = Timeline.from_arrays(scheduled=np.arange(10.0), start=20 + np.arange(10.0))
    assert (measures.growth(work, (0, 10)) > 0).holds
    assert (measures.growth(work, (20, 29)) < 0).holds


def test_labels_say_whose() -> None:
    """Few tasks are named, many are counted, runs are named by their DAG."""
    work = Timeline.from_arrays(start=[0, 1, 2, 3], end=[4, 4, 4, 4], task_id=["a", "b", "c", "d"])
    assert measures.peak(work.select(task_id=["a", "b"])).name == "peak concurrency of a and b"
    assert measures.peak(work).name == "peak concurrency of 4 tasks"
    runs = Timeline.from_arrays(start=[0], end=[1], dag_id="helper", run_id="r")
    assert measures.peak(runs).name == "peak concurrency of runs of helper"


three = Measure(3, "peak", "slots", 12.5, "task instances", 7)
unknown = Measure(None, "p95 wait", "s", samples=1)


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        (three < 3, False),
        (three <= 3, True),
        (three > 2, True),
        (three >= 4, False),
        (three == 3, True),
        (three != 3, False),
        (three.near(3.3, 0.1), True),
        (three.near(3.4, 0.1), False),
        (three.near(-3, 0.5), False),
        (three.between(3, 5), True),
        (three.between(4, 5), False),
        (three < 4, True),
        (unknown <= 3, None),
        (three <= unknown, None),
        (unknown.near(3, 0.1), None),
        (Measure("open", "state", source="breaker") == "open", True),
        (Measure("open", "state", source="breaker") != "open", False),
    ],
)
def test_comparisons(comparison: measures.Comparison, holds: bool | None) -> None:  # noqa: FBT001 - expected
    """A comparison holds, does not hold, or is unknown when either side has no value."""
    assert comparison.holds is holds


def test_a_comparison_keeps_both_sources() -> None:
    """Value and limit keep their names and sources, so that a check can see that they differ; a number has none."""
    (part,) = (three <= Measure(4, "slots read back", "slots", source="pools over REST")).parts
    assert (part.measure, part.source) == ("peak", "task instances")
    assert (part.limit, part.limit_name, part.limit_source) == (4, "slots read back", "pools over REST")
    assert (three <= 4).parts[0].limit_source == ""


def test_joined_comparisons_are_false_first_then_unknown() -> None:
    """One part that fails settles it; one that could not be measured leaves it open; instants are the deciding ones."""
    late = Measure(1, "other", at=99.0, source="upstream log")
    assert ((three == 3) & (late == 1)).holds is True
    assert ((three == 3) & (unknown < 1)).holds is None
    assert ((three == 4) & (unknown < 1)).holds is False
    assert ((three == 3) & (late == 2)).at == 99.0
    assert ((three == 3) & (late == 1)).source == "task instances, upstream log"


@pytest.mark.parametrize(
    "mistake",
    [lambda: bool(three), lambda: bool(three == 3), lambda: (three == 3) and (three == 4), lambda: 1 < three < 5],
)
def test_truth_is_refused(mistake: Any) -> None:
    """`and`, `if` and chains would drop a comparison silently, so they raise."""
    with pytest.raises(TypeError, match=r"join comparisons with &|compare it with a limit"):
        mistake()


def test_a_forgotten_parenthesis_is_refused() -> None:
    """`a == 1 & b == 2` means something else in Python, and says so."""
    with pytest.raises(TypeError, match="parentheses"):
        three == 1 & three  # noqa: B015 - it is refused before it is compared


def test_words_have_no_order() -> None:
    """Comparing words by size is an error of the lesson."""
    with pytest.raises(TypeError, match="have no order"):
        Measure("open", "state") < 3  # noqa: B015 - it raises
    with pytest.raises(ValueError, match="tolerance"):
        three.near(3, -0.1)


def test_measures_are_not_hashable() -> None:
    """A measure's == makes no truth value, so it can be in no set."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(three)


def test_arithmetic_keeps_where_it_comes_from() -> None:
    """A calculated measure has the sources of its parts, the fewest of their samples, and a name that tells."""
    limit = 0.5 * Measure(10, "makespan of slow", "s", 50.0, "task instances", 4)
    assert (limit.value, limit.name, limit.unit, limit.at, limit.samples) == (5, "0.5 * makespan of slow", "s", 50.0, 4)
    ratio = Measure(6, "during", "s", 1.0, "a", 3) / Measure(2, "before", "s", 2.0, "b", 5)
    assert (ratio.value, ratio.unit, ratio.source, ratio.samples, ratio.at) == (3, "", "a, b", 3, 1.0)
    assert ((three + 1) * 2).name == "(peak + 1) * 2"
    assert (10 - three).value == 7
    assert (1 + three).value == 4
    assert (6 / three).value == 2
    assert (three - unknown).value is None
    assert (three / 0).value is None


def test_values_become_plain() -> None:
    """Numpy's numbers become Python's, lists tuples, and what is not finite none."""
    assert type(Measure(np.int64(3), "n").value) is int
    assert Measure(np.array([1.5, 2.5]), "n").value == (1.5, 2.5)
    assert Measure(math.nan, "n").value is None
    assert Measure(math.inf, "n").value is None
    assert Measure(1, "n", at=math.nan).at is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (3.0, "3"),
        (0.123456, "0.123"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (None, "-"),
        ("open", "open"),
        ((1, 2.5), "1, 2.5"),
        (True, "True"),
    ],
)
def test_figures_are_read_by_people(value: Any, text: str) -> None:
    """Whole numbers are whole, others have three digits, and nothing is a dash."""
    assert figure(value) == text
    assert figure(3, "slots") == "3 slots"


def test_a_lesson_file_does_not_import_numpy() -> None:
    """DAG files import measures and findings while they are parsed, which must not cost numpy's import."""
    code = "import sys, backpressure.measures, backpressure.findings; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_close_call_is_shown_to_be_one() -> None:
    """Where three digits would hide that value and limit differ, there are as many as it takes."""
    (part,) = (Measure(13.3412, "makespan", "s") < 13.3398).parts
    assert str(part) == "makespan: 13.341 < 13.34 s"
    (part,) = (Measure(2.0, "n") == 2).parts
    assert str(part) == "n: 2 = 2"


def test_a_curve_of_an_array_s_numbers_has_plain_ones() -> None:
    """What a lesson draws from records goes through an XCom, which knows no other library's numbers."""
    curve = Measure(1, "peak", curve=((np.float64(2), np.int64(3)),)).curve
    assert curve == ((2.0, 3.0),)
    assert {type(number) for point in curve for number in point} == {float}


def test_a_peak_brings_its_curve() -> None:
    """A peak keeps the curve that it is the peak of, as measured in its window, unless that is too long to keep."""
    found = measures.peak(calls(), window=(2, 5))
    assert found.curve == ((2.0, 3), (3.0, 1), (3.25, 1), (4.0, 2), (5.0, 0))
    many = Timeline.from_arrays(start=np.arange(2000.0), end=np.arange(2000.0) + 0.5)
    assert measures.peak(many).curve == ()
