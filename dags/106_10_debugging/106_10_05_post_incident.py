"""# 106.10.5 Post-incident review

**Purpose.** Learn from incidents: cause one, write its review out of the records, and try whether what it says helps.

**What to watch.** A partner falls silent as an order comes, and is mended before four more do. The review says what was
when, how late orders were, and which factors held them up even then. The fault comes again: without each, without all.

**Expected behaviour.** Lessons captured: without the factors the fault does little harm. In scenario `unrecorded` only
the list of runs is looked at. It is green, so nothing is learned, and it happens again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from backpressure.airflow.artifacts import keep
from backpressure.airflow.evidence import evidence
from backpressure.airflow.response import on_call
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream, UpstreamTimeoutError
from backpressure.findings import Finding, finding
from backpressure.measures.incidents import lowered, overdue, sequence, warned, witnessed
from backpressure.measures.samples import reading
from backpressure.postmortem import PHASES, Review, document

LESSON = "106_10_05_post_incident"
POOLS, DUE, LATER = {"tight": 1, "roomy": 16}, 4.0, 10.0  # slots; s that an order may take, and until more come
HELPERS = [f"{LESSON}__{name}" for name in POOLS]
AS_IT_WAS = {"pool": "tight", "patience": 20.0}  # s that a caller waits for an answer
WITHOUT = {"patience": {"patience": 1.0}, "slots": {"pool": "roomy"}}  # factor, and what is changed against it


@task
def order() -> int:
    """Deliver an order to the partner: call until it has answered, with as much patience for each call."""
    run = get_current_context()["dag_run"]
    while True:
        with suppress(UpstreamTimeoutError), Upstream(run.conf["lane"], timeout=run.conf["patience"]) as partner:
            return partner.call(request_id=run.run_id).status


for name in POOLS:
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None):
        order.override(pool=f"post_incident_{name}")()


def happen(run: Run, label: str, how: dict[str, Any], fault: dict[str, Any], alarm: float = 0) -> list[float]:
    """Let a partner fall silent as an order comes, and four come later; with an alarm, be paged, and mend it."""
    (partner := Upstream(f"{run.run_id}-{label}")).configure(service_time=0.4, hang_seconds=60)
    [began] = partner.schedule([{"at": 0, "set": {"hang": 1.0}} | fault])
    come = partial(run.trigger_spaced, f"{LESSON}__{how['pool']}", lane=partner.lane, patience=how["patience"])
    come(f"{label}-first", count=1, every=0, delay=0.1)
    come(f"{label}-later", count=4, every=0.5, delay=LATER)
    mend = partial(partner.configure, hang=0.0)
    return [began, *on_call(run, HELPERS, label, alarm, line=partner, mend=mend)] if alarm else []


with DAG(
    dag_id="106_10_05_post_incident",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["reference", "debugging", "intermediate", "success"],
    params={"scenario": Param("recorded", enum=["recorded", "unrecorded"])},
):

    @task(**CONTROL)
    def incident() -> list[float]:
        """Nobody looks before an order is late."""
        print("made", *(Run.current().create_pool(f"post_incident_{name}", slots) for name, slots in POOLS.items()))
        return happen(Run.current(), "incident", AS_IT_WAS, {}, alarm=DUE)

    # [review]
    @task(**CONTROL)
    def review() -> dict[str, Any]:
        """Find out from the records what happened; or look at the list of runs, in which all are green."""
        if (run := Run.current()).scenario == "unrecorded":
            return Review().to_dict()
        partner, orders = Upstream(f"{run.run_id}-incident"), run.helpers(*HELPERS, label="incident")
        healed = [change["at"] for change in partner.changes() if change["settings"].get("hang") == 0]
        return Review.of(partner.log(), orders, partner.notifications(), healed=healed[-1:], due=DUE).to_dict()
        # [/review]

    @task(**CONTROL)
    def replay(learned: dict[str, Any], times: list[float]) -> None:
        """Let the same fault come again: without each factor alone; and without all, and with a guard."""
        run, fault, remedied = Run.current(), {"for": times[2] - times[0]}, dict(AS_IT_WAS)
        for factor in learned["factors"]:
            happen(run, f"without-{factor}", AS_IT_WAS | WITHOUT[factor], fault)
            remedied |= WITHOUT[factor]
        happen(run, "remedied", remedied, {}, alarm=DUE / 2 if learned["factors"] else DUE)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare the review with what task instances and the one on call recorded, and replays with the incident."""
        learned, (began, paged, mended) = run.result("review"), run.result("incident") or [None] * 3
        phases, warnings = dict(learned["timeline"]), Upstream(f"{run.run_id}-remedied").notifications()
        before, after = (run.helpers(*HELPERS, label=label) for label in ("incident", "remedied"))
        alone = {name: run.helpers(*HELPERS, label=f"without-{name}") for name in learned["factors"]}
        seen = zip(PHASES, ([began], [paged], [mended], ends := before.end.tolist(), ends), strict=True)
        both = {phase: (phases[phase], at) for phase, at in seen if phase in phases}
        told = (witnessed(both, within=DUE) == 1) & (sequence(phases) == PHASES)
        yield finding("Timeline documentation", "each phase has its record, another confirms it, in this order", told)
        late = overdue(before, DUE, "the orders")
        harm = reading(learned["impact"], "seconds late, as the review says", "upstream log").near(late, 0.3)
        yield finding("Impact assessment", "orders were as late as the review says, by their own timestamps", harm)
        each = lowered(before, alone, DUE) == len(WITHOUT)
        yield finding("Contributing factors", "without each factor alone the same fault makes orders less late", each)
        better = overdue(after, DUE, "the orders, remedied") <= 0.3 * late
        yield finding("Remediation actions", "without all factors the same fault makes orders hardly late", better)
        alert = warned([note["at"] for note in warnings], after, DUE) > 0
        yield finding("Prevention measures", "when it comes again, a guard says so before any order is late", alert)
        tried = {"each factor": each, "all": better, "guard": alert}
        keep(f"{LESSON}.{run.scenario}.md", document("a silent partner", learned, WITHOUT, tried))

    (happened := incident()) >> (learned := review()) >> replay(learned, happened) >> judge()
