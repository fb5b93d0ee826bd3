"""A monitor's samples and alerts against what really was."""

from __future__ import annotations

import numpy as np
import pytest
from backpressure.measures.monitoring import alerts_sent, last, rises, samples_until_alert
from backpressure.timeline import Curve

SAMPLES = [{"at": 0.5 * number, "active": active} for number, active in enumerate((2, 2, 1, 1, 0, 0, 0, 0))]


def curve(*steps: tuple[float, int]) -> Curve:
    """A curve from instants and the values from then on."""
    return Curve(np.array([at for at, _ in steps]), np.array([value for _, value in steps], np.int64))


@pytest.mark.parametrize(("alerts", "taken"), [([1.5], 1), ([2.0, 3.0], 2), ([1.0], -1)])
def test_an_alert_is_so_many_samples_late(alerts: list[float], taken: int) -> None:
    """Samples from passing to the first alert are counted; an alert beforehand is a false one."""
    assert samples_until_alert(SAMPLES, curve((0, 0), (1.2, 6)), 4, alerts).value == taken


def test_what_no_sample_can_see_is_no_passing() -> None:
    """A peak shorter than two samples' time may be missed: what counts is the one that lasts."""
    depth = curve((0, 0), (0.2, 9), (0.7, 0), (2.1, 9), (3.4, 0))
    assert samples_until_alert(SAMPLES, depth, 4, [2.5]).value == 1


def test_an_alert_of_what_passed_shortly_is_a_true_one() -> None:
    """What may be missed may also be seen, and the alert that tells of it is not early."""
    depth = curve((0, 0), (0.4, 9), (0.7, 0), (2.1, 9), (3.4, 0))
    assert samples_until_alert(SAMPLES, depth, 4, [0.5]).value == 1


def test_without_alert_or_passing_there_is_no_value() -> None:
    """A queue that stays below the threshold, a monitor that says nothing, and no samples at all."""
    assert samples_until_alert(SAMPLES, curve((0, 3)), 4, [1.0]).value is None
    assert samples_until_alert(SAMPLES, curve((0, 9)), 4, []).value is None
    assert samples_until_alert([], curve((0, 9)), 4, [1.0]).value is None


def test_alerts_are_counted_while_somebody_looks() -> None:
    """No alert of a monitor is 0; no monitor is no value."""
    assert (alerts_sent([], SAMPLES).value, alerts_sent([1.0], SAMPLES).value) == (0, 1)
    assert alerts_sent([], []).value is None


def test_a_drain_never_rises_and_comes_to_nothing() -> None:
    """Rises are counted between neighbours, and the last sample is what is left."""
    assert rises(SAMPLES, "active", "rises", "Celery").value == 0
    risen = rises([*SAMPLES, {"at": 9.0, "active": 1}], "active", "rises", "Celery")
    assert (risen.value, risen.at) == (1, 9.0)
    assert last(SAMPLES, "active", "left", "Celery").value == 0
    assert rises(SAMPLES[:1], "active", "rises", "Celery").value is None
    assert last([], "active", "left", "Celery").value is None
