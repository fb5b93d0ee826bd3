"""The question for the queue, on a real server; and a crowd, on schedulers with so many processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from backpressure.airflow import schedulers
from backpressure.airflow.schedulers import crowd, queue_query

if TYPE_CHECKING:
    from support.postgres import PostgresServer


def test_an_index_spares_the_database_the_history(postgres: PostgresServer) -> None:
    """The same question of the same table looks at a small part of the blocks, and leaves no table behind."""
    index = "CREATE INDEX ON task_instances (state)"
    plain, indexed = (queue_query(sql, rows=20_000, each=1_000, dsn=postgres.dsn()) for sql in ("", index))
    assert plain["blocks"] >= 5 * indexed["blocks"] > 0
    assert postgres.psql("SELECT count(*) FROM pg_class WHERE relname = 'task_instances'") == "0"


class FakeLab:
    """Schedulers that start a task a second after its run came, as long as they have a process; and their upstream."""

    lane = "crowd"

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.at = 0.0
        self.came: list[float] = []
        self.capacity: list[int | None] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds

    def monotonic(self) -> float:
        """The clock, which only sleeping moves."""
        return self.at

    def trigger(self, helper: str, label: str, lane: str) -> None:
        """A run of two tasks comes."""
        assert (helper, label, lane) == ("helper", f"crowd-{len(self.came)}", "crowd")
        self.came.append(self.at)

    def state(self) -> dict[str, int]:
        """How many tasks have called."""
        return {"waiting": min(self.processes, 2 * sum(at <= self.at - 1 for at in self.came))}

    def configure(self, capacity: int | None, **_: Any) -> None:
        """Answer or not."""
        self.capacity.append(capacity)

    def wait_for(self, condition: Any, seconds: float) -> None:
        """See it through."""
        assert condition()
        assert seconds > 0

    def helper_runs_over(self, helper: str) -> bool:
        """Whether all are through, which takes answers."""
        return helper == "helper" and self.capacity[-1] is None


@pytest.mark.parametrize(("processes", "runs"), [(32, range(10, 12)), (15, range(14, 16)), (3, range(11, 12))])
def test_a_crowd_comes_until_it_is_large_or_no_larger(
    monkeypatch: pytest.MonkeyPatch, processes: int, runs: range
) -> None:
    """With processes beyond one scheduler it ends when four more wait; else when for a while nobody has called."""
    lab = FakeLab(processes)
    monkeypatch.setattr(schedulers, "time", lab)
    monkeypatch.setattr(schedulers, "conf", SimpleNamespace(getint=lambda *_: 16))
    if processes < 15:
        with pytest.raises(TimeoutError, match="only 3 of 15"):
            crowd(lab, "helper", lab, beyond=4, patience=3.0)  # type: ignore[arg-type]  # as much of both as it needs
        return
    crowd(lab, "helper", lab, beyond=4, patience=3.0)  # type: ignore[arg-type]  # as much of both as it needs
    assert len(lab.came) in runs
    assert lab.capacity == [0, None]
    assert (lab.state()["waiting"] >= 20) == (processes == 32)
