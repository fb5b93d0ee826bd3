"""What every part of one running lab has in common."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from backpressure_lab.errors import DamagedLabError, NotRunningError
from backpressure_lab.files import write_json
from backpressure_lab.stack.layout import Layout
from backpressure_lab.stack.secrets import Secrets
from backpressure_lab.stack.settings import Ports


@dataclass(frozen=True)
class Context:
    """One lab: where it lies, its secrets and its ports."""

    layout: Layout
    secrets: Secrets
    ports: Ports
    light: bool = False

    @property
    def url(self) -> str:
        """Airflow's web page and REST API."""
        return f"http://127.0.0.1:{self.ports.api}"

    def save(self) -> None:
        """Let this lab's own commands find it; secrets stay in their file."""
        write_json(self.layout.run / "context.json", {"ports": asdict(self.ports), "light": self.light})

    @classmethod
    def load(cls, layout: Layout | None = None) -> Context:
        """The lab that runs in ``layout``, or the one that this process is a part of.

        Raises:
            NotRunningError: there is none.
            DamagedLabError: its file cannot be read.
        """
        layout = layout or Layout.of()
        path = layout.run / "context.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(layout, Secrets.load(layout), Ports(**found["ports"]), light=found["light"])
        except FileNotFoundError:
            raise NotRunningError("The lab is not running.\nStart it with: ./lab up") from None
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedLabError(path, str(error)) from error

    def environment(self) -> dict[str, str]:
        """The parts' environment: no secret, none of the caller's own Airflow settings, no proxy to one another."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW__", "AIRFLOW_", "BACKPRESSURE_", "PYTHON"))
        }
        own = {
            "AIRFLOW_HOME": str(self.layout.airflow_home),
            "BACKPRESSURE_LAB_HOME": str(self.layout.home),
            "PYTHONPATH": f"{self.layout.root / 'src'}{os.pathsep}{self.layout.plugins}",
            "PYTHONUNBUFFERED": "1",
            # One client library thread a task is enough, and many tasks share few cores.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        return kept | _without_proxy(kept) | own


def _without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Who must be reached directly, the caller's own hosts first: a task asks Airflow's API through HTTP_PROXY, too.

    Some libraries look at one of the two names only, and some let it hide the other.
    """
    found = {}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        hosts = [host.strip() for host in environment.get(name, environment.get(other, "")).split(",") if host.strip()]
        # Beside others, an asterisk would no longer stand for all hosts.
        found[name] = "*" if "*" in hosts else ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return found
