"""Airflow's settings for the lab, each with its reason; one definition, rendered as ``airflow.cfg`` or as variables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backpressure_lab.files import write_json, write_text
from backpressure_lab.stack import postgres
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.secrets import Secrets

ADMIN = "admin"
Settings = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one lab."""

    api: int
    upstream: int
    metrics: int
    statsd: int


def parallelism(cores: int | None = None) -> int:
    """Task slots of a scheduler's LocalExecutor: eight a core, between 16 and 32.

    Lessons sleep and wait far more than they compute, and several of them need twelve tasks at once to show a limit;
    more slots than these only make more processes wait for the same cores.
    """
    return max(16, min(32, 8 * (cores or os.cpu_count() or 2)))


def course_settings(layout: Layout) -> Settings:
    """What a learner's Airflow needs, wherever it runs."""
    return {
        "core": {
            "load_examples": "False",
            "plugins_folder": str(layout.plugins),
            "executor": "LocalExecutor,CeleryExecutor",
            "parallelism": str(parallelism()),
            "default_timezone": "utc",
            # New tasks of an edited file show at once instead of 30 s after the last write.
            "min_serialized_dag_update_interval": "0",
            "min_serialized_dag_fetch_interval": "0",
        },
        "dag_processor": {
            "dag_bundle_config_list": _bundles(lessons=layout.dags, work=layout.work, checks=layout.checks),
            # New files are seen within refresh + check interval; the default is 300 s.
            "refresh_interval": "2",
            "bundle_refresh_check_interval": "1",
            # A file that changed is parsed at once; parsing all the others every 30 s takes a good part of a core.
            "min_file_process_interval": "120",
        },
        "scheduler": {
            # A run that the lab's stop cut off is noticed within a minute of the next start; the default is 300 s.
            "task_instance_heartbeat_timeout": "60",
            # A freed slot is seen after a quarter of a second instead of up to one: lessons are short.
            "scheduler_idle_sleep_time": "0.25",
            "orphaned_tasks_check_interval": "20",
        },
        "triggerer": {
            # What a triggerer that died has waited for passes to its successor after this time; the default is 30 s.
            "triggerer_health_check_threshold": "10",
        },
        "celery": {
            "worker_concurrency": "2",
            "worker_enable_remote_control": "True",
            # Imported by a worker before it forks; without it each task imports them again, for a quarter of a second.
            "extra_celery_config": json.dumps(
                {"imports": ["backpressure_lab.stack.warm", "backpressure_lab.stack.leak"]}
            ),
        },
        "workers": {
            # A supervisor that misses its task's end by an instant sleeps until the next heartbeat, and keeps a process
            # of the executor from the next task: for a second instead of five.
            "min_heartbeat_interval": "1",
        },
        "metrics": {"statsd_on": "True"},
        "operators": {"default_queue": "default"},
    }


def _bundles(**folders: Path) -> str:
    """Folders of DAG files, each seen anew every two seconds."""
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return json.dumps(
        [
            {"name": name, "classpath": classpath, "kwargs": {"path": str(path), "refresh_interval": 2}}
            for name, path in folders.items()
        ]
    )


def lab_settings(layout: Layout, secrets: Secrets, ports: Ports, *, light: bool) -> Settings:
    """The course's settings plus where this lab's own servers are."""
    settings = course_settings(layout)
    database = postgres.url(layout, "airflow", secrets.airflow_password)
    own: Settings = {
        "core": {
            "fernet_key": secrets.fernet_key,
            "execution_api_server_url": f"http://127.0.0.1:{ports.api}/execution/",
            "simple_auth_manager_users": f"{ADMIN}:admin",
            "simple_auth_manager_passwords_file": str(passwords_file(layout)),
        },
        "database": {
            "sql_alchemy_conn": database,
            "sql_alchemy_conn_async": postgres.url(
                layout, "airflow", secrets.airflow_password, driver="postgresql+asyncpg"
            ),
            # The lab's stop and restart of PostgreSQL must not leave dead connections in a pool.
            "sql_alchemy_pool_pre_ping": "True",
        },
        "api": {
            "host": "127.0.0.1",
            "port": str(ports.api),
            "base_url": f"http://127.0.0.1:{ports.api}",
            "secret_key": secrets.api_secret_key,
            "workers": "1",
            "expose_config": "False",
        },
        "api_auth": {"jwt_secret": secrets.jwt_secret},
        "logging": {"base_log_folder": str(layout.home / "task-logs")},
        "scheduler": {"enable_health_check": "False"},
        "metrics": {"statsd_host": "127.0.0.1", "statsd_port": str(ports.statsd)},
        "celery": {
            "broker_url": f"redis+socket://{layout.sockets / 'valkey.sock'}",
            "result_backend": f"db+{database}",
        },
    }
    if light:
        own["core"]["executor"] = "LocalExecutor"
    for section, options in own.items():
        settings.setdefault(section, {}).update(options)
    return settings


def passwords_file(layout: Layout) -> os.PathLike[str]:
    """Where Airflow's simple auth manager looks up the admin's password."""
    return layout.airflow_home / "passwords.json"


def write(layout: Layout, secrets: Secrets, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Write ``airflow.cfg`` and the password file, mode 0600; plain ``airflow`` commands need AIRFLOW_HOME only."""
    lines = ["# Written at each start of the lab; edits are lost. See src/backpressure_lab/stack/settings.py."]
    for section, options in settings.items():
        lines.append(f"\n[{section}]")
        lines += [f"{name} = {value.replace('%', '%%')}" for name, value in options.items()]
    write_text(layout.airflow_home / "airflow.cfg", "\n".join(lines) + "\n", mode=0o600)
    write_json(layout.airflow_home / "passwords.json", {ADMIN: secrets.admin_password}, mode=0o600)
