"""Pools over an imagined REST API that answers as Airflow 3.3 does."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure import pools
from backpressure.airflow.client import AirflowError
from backpressure.pools import PoolSpec, PoolStatus
from support.airflow_api import Airflow


def test_a_missing_pool_is_created_once() -> None:
    """The second of two identical calls changes nothing."""
    api = Airflow()
    spec = PoolSpec("api", 3, "calls")
    assert pools.ensure(api, spec) == "created"
    assert pools.ensure(api, spec) == "unchanged"
    assert api.pools["api"]["slots"] == 3


def test_a_size_set_by_hand_survives() -> None:
    """Another size is reported and left alone, unless resizing is asked for."""
    api = Airflow(api=7)
    assert pools.ensure(api, PoolSpec("api", 3)) == "drifted"
    assert api.pools["api"]["slots"] == 7
    assert pools.ensure(api, PoolSpec("api", 3), resize_existing=True) == "resized"
    assert api.pools["api"]["slots"] == 3


def test_including_deferred_tasks_is_part_of_what_a_pool_should_be() -> None:
    """A pool of the right size that counts deferred tasks otherwise has drifted."""
    api = Airflow(api=3)
    assert pools.ensure(api, PoolSpec("api", 3, include_deferred=True)) == "drifted"


def test_resize_keeps_the_rest_and_tells_the_size_before() -> None:
    """Only the number of slots changes."""
    api = Airflow()
    pools.ensure(api, PoolSpec("api", 3, "calls", include_deferred=True))
    assert pools.resize(api, "api", 6) == 3
    assert api.pools["api"] == {"name": "api", "slots": 6, "description": "calls", "include_deferred": True}


def test_the_default_pool_is_resized_in_its_own_way() -> None:
    """Airflow lets only the slots of default_pool be changed, by a mask."""
    api = Airflow()
    assert pools.resize(api, "default_pool", 64) == 128
    assert api.pools["default_pool"]["slots"] == 64


def test_drain_closes_the_pool() -> None:
    """Slots go to 0; the size before is told, to open it again."""
    api = Airflow(api=3)
    assert pools.drain(api, "api") == 3
    assert api.pools["api"]["slots"] == 0


@pytest.mark.parametrize("name", ["a/b", "a?b", "a#b", "a%2Fb", "50 %", "größe"])
def test_a_pool_of_any_name_is_found_again(name: str) -> None:
    """What means something in an address is quoted: the same pool is created, read, resized and removed."""
    api = Airflow()
    assert pools.ensure(api, PoolSpec(name, 3)) == "created"
    assert pools.ensure(api, PoolSpec(name, 3)) == "unchanged"
    assert pools.ensure(api, PoolSpec(name, 4), resize_existing=True) == "resized"
    assert pools.resize(api, name, 5) == 4
    assert pools.remove(api, name)
    assert pools.status(api, name) is None


def test_a_pool_that_is_there_and_not_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that changes paths, say: it is asked for twice, and then said."""
    api = Airflow(api=3)
    asked: list[str] = []

    def get(path: str, **_: Any) -> Any:
        asked.append(path)
        raise AirflowError("GET", path, 404, "not found")

    monkeypatch.setattr(api, "get", get)
    with pytest.raises(LookupError, match="does not find it by that name"):
        pools.ensure(api, PoolSpec("api", 3))
    assert asked == ["/pools/api"] * 2


def test_a_pool_that_is_not_there() -> None:
    """Status is None, removal says False, resizing names the remedy."""
    api = Airflow()
    assert pools.status(api, "api") is None
    assert pools.remove(api, "api") is False
    with pytest.raises(LookupError, match=r"no pool 'api'; create it with ensure"):
        pools.resize(api, "api", 3)


def test_other_refusals_are_not_swallowed() -> None:
    """Only 'not found' and 'exists' mean something to this module."""

    class Forbidden(Airflow):
        def get(self, path: str, **_: Any) -> Any:
            raise AirflowError("GET", path, 403, "forbidden")

        def delete(self, path: str) -> None:
            raise AirflowError("DELETE", path, 403, "forbidden")

    api = Forbidden()
    for call in (
        lambda: pools.status(api, "api"),
        lambda: pools.resize(api, "api", 1),
        lambda: pools.remove(api, "api"),
    ):
        with pytest.raises(AirflowError, match="403 forbidden"):
            call()


@pytest.mark.parametrize("slots", [-2, 1.5, True, "3", None])
def test_slots_out_of_range_are_refused(slots: Any) -> None:
    """-1 (without limit), 0 (closed) and more are sizes; nothing else is."""
    with pytest.raises(ValueError, match=r"slots must be a whole number, -1 .* got"):
        PoolSpec("api", slots)


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_names_out_of_range_are_refused(name: str) -> None:
    """Airflow keeps 256 characters of a name."""
    with pytest.raises(ValueError, match="name must have 1 to 256 characters"):
        PoolSpec(name, 1)


def test_utilisation_of_a_status() -> None:
    """Occupied share of the slots; 0 where there is no size to divide by."""
    status = PoolStatus("api", 4, 3, 2, 1, 5, 0, 1, include_deferred=False)
    assert status.utilisation == 0.75
    assert PoolStatus("api", -1, 3, 2, 1, 5, 0, -1, include_deferred=False).utilisation == 0
