"""The broker away: what the cluster's settings make of a hand-over, and when an abandoned message is looked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.celery.executors.celery_executor_utils import OPERATION_TIMEOUT, timeout
from airflow.sdk.exceptions import AirflowTaskTimeout
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel

from backpressure_lab.cluster import variables

SETTINGS = variables.airflow_settings()
NOBODY = "redis://127.0.0.1:9/0"


def _app(**settings: Any) -> Celery:
    app = Celery(broker=NOBODY, set_as_current=False)
    app.conf.update(settings)
    return app


@pytest.mark.slow
def test_a_hand_over_is_tried_until_airflow_ends_the_attempt() -> None:
    """Airflow tries again after its own timeout, and fails the task on any other error, such as Celery's giving up."""
    with pytest.raises(OperationalError):
        _app().send_task("work")
    policy = json.loads(SETTINGS["celery"]["extra_celery_config"])["task_publish_retry_policy"]
    with pytest.raises(AirflowTaskTimeout), timeout(seconds=OPERATION_TIMEOUT):
        _app(task_publish_retry_policy=policy).send_task("work")
    assert int(SETTINGS["celery"]["task_publish_max_retries"]) * OPERATION_TIMEOUT >= 30


def test_what_workers_preload_is_still_preloaded() -> None:
    """The cluster adds to the course's Celery settings and takes nothing away."""
    course = json.loads(variables.settings.course_settings(variables.places.LAYOUT)["celery"]["extra_celery_config"])
    assert course.items() <= json.loads(SETTINGS["celery"]["extra_celery_config"]).items()


def test_every_look_for_abandoned_messages_is_a_real_one() -> None:
    """By Kombu's default only every tenth look is one, so that a lost worker's tasks came back much later than told."""
    assert Channel.unacked_restore_throttle > int(
        SETTINGS["celery_broker_transport_options"]["unacked_restore_throttle"]
    )
    assert "unacked_restore_throttle" in Channel.from_transport_options
