"""# 106.4.5 Auto-scaling response

**Purpose.** Scale resources automatically: ten Celery tasks of seven seconds meet a worker with two processes.

**What to watch.** Once a second the scaler looks how many of the worker's processes are busy and how long work has
waited, and asks a controller how many there should be. They become three and, after a cool-down, four, which is what
the budget pays for; work waits all the same. When it is done the worker shrinks again, by processes that are idle.

**Expected behaviour.** Dynamic capacity adjustment: more processes while work waits, and no more than can be paid for.
In scenario `fixed` the controller is asked and not obeyed.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from airflow.sdk import DAG, Param, task
from backpressure.adaptive import ControllerSettings, ControllerState, PoolController, PoolSample
from backpressure.airflow.celery import WorkersError
from backpressure.airflow.evidence import evidence
from backpressure.airflow.run import CONTROL, Run
from backpressure.findings import Finding, finding
from backpressure.measures import peak
from backpressure.measures.scaling import Scaling

QUEUE, TASKS, SECONDS, FEW = "high_memory", 10, 7.0, 2
# [policy]
PRICE, BUDGET = 0.25, 1.0  # of a process, and of all, for an hour
MOST = int(BUDGET / PRICE)
TARGET, COOL_DOWN = 2.0, 6.0
CONTROLLER = PoolController(
    ControllerSettings(
        queue_time=TARGET,  # seconds that work may wait
        utilisation=0.8,  # and the share of the processes that should be busy
        minimum=FEW,
        maximum=MOST,
        step=0.5,  # no more than half as many more, or less, at once
        cool_down=COOL_DOWN,  # seconds after a change in which its effect is awaited
        samples=2,  # a single reading may be chance
    )
)
# [/policy]
TAGS = ["reference", "patterns", "advanced", "success"]
PARAMS = {"scenario": Param("scaled", enum=["scaled", "fixed"])}

with DAG(dag_id="106_04_05_autoscaling", schedule=None, max_active_runs=1, doc_md=__doc__, tags=TAGS, params=PARAMS):

    @task(executor="CeleryExecutor", queue=QUEUE)
    def work(number: int) -> None:
        """Something that takes its time."""
        time.sleep(SECONDS)

    @task(**CONTROL)
    def prepare() -> str:
        """The worker, with as many processes as it begins with."""
        run = Run.current()
        (worker,) = run.workers.serving(QUEUE)
        run.resize_worker(worker, FEW)
        return worker

    @task(**CONTROL)
    def scale(worker: str) -> list[dict]:
        """Look, ask, resize: until all is done and the worker is small again."""
        run, state, seen, stop = Run.current(), ControllerState(), [], time.monotonic() + 240
        while time.monotonic() < stop:
            now, load = time.time(), run.workers.status(worker)[worker]
            size, resting = len(load.processes), now < state.changed_at + COOL_DOWN
            # [scale]
            sample = PoolSample(at=now, slots=size, busy=load.active, queue_time=run.oldest("work"))
            state, wanted = CONTROLLER.decide(state, sample)
            if wanted != size and run.scenario == "scaled":
                with suppress(WorkersError):  # no process was idle for so long: the controller asks again
                    run.resize_worker(worker, wanted)
            # [/scale]
            alive = sum(Path(f"/proc/{pid}").exists() for pid in load.processes)
            seen.append(asdict(sample) | {"processes": size, "alive": alive, "resting": resting})
            if size == FEW and load.active == 0 and run.over("work"):
                break
            time.sleep(0.5)
        return seen

    @evidence
    def judge(run: Run) -> Iterator[Finding]:
        """Compare what the worker's processes were with what the work's own timestamps say."""
        done = run.tasks("work")
        seen = Scaling(run.result("scale"), done, TARGET)
        yield finding(
            "Detect scaling triggers",
            "the worker grows soon after work waits too long, and not without that",
            (seen.ups() >= 1) & (seen.waiting() >= 1) & seen.noticed().between(1, 6),
        )
        yield finding(
            "Scale worker nodes",
            "there are more processes, and they do more at once",
            (seen.most_processes() == MOST) & (peak(done) > FEW),
        )
        yield finding(
            "Cooldown periods",
            "two changes are a cool-down apart, though there was reason to change in between",
            (seen.ups() >= 2) & (seen.held_back() >= 1) & (seen.shortest_rest() >= COOL_DOWN),
        )
        yield finding(
            "Cost constraints",
            "work waits while there are as many processes as are paid for, and it costs less than to have them always",
            (seen.capped(MOST) >= 1) & (peak(done) <= MOST) & (seen.process_seconds() < MOST * seen.seconds()),
        )
        yield finding(
            "Scale-down strategies",
            "when the work is done the worker is as small as before, and no task was cut off",
            (seen.downs() >= 1) & (seen.last_processes() == FEW) & (seen.cut_off() == 0),
        )

    worker, works = prepare(), work.expand(number=list(range(TASKS)))
    worker >> works
    [works, scale(worker)] >> judge()
