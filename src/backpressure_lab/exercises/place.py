"""Where a check puts a submission for an Airflow to load, and the upstream on which it looks at what that does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backpressure.airflow.upstream import Endpoint, Upstream, UpstreamError

from backpressure_lab.errors import LabError, NotRunningError
from backpressure_lab.stack.context import Context
from backpressure_lab.stack.layout import Layout

FOLDER, UPSTREAM, TOKEN = "LAB_CHECKS", "LAB_UPSTREAM_URL", "LAB_CONTROL_TOKEN"
_EDITED = "docker compose --file docker-compose.yml --file cluster/edit.yml up --detach"
_SEE = f"On the cluster of docker-compose.yml: {_EDITED}\nElsewhere see docs/cluster.md"


@dataclass(frozen=True)
class Place:
    """One deployment, as far as a check needs more of it than Airflow's API.

    Attributes:
        checks: the folder that its Airflow loads as a bundle of DAG files.
        submissions: the code that these stand for. Airflow sees both folders side by side, wherever they are there.
        endpoint: its upstream, and the right to control that.
        advice: what to do when Airflow does not load what is put there.
    """

    checks: Path
    submissions: Path
    endpoint: Endpoint
    advice: str = "Look at: ./lab status"

    @classmethod
    def here(cls, context: Context) -> Self:
        """This checkout's lab."""
        upstream = Endpoint(f"http://127.0.0.1:{context.ports.upstream}", context.secrets.control_token)
        return cls(context.layout.checks, context.layout.submissions, upstream)

    @classmethod
    def elsewhere(cls, layout: Layout, told: Mapping[str, str] = os.environ) -> Self:
        """Another deployment, which the environment describes.

        Raises:
            LabError: the token of its upstream is missing or refused.
            NotRunningError: its upstream does not answer.
        """
        token, url = told.get(TOKEN), told.get(UPSTREAM) or "http://127.0.0.1:8090"
        folder = Path(told.get(FOLDER) or layout.cluster)
        if not token:
            raise LabError(
                f"A check sets up the deployment's upstream and reads its log, and there is no token for that.\n"
                f"Set {TOKEN}; of a cluster of docker-compose.yml: CONTROL_TOKEN of .env."
            )
        try:
            with Upstream("checks", base_url=url, token=token) as upstream:
                upstream.time()
        except UpstreamError as error:
            if error.status is None:
                raise NotRunningError(f"The upstream at {url} does not answer ({UPSTREAM}).\n{_SEE}") from error
            raise LabError(
                f"The upstream at {url} refuses: {error.status}. Its token is that of {TOKEN}.\n{_SEE}"
            ) from error
        advice = f"It must load {folder / 'checks'} as a bundle of DAG files ({FOLDER}).\n{_SEE}"
        return cls(folder / "checks", folder / "submissions", Endpoint(url, token), advice)

    def upstream(self, lane: str) -> Upstream:
        """A lane of the upstream, with the right to set it and to read its log."""
        return Upstream(lane, base_url=self.endpoint.base_url, token=self.endpoint.token)
