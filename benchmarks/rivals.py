"""The stacks that the benchmarks compare: this lab, Airflow's bare components, and stock ``airflow standalone``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from backpressure.airflow.client import AirflowClient, AirflowError, AirflowUnreachableError

from backpressure_lab.errors import LabError
from backpressure_lab.stack import bootstrap, postgres, settings
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.ports import free_port
from backpressure_lab.stack.secrets import Secrets
from backpressure_lab.stack.state import LabState

ROOT = Path(__file__).parents[1]
_NOT_YET = (AirflowError, AirflowUnreachableError, LabError, OSError, ValueError, KeyError)


class Stack:
    """A way to run Airflow, started from nothing in a folder of its own."""

    name = ""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="bench-"))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.began = 0.0

    @property
    def dags(self) -> Path:
        """Where this stack looks for DAG files."""
        return self.home / "dags"

    def start(self) -> None:
        """Start everything; returns at once."""
        self.began = time.monotonic()

    def client(self) -> AirflowClient:
        """A client of this stack's REST API."""
        raise NotImplementedError

    def launch(self, command: list[str], env: dict[str, str]) -> None:
        """Start one process of the stack."""
        with (self.home / "output.log").open("ab") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(process)

    def stop(self) -> int:
        """SIGTERM, wait, count what is left, and end that too."""
        family = [psutil.Process(process.pid) for process in self.processes if process.poll() is None]
        for process in list(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                family += process.children(recursive=True)
        for process in self.processes:
            process.terminate()
        _, left = psutil.wait_procs(family, timeout=20)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        shutil.rmtree(self.home, ignore_errors=True)
        return len(left)

    def until_success(self, dag_id: str, seconds: float) -> float:
        """Seconds from the start until a task of the DAG has succeeded; infinite when none does in time."""
        api = None
        while time.monotonic() - self.began < seconds:
            with contextlib.suppress(*_NOT_YET):
                api = api or self.client()
                if any(record["state"] == "success" for record in api.task_instances(dag_id)):
                    return time.monotonic() - self.began
            # Asking stock Airflow on SQLite several times a second is enough to hold it up.
            time.sleep(0.5)
        return float("inf")

    def settled(self) -> bool:
        """Whether everything is there, also what comes up after Airflow itself; until then it takes the cores."""
        return True

    def burst(self, dag_id: str, seconds: float) -> tuple[int, int, float]:
        """Trigger the DAG once it is there; successes, failures and successes a second."""
        deadline = time.monotonic() + 240
        while True:
            with contextlib.suppress(*_NOT_YET), self.client() as api:
                healthy = all((part or {}).get("status") == "healthy" for part in _needed(api.health()))
                if healthy and self.settled() and not api.dag(dag_id)["is_paused"]:
                    api.trigger(dag_id, "burst")
                    break
            if time.monotonic() > deadline:
                return 0, 0, 0.0
            time.sleep(0.5)
        begin = time.monotonic()
        records: list[dict[str, Any]] = []
        while time.monotonic() - begin < seconds:
            with contextlib.suppress(*_NOT_YET), self.client() as api:
                records = api.task_instances(dag_id, "burst")
                if api.run(dag_id, "burst")["state"] in ("success", "failed"):
                    break
            time.sleep(0.5)
        good = sum(record["state"] == "success" for record in records)
        bad = sum(record["state"] in ("failed", "upstream_failed") for record in records)
        return good, bad, good / (time.monotonic() - begin)


def _needed(health: dict[str, Any]) -> list[dict[str, Any]]:
    return [health[name] for name in ("scheduler", "triggerer", "dag_processor")]


class LabStack(Stack):
    """``./lab up``."""

    name = "lab"

    def __init__(self) -> None:
        super().__init__()
        self.layout = Layout.of(home=self.home / "lab")

    @property
    def dags(self) -> Path:
        """The learner's folder."""
        return self.layout.work

    def start(self) -> None:
        """Start the supervisor."""
        super().start()
        self.launch([str(ROOT / "lab"), "up"], os.environ | {"BACKPRESSURE_LAB_HOME": str(self.layout.home)})

    def settled(self) -> bool:
        """The Celery workers are the last to come."""
        state = LabState.load(self.layout)
        return state is not None and all(part.phase in ("healthy", "done", "off") for part in state.parts)

    def client(self) -> AirflowClient:
        """As the lab's own commands do."""
        return bootstrap.client(Context.load(self.layout))


class Standalone(Stack):
    """Stock ``airflow standalone``: its own settings, save the port and the examples."""

    name = "standalone"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Start it."""
        super().start()
        self.launch(["airflow", "standalone"], self.env)

    def client(self) -> AirflowClient:
        """As the admin whose password it generated."""
        passwords = json.loads((self.home / "simple_auth_manager_passwords.json.generated").read_text(encoding="utf-8"))
        return AirflowClient(f"http://127.0.0.1:{self.port}", "admin", passwords["admin"], timeout=10)


class BareComponents(Stack):
    """Airflow's four commands on the same PostgreSQL, executor and parallelism as the lab."""

    name = "bare components"

    def __init__(self) -> None:
        super().__init__()
        self.layout = Layout.of(home=self.home / "lab")
        self.port = free_port()

    def start(self) -> None:
        """Make the database, then start the four."""
        super().start()
        secrets = Secrets.load(self.layout)
        postgres.create_cluster(self.layout, secrets)
        self.launch(postgres.server_command(self.layout), dict(os.environ))
        postgres.wait_until_ready(self.layout, secrets, 30)
        with contextlib.closing(postgres.connect(self.layout, secrets)) as connection:
            postgres.create_databases(connection, secrets.roles())
        settings.write(self.layout, secrets, {})
        env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(self.layout.airflow_home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__PARALLELISM": str(settings.parallelism()),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(settings.passwords_file(self.layout)),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url(self.layout, "airflow", secrets.airflow_password),
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.jwt_secret,
        }
        airflow = [sys.executable, "-m", "airflow"]
        subprocess.run(
            [*airflow, "db", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        for command in ("api-server", "scheduler", "dag-processor", "triggerer"):
            self.launch([*airflow, command], env)

    def stop(self) -> int:
        """The database last, in its own way."""
        server = self.processes.pop(0)
        left = super().stop()
        server.send_signal(signal.SIGINT)
        server.wait(20)
        return left

    def client(self) -> AirflowClient:
        """As the admin."""
        password = Secrets.load(self.layout).admin_password
        return AirflowClient(f"http://127.0.0.1:{self.port}", settings.ADMIN, password)


@contextlib.contextmanager
def temporary_dag(stack: Stack, name: str, text: str) -> Iterator[None]:
    """A DAG file that is there for the length of a benchmark."""
    stack.dags.mkdir(parents=True, exist_ok=True)
    path = stack.dags / name
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
