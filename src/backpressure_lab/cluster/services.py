"""The services of the cluster: what each runs, what it waits for, how one sees that it is healthy, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from backpressure_lab.cluster import places
from backpressure_lab.manifest import Course

HEALTHY, DONE = "service_healthy", "service_completed_successfully"

POSTGRES_IMAGE = "postgres:18-bookworm"
REDIS_IMAGE = "valkey/valkey:9"


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes:
        name: its name in Compose, and its host name in the cluster's network.
        command: what it runs; empty where the image's own command is right.
        health: a command that exits with 0 when the service is healthy; empty for a job that runs once.
        after: the services that it waits for, and for what of each.
        memory: most memory that it may use, as Compose writes it.
        cpus: most processors that it may use.
        image: of another project; empty for the lab's own.
        environment: what it needs beside, or, for another project's image, instead of Airflow's variables.
        secrets: the files that it reads below ``/run/secrets``, each the variable of ``.env`` in small letters.
        volumes: named volumes and where they are mounted.
        ports: published ports, each on loopback.
        replicas: how many there are before anybody scales.
        profile: started only when asked for; empty for always.
        devices: kinds of devices that it reserves.
        grace: seconds that it gets to end by itself.
        airflow: whether it gets Airflow's variables and log volume.
    """

    name: str
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    after: dict[str, str] = field(default_factory=dict)
    memory: str = "1g"
    cpus: float = 1.0
    image: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    replicas: int = 1
    profile: str = ""
    devices: tuple[str, ...] = ()
    grace: int = 10
    airflow: bool = True

    @property
    def once(self) -> bool:
        """Whether it is a job that ends."""
        return not self.health


def worker_name(queue: str) -> str:
    """The service that works for a queue."""
    return f"worker-{queue.replace('_', '-')}"


def services(course: Course) -> list[Service]:
    """Every service of the cluster, in the order in which they can start."""
    return [*_stores(), *_jobs_and_airflow(), *_workers(course), *_witnesses()]


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return ("python", "-m", f"backpressure_lab.{module}", *arguments)


def _healthy(*question: str) -> tuple[str, ...]:
    return _python("cluster.healthy", *question)


def _stores() -> list[Service]:
    return [
        Service(
            places.POSTGRES,
            # The cluster's schedulers, workers and limiters each hold a few connections.
            ("postgres", "-c", "max_connections=300", "-c", "shared_buffers=256MB"),
            ("CMD-SHELL", "pg_isready --username=postgres --quiet"),
            image=POSTGRES_IMAGE,
            environment={"POSTGRES_PASSWORD_FILE": str(places.SECRETS / "postgres_password")},
            secrets=("postgres_password",),
            volumes=("database:/var/lib/postgresql",),
            memory="2g",
            grace=30,
            airflow=False,
        ),
        Service(
            places.REDIS,
            # The password is read from a file, so that no list of processes shows it; the server takes the shell's
            # place, so that it hears when it is to end, and saves.
            (
                "sh",
                "-c",
                (
                    f"exec valkey-server - <<END\nport {places.REDIS_PORT}\nappendonly yes\ndir /data\n"
                    f"requirepass $$(cat {places.SECRETS}/redis_password)\nEND\n"
                ),
            ),
            ("CMD-SHELL", f'REDISCLI_AUTH="$$(cat {places.SECRETS}/redis_password)" valkey-cli ping | grep -q PONG'),
            image=REDIS_IMAGE,
            secrets=("redis_password",),
            volumes=("queues:/data",),
            memory="512m",
            airflow=False,
        ),
    ]


def _jobs_and_airflow() -> list[Service]:
    stores = {places.POSTGRES: HEALTHY, places.REDIS: HEALTHY}
    migrated = stores | {"migrate": DONE}
    return [
        Service(
            "migrate",
            _python("cluster.migrate"),
            after=stores,
            secrets=("postgres_password", "airflow_password", "lab_password", "backpressure_password"),
        ),
        Service(
            places.API_SERVER,
            _python("cluster.api_server"),
            _healthy("metadatabase"),
            after=migrated,
            secrets=("admin_password",),
            ports=(f"127.0.0.1:${{LAB_PORT:-8080}}:{places.API_PORT}",),
            memory="2g",
        ),
        # Pools and connections are made over the API, as an administrator would; so this job comes after the server.
        Service(
            "bootstrap",
            _python("cluster.bootstrap"),
            after={places.API_SERVER: HEALTHY},
            secrets=("admin_password", "lab_password", "backpressure_password", "control_token", "redis_password"),
        ),
        Service(
            "scheduler",
            ("airflow", "scheduler", "--skip-serve-logs"),
            _healthy(f"http://127.0.0.1:{places.SCHEDULER_HEALTH_PORT}/health"),
            after=migrated | {places.API_SERVER: HEALTHY},
            replicas=2,
            memory="2g",
        ),
        Service(
            "dag-processor",
            ("airflow", "dag-processor"),
            _healthy("dag_processor"),
            after=migrated | {places.API_SERVER: HEALTHY},
        ),
        Service(
            "triggerer",
            ("airflow", "triggerer", "--skip-serve-logs"),
            _healthy("triggerer"),
            after=migrated | {places.API_SERVER: HEALTHY},
        ),
    ]


