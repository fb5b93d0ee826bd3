"""# 106.7.1 Ignoring queue depth

**Purpose.** Show consequences of ignoring queues: for each message that a consumer handles it fetches four, and keeps
those that wait in its own memory, as many as they are.

**What to watch.** `consume` grows until the kernel refuses it memory, and fails. With it go the `report`s that need it,
and `publish`. The `monitor` might have warned of that, but waits for a slot of the same pool behind `job`, and looks
when all is over.

**Expected behaviour.** Understand queue monitoring importance. By default the run fails. In `fixed` the buffer has a
bound, what is above it stays at the source, and the monitor has a pool of its own: it warns, and nothing fails.
"""

import time
from collections import deque
from collections.abc import Iterator

from airflow.sdk import DAG, Param, task
from backpressure.airflow.evidence import evidence
from backpressure.airflow.machine import allowance, private_bytes
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.buffers import Buffer, unwatched

POOL, SLOTS, OWN = "ignoring_queue_depth", 2, "ignoring_queue_depth_monitor"
MESSAGES, SIZE, FETCHED, HANDLING = 80, 1 << 20, 4, 0.1  # how many, bytes of each, taken at once, s for one
MEMORY, BOUND, ALARM = 48 << 20, 8, 6  # bytes that the consumer may take, messages in its buffer, that are reported
FEED, REPORTS = Upstream("ignoring_queue_depth"), ("report_north", "report_south", "report_west")
TAGS = ["reference", "anti-pattern", "intermediate", "failure"]
PARAMS = {"scenario": Param("broken", enum=["broken", "fixed"])}

with DAG("106_07_01_ignoring_queue_depth", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> float:
        """Make the pools, and a feed of large messages."""
        run = Run.current()
        run.create_pool(POOL, SLOTS)
        run.create_pool(OWN, 1)
        return FEED.begin(service_time=0.005, body_size=SIZE)

    @task(**CONTROL)
    def plan(scenario: str, since: float) -> list[float]:
        """What the monitor of one scenario needs to know; none in the other."""
        return [since] if Run.current().scenario == scenario else []

    @task(pool=POOL, weight_rule="absolute", priority_weight=3)
    def consume() -> int:
        """Take messages from the feed and handle one after the other, with no more memory than is allowed."""
        run, buffer, left = Run.current(), deque(), MESSAGES
        FEED.notify({"depth": 0, "bytes": private_bytes()})
        with allowance(MEMORY):
            while left or buffer:
                # [buffer]
                room = FETCHED if run.scenario == "broken" else BOUND - len(buffer)
                for _ in range(min(FETCHED, left, room)):
                    buffer.append(FEED.call(key="message").body)
                    left -= 1
                # [/buffer]
                time.sleep(HANDLING)
                buffer.popleft()
                FEED.notify({"depth": len(buffer), "bytes": private_bytes()})
        return MESSAGES

    @task(pool=POOL, weight_rule="absolute", priority_weight=2)
    def job(number: int) -> None:
        """Other work of the same pool."""
        time.sleep(2.5)

    # [monitor]
    @task(pool=POOL, weight_rule="absolute", priority_weight=1)
    def monitor(since: float) -> None:
        """Look at the depth until it is large or the consumer has ended, and raise an alert in the first case."""

        def depth() -> int:
            return max((note["body"].get("depth", 0) for note in FEED.notifications(since=since)[-1:]), default=0)

        run = Run.current()
        run.wait_for(lambda: depth() >= ALARM or run.over("consume"), seconds=120, every=0.4)
        if depth() >= ALARM:
            FEED.notify({"alert": depth()})

    # [/monitor]
    @task(weight_rule="absolute")
    def report(*needed: int) -> int:
        """Something that needs what was consumed, or what others have made of it."""
        return sum(needed)

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the feed sent and was told, and how the tasks ended, with what was allowed."""
        buffer, consumer = Buffer.of(FEED, since=run.result("prepare")), run.tasks("consume")
        looked = run.tasks("monitor_in_the_pool", "monitor_of_its_own").select(state="success")
        yield finding("Unbounded queue growth", "the buffer grows in each third of its life", buffer.least_growth() > 0)
        yield finding(
            "Memory exhaustion",
            "what waits takes the memory that the consumer is allowed, and the consumer fails",
            (buffer.memory(MEMORY) >= 0.8) & (count(consumer, "failed") == 1),
        )
        lost = count(run.tasks(*REPORTS, "publish"), "upstream_failed") == len(REPORTS) + 1
        yield finding("Cascading failures", "all that needs the consumer fails with it", lost)
        ended, blind = next(iter(consumer.end.tolist()), None), unwatched(consumer, looked) >= 0.5
        yield finding("Lost visibility", "the monitor, behind the work, does not look for half of the time", blind)
        yield finding(
            "Proper monitoring fix",
            "the buffer keeps to its bound, the alert comes while there is time, and all messages are handled",
            (buffer.deepest() <= BOUND) & (buffer.alerted(before=ended) >= 1) & (buffer.handled() == MESSAGES),
        )

    prepared = prepare()
    planned = [plan.override(task_id=f"plan_{scenario}")(scenario, prepared) for scenario in ("broken", "fixed")]
    shared = monitor.override(task_id="monitor_in_the_pool").expand(since=planned[0])
    own = monitor.override(task_id="monitor_of_its_own", pool=OWN).expand(since=planned[1])
    judged, consumed = judge(), consume()
    report.override(task_id="publish")(*(report.override(task_id=name)(consumed) for name in REPORTS)) >> judged
    for work in (consumed, job.expand(number=list(range(4))), shared, own):
        planned >> work >> judged
