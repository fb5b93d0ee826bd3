"""Where the lab keeps what it writes: everything lies under ``.lab/`` of the checkout, save sockets of a long path."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# The kernel's limit for a unix socket's path is 108 bytes on Linux and 104 on macOS, the file's name included.
_SOCKET_PATH_BYTES = 100
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"


def checkout() -> Path:
    """The root of the checkout that this package is run from."""
    return Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Layout:
    """The paths of one lab. ``root`` is the checkout; tests give a folder of their own as ``home``."""

    root: Path
    home: Path

    @classmethod
    def of(cls, root: Path | None = None, home: Path | None = None) -> Layout:
        """The layout of a checkout, this one by default.

        Its state lies in ``home``, else in the folder that BACKPRESSURE_LAB_HOME names, else in ``.lab``; the parts
        of a lab find theirs by that variable.
        """
        base = (root or checkout()).resolve()
        named = os.environ.get("BACKPRESSURE_LAB_HOME")
        return cls(base, (home or (Path(named) if named else base / ".lab")).resolve())

    @property
    def dags(self) -> Path:
        """The lessons."""
        return self.root / "dags"

    @property
    def work(self) -> Path:
        """The learner's own DAG files, loaded as a second bundle."""
        return self.root / "work"

    @property
    def checks(self) -> Path:
        """What stands for submissions that are being checked, loaded as a third bundle."""
        return self.home / "checks"

    @property
    def submissions(self) -> Path:
        """The code of submissions that are being checked."""
        return self.home / "submissions"

    @property
    def cluster(self) -> Path:
        """The same two folders for the cluster of docker-compose.yml, which cluster/edit.yml mounts."""
        return self.home / "cluster"

    @property
    def plugins(self) -> Path:
        """The plugins folder, which holds the shim and the ``backpressure`` package."""
        return self.root / "plugins"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME, where ``airflow.cfg`` is written at each start."""
        return self.home / "airflow"

    @property
    def logs(self) -> Path:
        """One file a part, rewritten at each start of the lab; the supervisor's own goes on."""
        return self.home / "logs"

    @property
    def run(self) -> Path:
        """What is true only while the lab is up: state, lock and switches."""
        return self.home / "run"

    @property
    def state_file(self) -> Path:
        """The supervisor's view of its parts, as JSON."""
        return self.run / "state.json"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor as long as it lives."""
        return self.run / "lock"

    @property
    def switches(self) -> Path:
        """A file here, named after an optional part, asks the supervisor to keep that part running."""
        return self.run / "switches"

    @property
    def database_ready(self) -> Path:
        """There once the databases of this start are made and up to date."""
        return self.run / "database-ready"

    @property
    def secrets_file(self) -> Path:
        """Generated passwords and keys, mode 0600."""
        return self.home / "secrets.json"

    @property
    def token_file(self) -> Path:
        """The bearer token of the upstream simulator and the StatsD receiver, mode 0600."""
        return self.home / "token"

    @property
    def database(self) -> Path:
        """PostgreSQL's data folder."""
        return self.home / "postgres"

    @cached_property
    def sockets(self) -> Path:
        """The folder of the unix sockets: under ``.lab/`` where its path is short enough, else a private one."""
        near = self.run / "sockets"
        if len(str(near / _LONGEST_SOCKET_NAME).encode()) <= _SOCKET_PATH_BYTES and " " not in str(near):
            return near
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"bplab-{digest}"