# [workers]
# What tells one kind of worker from another; a queue that is not named here has an ordinary one.
_MEMORY = {"high_memory": "4g"}
_DEVICES = {"gpu": ("gpu",)}


def _workers(course: Course) -> list[Service]:
    return [
        Service(
            worker_name(queue.name),
            (
                *("airflow", "celery", "worker", "--queues", queue.name, "--concurrency", "${WORKER_CONCURRENCY:-2}"),
                *("--without-mingle", "--without-gossip", "--skip-serve-logs"),
            ),
            _healthy("worker"),
            after={places.REDIS: HEALTHY, places.API_SERVER: HEALTHY, "bootstrap": DONE},
            memory=_MEMORY.get(queue.name, "2g"),
            profile="gpu" if queue.name in _DEVICES else "",
            devices=_DEVICES.get(queue.name, ()),
            # A warm shutdown: what runs may end, nothing new is taken.
            grace=60,
        )
        for queue in course.queues
    ]
    # [/workers]


def _witnesses() -> list[Service]:
    token = f"--token-file={places.SECRETS / 'control_token'}"
    anywhere = "--host=0.0.0.0"  # inside the cluster's network; nothing of it is published
    return [
        Service(
            places.UPSTREAM,
            _python("upstream", anywhere, f"--port={places.UPSTREAM_PORT}", token),
            _healthy(f"http://127.0.0.1:{places.UPSTREAM_PORT}/health"),
            secrets=("control_token",),
            memory="512m",
            airflow=False,
        ),
        Service(
            places.METRICS,
            _python(
                "metrics",
                *(anywhere, f"--port={places.METRICS_PORT}", f"--udp-port={places.STATSD_PORT}", token),
                f"--forward={places.STATSD_EXPORTER}:{places.STATSD_EXPORTER_PORT}",
            ),
            _healthy(f"http://127.0.0.1:{places.METRICS_PORT}/health"),
            secrets=("control_token",),
            memory="512m",
            airflow=False,
        ),
        *_observability(),
    ]


def _observability() -> list[Service]:
    """Dashboards, for who asks for them: ``docker compose --profile observability up``."""
    exporter = f"http://127.0.0.1:{places.STATSD_EXPORTER_HTTP_PORT}/metrics"
    return [
        Service(
            places.STATSD_EXPORTER,
            (
                f"--statsd.listen-udp=:{places.STATSD_EXPORTER_PORT}",
                "--statsd.mapping-config=/etc/statsd-exporter/mapping.yml",
            ),
            ("CMD-SHELL", f"wget --quiet --output-document=/dev/null {exporter}"),
            image="prom/statsd-exporter:v0.28.0",
            volumes=("./cluster/statsd-exporter:/etc/statsd-exporter:ro",),
            memory="256m",
            profile="observability",
            airflow=False,
        ),
        Service(
            "prometheus",
            ("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.retention.time=7d"),
            ("CMD-SHELL", "wget --quiet --output-document=/dev/null http://127.0.0.1:9090/-/healthy"),
            after={places.STATSD_EXPORTER: HEALTHY},
            image="prom/prometheus:v3.5.0",
            volumes=("./cluster/prometheus:/etc/prometheus:ro", "series:/prometheus"),
            profile="observability",
            airflow=False,
        ),
        Service(
            "grafana",
            (),
            ("CMD-SHELL", "wget --quiet --output-document=/dev/null http://127.0.0.1:3000/api/health"),
            after={"prometheus": HEALTHY},
            image="grafana/grafana:12.1.0",
            environment={
                "GF_SECURITY_ADMIN_PASSWORD__FILE": str(places.SECRETS / "grafana_password"),
                "GF_ANALYTICS_REPORTING_ENABLED": "false",
                "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
                "GF_USERS_ALLOW_SIGN_UP": "false",
            },
            secrets=("grafana_password",),
            volumes=("./cluster/grafana:/etc/grafana/provisioning:ro", "dashboards:/var/lib/grafana"),
            ports=("127.0.0.1:${GRAFANA_PORT:-3000}:3000",),
            profile="observability",
            airflow=False,
        ),
    ]
