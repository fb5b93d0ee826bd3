"""# 106.8.2 Stress testing limits

**Purpose.** Find breaking points: more and more sessions, each with a database connection, call a partner who bears a
number of calls at once that nobody was told.

**What to watch.** From the *knee* on, more sessions do the same work: each call takes longer. From the *limit* on,
sessions are refused. Both are written down. Then the load falls to where it began, and comes again at the limit, at
the knee, and with a margin below it.

**Expected behaviour.** Limits documented: where each is, what was full there, and how the system comes back. In
scenario `short_ramp` the test ends while all is well, and what it writes down as a limit is none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.baselines import Baselines
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.load import sessions
from backpressure.measures.samples import reading
from backpressure.measures.stress import Stress, knee_of, limit_of, step

LESSON = "106_08_02_stress_testing"
STEPS = {"full_ramp": (2, 4, 6, 8, 11, 16), "short_ramp": (2, 3)}
STEP, SERVICE, MARGIN = 2.4, 0.4, 0.7
REFUSED = "TooManyConnectionsError"  # SQLSTATE 53300


# [step]
def stress(number: int, lane: str) -> dict[str, Any]:
    """Let so many sessions call, one call after another each, and say what came of it."""
    from backpressure.airflow.database import Sessions, connect, dsn  # noqa: PLC0415 - parsing needs no driver

    where = dsn()
    with Upstream(lane) as partner, Sessions() as server:

        @contextmanager
        def opened() -> Iterator[Callable[[], object]]:
            with closing(connect(dsn=where, application=lane)):  # held for as long as the session lasts
                yield partner.call

        partner.call()  # opens the way to the partner, which only this thread may look up
        server.wait_until_gone(lane)  # sessions of the step before
        return step(number, sessions(opened, number, STEP))


def ramp_up(steps: tuple[int, ...], lane: str) -> list[dict[str, Any]]:
    """One step after another, up to the first at which sessions are refused."""
    done: list[dict[str, Any]] = []
    for number in steps:
        done.append(stress(number, lane))
        if done[-1]["refused"]:
            break
    return done
    # [/step]


TAGS = ["reference", "testing", "intermediate", "success"]
PARAMS = {"scenario": Param("full_ramp", enum=["full_ramp", "short_ramp"])}
with DAG(LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> None:
        """Give the partner a capacity, and tell nobody."""
        Upstream(Run.current().run_id).configure(capacity=random.choice((4, 6)), service_time=SERVICE)  # noqa: S311

    @task
    def test() -> dict[str, Any]:
        """Raise the load until something breaks, write the limits down, and come back with less."""
        lane, steps = (run := Run.current()).run_id, STEPS[run.scenario]
        found: dict[str, Any] = {"ramp": ramp_up(steps, lane), "after": stress(steps[0], lane)}
        for name, number in {"knee": knee_of(found["ramp"]), "limit": limit_of(found["ramp"])}.items():
            Baselines(f"{LESSON}.{name}").keep(run.run_id, number)
        (knee,), (limit,) = (Baselines(f"{LESSON}.{name}").last(1) for name in ("knee", "limit"))
        for name, number in {"limit": limit, "knee": knee, "margin": MARGIN * knee}.items():
            found[name] = stress(max(1, int(number)), lane)
        return found

    @task(**CONTROL)
    def watch_sessions() -> dict[str, Any]:
        """Ask the server for the test's connections four times a second, and how many its role may have."""
        from backpressure.airflow.database import Sessions  # noqa: PLC0415 - as above

        run, seen = Run.current(), Sessions()
        samples = run.sample(lambda: seen.sample(application=run.run_id), lambda: run.over("test"), 120, 0.2)
        return {"samples": samples, "allowed": seen.limit("lab")}

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what callers saw at each step with what the server and the partner had on their hands then."""
        partner, server = Upstream(run.run_id), run.result("watch_sessions")
        found = Stress(run.result("test") or {}, server["samples"], partner.log())
        allowed = reading(server["allowed"], "connections that the role may have", "pg_roles")
        capacity = reading(partner.state()["settings"]["capacity"], "calls that the partner bears", "settings")
        keep(f"{run.dag_id}.{run.scenario}.md", found.document())
        keep(f"{run.dag_id}.{run.scenario}.svg", found.picture(run.scenario, allowed.value, capacity.value))
        grows = (found.rising() == 1) & (found.failing() == 1)
        yield finding("Gradual load increase", "each step has more sessions at the server, up to one that fails", grows)
        modes = (found.most_sessions() == allowed) & (found.error() == REFUSED)
        modes &= found.busy("limit").near(capacity, 0.15) & (found.slowdown("limit") >= 1.3)
        yield finding("Identify failure modes", "first the partner is full, and calls slow; then the role is", modes)
        limits = (found.sessions("knee") == capacity) & (found.beyond() >= 1) & (found.gain_beyond() <= 0.3)
        limits &= found.refused("limit") == 0
        yield finding("Document limits", "past the knee nothing is gained; at the limit nobody is refused", limits)
        back = (found.refused_before_drop() >= 1) & (found.refused("after") == 0) & (found.slowdown("after") <= 1.25)
        yield finding("Recovery testing", "after the failure, the first load is served as well as at first", back)
        safe = (found.slowdown("margin") <= 1.25) & (found.refused("margin") == 0)
        safe &= found.slowdown("limit") >= 1.3 * found.slowdown("margin")
        yield finding("Safety margins", "below the knee calls are as quick as at first, unlike at the limit", safe)

    prepare() >> [test(), watch_sessions()] >> judge()
