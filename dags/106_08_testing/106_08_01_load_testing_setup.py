"""# 106.8.1 Load testing setup

**Purpose.** Configure load tests: a place of their own for the load, two tools that make it, metrics, and a baseline.

**What to watch.** Production sells a book every two seconds. Beside it eight runs sell prints, four in three seconds,
and `pgbench` orders 40 books a second in three rounds. All that the load touches is its own: the pool, the key at the
partner, the schema in the database. How many of pgbench's orders are in time is kept, and compared with the last run.

**Expected behaviour.** Load testing ready: what is measured is the load, and production does not notice it. In scenario
`shared` the load goes where production goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, Param, task
from backpressure.airflow.baselines import Baselines
from backpressure.airflow.evidence import evidence
from backpressure.airflow.metrics import Metrics
from backpressure.airflow.orders import ORDER, Orders
from backpressure.airflow.pgbench import pgbench
from backpressure.airflow.run import CONTROL, Run
from backpressure.airflow.upstream import Upstream
from backpressure.findings import Finding, finding
from backpressure.measures import count
from backpressure.measures.load import change, counted, spread
from backpressure.measures.samples import reading, share
from backpressure.measures.upstream import requests

LESSON = "106_08_01_load_testing_setup"
PARTNER = Upstream("load_testing_setup")
SERVICE, SALES, EVERY, LOADS, SPACING, HEAD_START = 1.5, 7, 2.0, 8, 0.75, 6.0
SLOTS = {"load_production": 2, "load_testing": 8}
RATE, SECONDS, LIMIT, ROUNDS, GOOD, APART = 40, 2, 0.3, 3, 0.9, 0.1  # orders a second, s, s in time, shares
# [places]
# Where production goes, and for each scenario where the load goes: its pool, its key at the partner, its schema.
PRODUCTION, TEST = ("load_production", "production", "production"), ("load_testing", "load-test", "load_test")
PLACES = {"isolated": TEST, "shared": PRODUCTION}
# [/places]

for name, (pool, key, schema) in {"store": PRODUCTION, **PLACES}.items():
    with DAG(dag_id=f"{LESSON}__{name}", schedule=None, max_active_runs=64):

        @task(pool=pool)
        def sell(key: str, schema: str, item: str, dag_run: Any = None) -> None:
            """Take an order, and ask the partner to confirm it."""
            Orders(schema).sell(dag_run.run_id, item, lambda: PARTNER.call(key=key, request_id=dag_run.run_id))

        sell(key, schema, "book" if name == "store" else "print")  # prints are made to order: no stock to hold

TAGS = ["reference", "testing", "intermediate", "success"]
PARAMS = {"scenario": Param("isolated", enum=["isolated", "shared"])}
with DAG(dag_id=LESSON, schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(**CONTROL)
    def prepare() -> dict[str, Any]:
        """Make what the load needs, and read it back."""
        since = PARTNER.begin(service_time=SERVICE, capacity=20)
        for pool, _, schema in (PRODUCTION, TEST):
            slots = Run.current().create_pool(pool, SLOTS[pool]).slots
            Orders(schema).create()
        return {"since": since, "slots": slots, "capacity": PARTNER.state()["settings"]["capacity"]}

    @task(**CONTROL)
    def traffic() -> dict[str, Any]:
        """Let production sell, and a while later the load; count in the end which orders went to production's books."""
        run, load = Run.current(), f"{LESSON}__{Run.current().scenario}"
        run.trigger_spaced(load, "load", LOADS, every=SPACING, delay=HEAD_START)
        run.trigger_spaced(f"{LESSON}__store", "sale", SALES, every=EVERY)
        run.wait_for(lambda: run.helper_runs_over(f"{LESSON}__store", load) and run.over("bench"), seconds=120)
        books, rows = Orders(PRODUCTION[2]), Orders(PLACES[run.scenario][2]).count(f"{run.run_id}__bench")
        sold = books.count(f"{run.run_id}__sale")
        return {"rows": rows, "sold": sold, "foreign": books.count(run.run_id) - sold}

    # [load]
    @task
    def bench() -> dict[str, Any]:
        """Order at a steady rate, round after round, and keep how much was in time, if that is worth keeping."""
        run, before = Run.current(), (kept := Baselines(LESSON)).last(1)
        place = {"schema": PLACES[run.scenario][2], "run": f"{run.run_id}__bench"}
        rounds = [pgbench(ORDER, rate=RATE, seconds=SECONDS, limit=LIMIT, **place) for _ in range(ROUNDS)]
        in_time = [one.in_time for one in rounds]
        if min(in_time) >= GOOD and max(in_time) - min(in_time) <= APART:
            kept.keep(run.run_id, sum(in_time) / ROUNDS)
        done, prompt = sum(one.done for one in rounds), sum(one.prompt for one in rounds)
        return {"in_time": in_time, "done": done, "prompt": prompt, "kept": before or kept.last(1)}
        # [/load]

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what was set up with what was used, and what each meter counted with what the others did."""
        made, seen, (_, key, _) = run.result("prepare"), run.result("traffic"), PLACES[run.scenario]
        bench = run.result("bench") or {"in_time": (), "done": None, "prompt": None, "kept": ()}
        helper, since = f"{LESSON}__{run.scenario}", made["since"]
        load, sales, log = run.helpers(helper), run.helpers(f"{LESSON}__store"), PARTNER.log(since=since)
        own = log.select(request_id=[f"{run.run_id}__load-{number}" for number in range(LOADS)])
        ready = reading(made["slots"], "slots of the test's pool", "pools over REST") == SLOTS[TEST[0]]
        ready &= reading(made["capacity"], "calls that the partner takes at once", "upstream") >= sum(SLOTS.values())
        ready &= share(load.pool.isin(TEST[0]), "load in the test's pool") == 1
        yield finding("Test environment setup", "the load has slots of its own, and runs in no other", ready)
        came = requests(own, "calls of the load's runs") == LOADS
        came &= reading(bench["prompt"], "orders made in time", "pgbench").near(RATE * SECONDS * ROUNDS, 0.25)
        yield finding("Load generation tools", "each run reaches the partner, and pgbench keeps its rate", came)
        calls, started = requests(log.select(key=key), "calls under the load's key"), count(load, label="load")
        same = (calls == started) & (counted(Metrics(), f"ti.start.{helper}.sell", since) == started)
        same &= reading(seen["rows"], "rows of pgbench", "database") == reading(bench["done"], "orders done", "pgbench")
        yield finding("Metrics collection", "partner, StatsD, and database count what the load says it did", same)
        steady = reading(min(bench["in_time"], default=None), "least in time of a round", "pgbench") >= GOOD
        steady &= spread(bench["in_time"], "rounds apart", "pgbench") <= APART
        steady &= change(bench["in_time"], bench["kept"], "off the baseline", "pgbench, database") <= APART
        yield finding("Baseline establishment", "rounds agree with each other, and with the run before", steady)
        apart = share(sales.gate >= 2 * EVERY, "sales that waited until two more came", of=sales) <= 0.2
        apart &= reading(seen["foreign"], "test orders in production's books", "database") == 0
        apart &= reading(seen["sold"], "orders of production in its books", "database") == count(sales, label="sales")
        yield finding("Isolation from production", "production waits no longer, and its books hold its own", apart)

    prepare() >> [traffic(), bench()] >> judge()
