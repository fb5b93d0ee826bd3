"""The client of Airflow's REST API, where it adds something to it."""

from __future__ import annotations

from typing import Any

import pytest
from backpressure.airflow.client import AirflowClient, AirflowError


class Refusing(AirflowClient):
    """A client whose Airflow refuses new runs with this status, and knows one run."""

    def __init__(self, status: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self.refusal = status

    def request(self, method: str, path: str, **_: Any) -> Any:
        """As Airflow answers it."""
        if method == "POST":
            raise AirflowError(method, path, self.refusal, "refused")
        return {"asked": path}


def test_a_run_that_is_there_already_is_returned() -> None:
    """A repeated request, whose first answer was lost, gets the run that the first one made."""
    with Refusing(409) as api:
        assert api.trigger("d", "r") == {"asked": "/dags/d/dagRuns/r"}


def test_another_refusal_of_a_run_is_raised() -> None:
    """A DAG that does not exist is not taken for a run that does."""
    with Refusing(404) as api, pytest.raises(AirflowError, match="404 refused"):
        api.trigger("d", "r")
