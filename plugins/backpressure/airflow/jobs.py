"""One operator for a job that another system does: it waits in a worker, or in the triggerer, as one flag says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

DONE = "done"


class JobTrigger(BaseTrigger):
    """Asks for a job's state until it is done.

    Args:
        url: where the job's state is; asking needs no token.
        every: seconds between two questions.
    """

    def __init__(self, url: str, every: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own signature
        self.url = url
        self.every = every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to make it anew."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"url": self.url, "every": self.every}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once: with the job, or with an error that the task then raises."""
        async with httpx.AsyncClient(trust_env=False, verify=self.url.startswith("https:")) as http:
            try:
                told = {"result": await self._result(http)}
            except httpx.HTTPError as error:
                told = {"error": f"{self.url}: {error}"}
            yield TriggerEvent(told)  # type: ignore[no-untyped-call]  # Airflow's own signature

    async def _result(self, http: httpx.AsyncClient) -> Any:
        while (job := (await http.get(self.url)).raise_for_status().json())["state"] != DONE:  # noqa: ASYNC110 - asking
            await asyncio.sleep(self.every)
        return job["result"]


class JobOperator(BaseOperator):
    """Start a job of the upstream simulator and wait for its result.

    It returns ``{"result": …, "held": …}``: the job's result, and for how many seconds a worker was held.

    Args:
        lane: the upstream.
        name: of the job; its result depends on it alone.
        seconds: how long the job takes.
        every: seconds between two questions whether it is done.
        deferrable: wait in the triggerer, which waits for many at once, and hold no worker meanwhile.
    """

    template_fields = ("lane", "name")

    def __init__(
        self, *, lane: str, name: str, seconds: float, every: float = 0.5, deferrable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lane = lane
        self.name = name
        self.seconds = seconds
        self.every = every
        self.deferrable = deferrable

    def execute(self, context: Any) -> dict[str, Any]:  # noqa: ARG002 - Airflow's own signature
        """Start the job, and wait here or let the triggerer wait."""
        from backpressure.airflow.upstream import Upstream  # noqa: PLC0415 - not while a DAG file is parsed

        begun = time.monotonic()
        with Upstream(self.lane) as upstream:
            job_id = upstream.submit_job(self.seconds, self.name)
            if self.deferrable:
                self.defer(
                    trigger=JobTrigger(upstream.job_url(job_id), self.every),
                    method_name="resume",
                    kwargs={"held": time.monotonic() - begun},
                    timeout=timedelta(seconds=2 * self.seconds + 60),
                )
            while (job := upstream.job(job_id))["state"] != DONE:
                time.sleep(self.every)
        return {"result": job["result"], "held": time.monotonic() - begun}

    def resume(self, context: Any, event: dict[str, Any], held: float) -> dict[str, Any]:  # noqa: ARG002 - the same
        """Take up the work when the trigger has fired.

        Raises:
            RuntimeError: the job's state could not be learned.
        """
        begun = time.monotonic()
        if "error" in event:
            raise RuntimeError(f"the job of {self.name!r} was lost: {event['error']}")
        return {"result": event["result"], "held": held + time.monotonic() - begun}
