"""The environment of the cluster's Airflow: the course's settings and where the cluster's own servers are."""

from __future__ import annotations

import json
from collections.abc import Mapping

from backpressure_lab.cluster import places
from backpressure_lab.stack import settings
from backpressure_lab.stack.settings import ADMIN, Settings

MISSING = "run ./lab compose-env"
# Celery's own patience ends after three attempts, long before Airflow's [celery] operation_timeout.
_HAND_OVER = {
    "task_publish_retry_policy": {"max_retries": None, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
}


def secret(name: str) -> str:
    """A reference to a variable of ``.env``; Compose refuses to start without it and says what to run."""
    return f"${{{name}:?{MISSING}}}"


def airflow_settings() -> Settings:
    """Airflow's settings: the course's, and the cluster's own over them."""
    found = settings.course_settings(places.LAYOUT)
    for section, options in _cluster_settings(found).items():
        found.setdefault(section, {}).update(options)
    return found


def airflow() -> dict[str, str]:
    """Airflow's variables, the same for every component of the cluster."""
    # The package comes with the image and registers itself; this folder is for plugins of one's own.
    own = {name: f"{host}:{port}" for name, (host, port) in places.ADDRESSES.items()}
    return (
        {"AIRFLOW_HOME": str(places.LAYOUT.airflow_home), "LAB_ROOT": str(places.LAYOUT.root)}
        | own
        | as_variables(airflow_settings())
    )


def as_variables(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Settings as Airflow reads them from the environment."""
    return {
        f"AIRFLOW__{section.upper()}__{name.upper()}": value
        for section, options in found.items()
        for name, value in options.items()
    }


def _cluster_settings(course: Settings) -> Settings:
    database = f"airflow:{secret('AIRFLOW_PASSWORD')}@{places.POSTGRES}:{places.POSTGRES_PORT}/airflow"
    return {
        "core": {
            # Each scheduler's share of what may be queued or running; the workers' processes are the real limit.
            "parallelism": "32",
            # Celery is the cluster's own; lessons that compare the two executors name the other one themselves.
            "executor": "CeleryExecutor,LocalExecutor",
            "fernet_key": secret("FERNET_KEY"),
            "execution_api_server_url": f"http://{places.API_SERVER}:{places.API_PORT}/execution/",
            "simple_auth_manager_users": f"{ADMIN}:admin",
            "simple_auth_manager_passwords_file": str(settings.passwords_file(places.LAYOUT)),
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            "sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
            # A restart of PostgreSQL must not leave dead connections in a pool.
            "sql_alchemy_pool_pre_ping": "True",
        },
        "api": {
            "host": "0.0.0.0",  # noqa: S104 - inside the cluster's network; Compose publishes it on loopback only
            "port": str(places.API_PORT),
            "base_url": "http://127.0.0.1:${LAB_PORT:-8080}",
            "secret_key": secret("API_SECRET_KEY"),
            "workers": "1",
            "expose_config": "False",
        },
        "api_auth": {"jwt_secret": secret("JWT_SECRET")},
        # One volume holds every component's logs, so that none has to serve its own.
        "logging": {"base_log_folder": str(places.LAYOUT.home / "task-logs")},
        "scheduler": {"enable_health_check": "True"},
        "metrics": {"statsd_host": places.METRICS, "statsd_port": str(places.STATSD_PORT)},
        "celery": {
            "broker_url": f"redis://:{secret('REDIS_PASSWORD')}@{places.REDIS}:{places.REDIS_PORT}/0",
            "result_backend": f"db+postgresql+psycopg2://{database}",
            # By default a task fails that is handed over while the broker has been away for 0.6 s. Here the hand-over
            # is tried for as long as Airflow allows, a second, and again in the scheduler's next rounds.
            "task_publish_max_retries": "30",
            "extra_celery_config": json.dumps(json.loads(course["celery"]["extra_celery_config"]) | _HAND_OVER),
        },
        "celery_broker_transport_options": {
            # What a worker that is gone had taken and not finished, the others give to another worker after this time.
            # A task that lasts longer is offered to a second worker meanwhile, which leaves it alone as it runs.
            "visibility_timeout": "${VISIBILITY_TIMEOUT:-120}",
            # They look every 10 s; by default only every tenth look is a real one.
            "unacked_restore_throttle": "1",
        },
    }
