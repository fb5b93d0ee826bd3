"""What a right answer to exercise 14.3 does, whatever its text looks like.

Three runs of the DAG are created at once. Counted are runs at once, fetches at once in a run, and in all runs together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from backpressure.timeline import Peak, Timeline

from backpressure_lab.exercises.messages import Message
from backpressure_lab.exercises.seen import Load, Seen, clock, drawn

RUNS, IN_A_RUN, IN_ALL = 2, 3, 4


def draw(source: random.Random) -> Load:
    """Three runs, each with more fetches than a run may have at once."""
    return Load(
        lanes={"archive": {"service_time": 3.0, "capacity": None}, "studio": {"service_time": 1.0, "capacity": None}},
        items={
            "fetches": [drawn(source, source.randint(5, 6)) for _ in range(3)],
            "previews": [drawn(source, 5) for _ in range(3)],
        },
        asked={"fetches": ("archive", "fetch"), "previews": ("studio", "preview")},
        runs=3,
    )


def judge(seen: Seen) -> Iterator[Message]:
    """No limit is passed, each is reached, and previews wait for nothing."""
    runs = Timeline.from_runs(seen.runs).peak()
    yield from _runs(runs)
    yield from _in_a_run(seen)
    yield from _previews(seen)
    yield from _in_all(seen, two=runs is not None and runs.value >= RUNS)


def _runs(peak: Peak | None) -> Iterator[Message]:
    if peak is None:
        return
    at = clock(peak.at)
    if peak.value > RUNS:
        yield Message("all_runs_at_once", f"{peak.value} runs were active at {at}; {RUNS} are allowed")
    elif peak.value < RUNS:
        yield Message(
            "one_run_at_a_time", f"never more than {peak.value} run was active, as at {at}; {RUNS} are allowed"
        )


def _in_a_run(seen: Seen) -> Iterator[Message]:
    fetches = seen.work.select(task_id="fetch")
    peaks = {run: own.peak() for run, own in fetches.by("run_id").items()}
    run, peak = max(peaks.items(), key=lambda entry: entry[1].value if entry[1] else 0, default=("", None))
    if peak is None:
        return
    names = ", ".join(fetches.select(run_id=run).labelled(peak.rows.tolist()))
    if peak.value > IN_A_RUN:
        text = f"peak {peak.value} fetches of the run {run} at {clock(peak.at)}, limit {IN_A_RUN}: {names} overlapped"
        yield Message("too_many_in_a_run", text, "Which limit counts the instances of a task within one run?")
    elif peak.value < IN_A_RUN:
        text = f"never more than {peak.value} fetches of a run at once; {IN_A_RUN} are allowed"
        yield Message("too_few_fetches", text)


def _in_all(seen: Seen, *, two: bool) -> Iterator[Message]:
    peak = seen.peak("archive", {"fetch": 1})
    if peak is None:
        return
    if peak.value > IN_ALL:
        text = f"archive: {peak}; it bears {IN_ALL}"
        yield Message("too_many_in_all", text, "Which limit counts the instances of a task over all runs of its DAG?")
    elif peak.value < IN_ALL and two:
        text = f"archive: never more than {peak.value:g} fetches at once; it bears {IN_ALL}"
        yield Message("too_few_fetches", text)


def _previews(seen: Seen) -> Iterator[Message]:
    """A run that never has more tasks at once than it may have fetches holds its previews back for them."""
    both = seen.work.select(task_id=["fetch", "preview"])
    peaks = [peak for own in both.by("run_id").values() if (peak := own.peak())]
    highest = max(peaks, key=lambda peak: peak.value, default=None)
    if highest is None or highest.value > IN_A_RUN:
        return
    text = (
        f"never more than {highest.value} tasks of a run at once, previews included, as at {clock(highest.at)}, when "
        f"{seen.waiting(highest.at, 'preview')} previews waited: {IN_A_RUN} fetches leave previews no room"
    )
    yield Message("previews_held_back", text, "What does max_active_tasks count?")
