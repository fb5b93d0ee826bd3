"""Makes a deployment's pools as a file says: ``python -m backpressure.airflow.pools FILE [--dry-run] [--resize]``.

What is missing is created. A pool that is there and differs from the file is reported and left alone, so that a size
set by hand in an incident survives a deployment; with ``--resize`` it is made as the file says. Pools that are not in
the file are reported and never touched. Doing it again changes nothing.

Where Airflow is, and who asks, is in the environment, never in the arguments: AIRFLOW_API_URL (http://127.0.0.1:8080),
and AIRFLOW_API_TOKEN, or AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD.

Exit codes: 0 the pools are as the file says; 1 some are not; 2 wrong arguments or a file that can't be used; 3 Airflow
did not answer, or refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from backpressure import pool_files, pools
from backpressure.airflow.client import AirflowClient, AirflowError, AirflowUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from backpressure.pools import PoolSpec

__all__ = ["Result", "main", "synchronise"]

DRIFT, WRONG_USAGE, NO_AIRFLOW = 1, 2, 3
State = Literal["as specified", "missing", "created", "drifted", "changed", "not in the file"]


class Api(pools.Api, Protocol):
    """What this module needs of a client."""

    def pages(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a listing."""


@dataclass(frozen=True)
class Result:
    """What became of one pool.

    Attributes:
        name: of the pool.
        state: "as specified"; "missing" or "drifted" (left so); "created" or "changed"; "not in the file".
        differences: of a pool that drifted or was changed: what is, or was, and what the file says.
    """

    name: str
    state: State
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        detail = f" ({'; '.join(self.differences)})" if self.differences else ""
        return f"pool {self.name}: {self.state}{detail}"


def synchronise(api: Api, specs: Iterable[PoolSpec], *, resize: bool = False, dry_run: bool = False) -> list[Result]:
    """Make the pools as specified, and say what was done, or would have to be done, about each.

    Safe when several deployments do it at once.

    Args:
        api: Airflow.
        specs: the pools that there should be.
        resize: change pools that are there and differ.
        dry_run: change nothing.
    """
    specs = list(specs)
    found = {record["name"]: record for record in api.pages("/pools", "pools")}
    results = [_synchronised(api, spec, found.get(spec.name), resize=resize, dry_run=dry_run) for spec in specs]
    others = sorted(found.keys() - {spec.name for spec in specs} - {pools.DEFAULT_POOL})
    return results + [Result(name, "not in the file") for name in others]


def _synchronised(api: Api, spec: PoolSpec, found: dict[str, Any] | None, *, resize: bool, dry_run: bool) -> Result:
    if found is None:
        if dry_run:
            return Result(spec.name, "missing")
        became: dict[pools.Change, State] = {"unchanged": "as specified", "resized": "changed"}
        change = pools.ensure(api, spec, resize_existing=resize)  # somebody else may have created it meanwhile
        return Result(spec.name, change if change in ("created", "drifted") else became[change])
    differences = tuple(_differences(spec, found))
    if not differences:
        return Result(spec.name, "as specified")
    if dry_run or not resize:
        return Result(spec.name, "drifted", differences)
    pools.replace(api, spec)
    return Result(spec.name, "changed", differences)


def _differences(spec: PoolSpec, found: dict[str, Any]) -> Iterator[str]:
    wanted = asdict(spec)
    keys = ["slots", "include_deferred"]
    if spec.name != pools.DEFAULT_POOL:  # Airflow lets nobody change that one's description
        keys.append("description")
    for key in keys:
        is_now = found[key] or "" if key == "description" else found[key]
        if is_now != wanted[key]:
            yield f"{key} {is_now!r}, in the file {wanted[key]!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = _parser().parse_args(arguments)
    try:
        specs = pool_files.read(options.file)
    except ValueError as error:
        return _failed(str(error), WRONG_USAGE)
    try:
        with _client() as api:
            results = synchronise(api, specs, resize=options.resize, dry_run=options.dry_run)
    except AirflowUnreachableError as error:
        return _failed(f"{error}\nSet AIRFLOW_API_URL to Airflow's address.", NO_AIRFLOW)
    except AirflowError as error:
        hint = (
            "\nSet AIRFLOW_API_TOKEN, or AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD, of a user who may edit pools."
        )
        return _failed(f"{error}{hint if error.status in (401, 403) else ''}", NO_AIRFLOW)
    if options.json:
        print(json.dumps([asdict(result) for result in results]))  # noqa: T201 - the command's result
    else:
        for result in results:
            print(result)  # noqa: T201 - the same
    return DRIFT if any(result.state in ("missing", "drifted") for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m backpressure.airflow.pools",
        description=summary.partition(":")[0] + ".",
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="pools as JSON, like airflow pools export writes it, or as TOML")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--resize", action="store_true", help="change pools that are there and differ from the file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _client() -> AirflowClient:
    environment = os.environ
    return AirflowClient(
        environment.get("AIRFLOW_API_URL", "http://127.0.0.1:8080"),
        environment.get("AIRFLOW_API_USERNAME"),
        environment.get("AIRFLOW_API_PASSWORD"),
        token=environment.get("AIRFLOW_API_TOKEN"),
    )


def _failed(message: str, code: int) -> int:
    print(message, file=sys.stderr)  # noqa: T201 - where a command's complaints go
    return code


if __name__ == "__main__":
    sys.exit(main())
