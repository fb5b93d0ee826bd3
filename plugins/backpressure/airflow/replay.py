"""Runs a lesson's judge again on a tape: without Airflow's API, the upstream or the StatsD receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from backpressure.airflow import tape
from backpressure.airflow.client import AirflowClient
from backpressure.airflow.run import Run
from backpressure.airflow.tape import Tape
from backpressure.findings import Finding

_NOT_FOUND = 404
_NOBODY = "http://nobody.invalid"
# What a listing that was never asked for has to say.
_EMPTY: dict[str, dict[str, Any]] = {
    "/dagRuns": {"dag_runs": [], "total_entries": 0},
    "/taskInstances": {"task_instances": [], "total_entries": 0},
}


@dataclass(frozen=True)
class Judgement:
    """What a judge found; and what stopped it, if something did: what it had not come to by then has no finding."""

    findings: tuple[Finding, ...]
    trouble: str = ""

    def holds(self, bullet: str) -> bool | None:
        """Whether a bullet's finding holds; None when it was not measured, or there is none."""
        return next((one.holds for one in self.findings if one.bullet == bullet), None)


def replay(
    judge: Callable[[Run], Iterable[Finding]], heard: Tape, *, scenario: str | None = None, beside: Tape | None = None
) -> Judgement:
    """Judge on what a tape tells.

    Args:
        judge: the function that a lesson's ``@evidence`` decorates.
        heard: what its witnesses told.
        scenario: as which the run is judged; as the one that it played when left out.
        beside: another tape, which answers what was never asked on the first, such as a DAG's settings.
    """
    params = heard.params | ({"scenario": scenario} if scenario is not None else {})
    run = Run(AirflowClient(_NOBODY), heard.dag_id, heard.run_id, params)
    others = {tape.question_key(one.witness, one.question): one.answer for one in beside.entries} if beside else {}

    def missing(witness: str, question: Any) -> Any:
        key = tape.question_key(witness, question)
        return others[key] if key in others else nothing(witness, question)

    found: list[Finding] = []
    trouble = ""
    with tape.playing(heard, missing):
        try:
            for one in judge(run):
                found.append(one)  # noqa: PERF402 - what was found before it broke is kept
        except Exception as error:  # noqa: BLE001 - a judge that breaks on such records has measured nothing with them
            trouble = f"{type(error).__name__}: {error}"
    return Judgement(tuple(found), trouble)


def nothing(witness: str, question: Any) -> Any:
    """What a witness says that has seen nothing: an empty listing or log, or that there is no such thing."""
    if witness == "airflow":
        listing = next((empty for end, empty in _EMPTY.items() if str(question[1]).endswith(end)), None)
        return {"told": listing} if listing else {"refused": [_NOT_FOUND, "not on the tape"]}
    if witness == "metrics":
        return {"series": []}
    if question[1][:1] == ["log"]:
        from backpressure.request_log import COLUMNS  # noqa: PLC0415 - numpy, not while a DAG file is parsed

        return {"now": 0.0, "complete": True, "columns": {name: [] for name in COLUMNS}, "next": None}
    if question[1][:1] == ["notify"]:
        return {"notifications": []}
    raise tape.NotOnTapeError(f"{witness} was never asked {question}")
