"""Pools as code: what a pool should be, made so over Airflow's REST API, and what it is right now.

A pool limits how many slots are in use at once; it does not limit a rate. Slots are taken when a task instance is
handed to the executor (``queued``) and given back when it ends, so ``occupied = running + queued``, plus ``deferred``
where the pool includes deferred tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote

DEFAULT_POOL = "default_pool"
INFINITE = -1
_NOT_FOUND = 404
_CONFLICT = 409
_LONGEST_NAME = 256

Change = Literal["created", "unchanged", "resized", "drifted"]


class Api(Protocol):
    """What this module needs of a client: see ``backpressure.airflow.client.AirflowClient``."""

    def get(self, path: str, **params: Any) -> Any:
        """GET below ``/api/v2``."""

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST below ``/api/v2``."""

    def patch(self, path: str, body: Mapping[str, Any], **params: Any) -> Any:
        """PATCH below ``/api/v2``."""

    def delete(self, path: str) -> None:
        """DELETE below ``/api/v2``."""


@dataclass(frozen=True)
class PoolSpec:
    """What a pool should be.

    Args:
        name: up to 256 characters.
        slots: 0 or more; -1 is without limit. 0 stops the pool's tasks in ``scheduled`` without failing any.
        description: for people.
        include_deferred: whether a deferred task keeps its slots.

    Raises:
        ValueError: a value is out of range.
    """

    name: str
    slots: int
    description: str = ""
    include_deferred: bool = False

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > _LONGEST_NAME:
            raise ValueError(f"name must have 1 to {_LONGEST_NAME} characters, got {self.name!r}")
        _check_slots(self.slots)


@dataclass(frozen=True)
class PoolStatus:
    """A pool at one instant, in slots. ``open`` is negative after a pool was made smaller than what it runs."""

    name: str
    slots: int
    occupied: int
    running: int
    queued: int
    scheduled: int
    deferred: int
    open: int
    include_deferred: bool

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> PoolStatus:
        """From Airflow's REST record of a pool."""
        states = ("occupied", "running", "queued", "scheduled", "deferred", "open")
        counts = {state: int(record[f"{state}_slots"]) for state in states}
        name, slots, include = str(record["name"]), int(record["slots"]), bool(record["include_deferred"])
        return cls(name=name, slots=slots, include_deferred=include, **counts)

    @property
    def utilisation(self) -> float:
        """Occupied share of the slots, 0 for a pool that is closed or without limit."""
        return self.occupied / self.slots if self.slots > 0 else 0.0


def status(api: Api, name: str) -> PoolStatus | None:
    """The pool right now, None when it does not exist."""
    try:
        return PoolStatus.of(api.get(_path(name)))
    except Exception as error:
        if getattr(error, "status", None) == _NOT_FOUND:
            return None
        raise


def ensure(api: Api, spec: PoolSpec, *, resize_existing: bool = False) -> Change:
    """Create the pool unless it is there; safe when several callers do it at once.

    An existing pool of another size is left alone and reported as ``drifted``, so that a size set by hand survives a
    restart; with ``resize_existing`` it is made as specified.

    Raises:
        LookupError: Airflow says that the pool is there, and twice does not find it.
    """
    for _ in range(2):  # somebody may delete it between the two questions
        try:
            api.post("/pools", asdict(spec))
        except Exception as error:
            if getattr(error, "status", None) != _CONFLICT:
                raise
        else:
            return "created"
        if (found := status(api, spec.name)) is None:
            continue
        if (found.slots, found.include_deferred) == (spec.slots, spec.include_deferred):
            return "unchanged"
        if not resize_existing:
            return "drifted"
        replace(api, spec)
        return "resized"
    raise LookupError(
        f"Airflow has a pool {spec.name!r} and does not find it by that name: its web server, or a proxy before it, "
        f"changes the path {_path(spec.name)!r}; choose another name"
    )


def ensure_all(api: Api, specs: Iterable[PoolSpec], *, resize_existing: bool = False) -> dict[str, Change]:
    """``ensure`` each of them; what became of each by name."""
    return {spec.name: ensure(api, spec, resize_existing=resize_existing) for spec in specs}


def resize(api: Api, name: str, slots: int) -> int:
    """Set the number of slots and return the number before.

    Running tasks are never stopped: after a reduction ``open`` is negative until enough of them have ended.

    Raises:
        ValueError: slots is below -1.
        LookupError: there is no such pool.
    """
    _check_slots(slots)
    try:
        before = api.get(_path(name))
    except Exception as error:
        if getattr(error, "status", None) == _NOT_FOUND:
            raise LookupError(
                f"there is no pool {name!r}; create it with ensure(api, PoolSpec({name!r}, ...))"
            ) from error
        raise
    if name == DEFAULT_POOL:
        api.patch(_path(name), {"slots": slots}, update_mask="slots")
    else:
        replace(api, PoolSpec(name, slots, before["description"] or "", before["include_deferred"]))
    return int(before["slots"])


def drain(api: Api, name: str) -> int:
    """Close the pool (slots = 0): what runs ends, what waits stays ``scheduled``. Returns the slots before."""
    return resize(api, name, 0)


def remove(api: Api, name: str) -> bool:
    """Delete the pool; False when there was none. Tasks that name it stay ``scheduled`` for ever."""
    try:
        api.delete(_path(name))
    except Exception as error:
        if getattr(error, "status", None) == _NOT_FOUND:
            return False
        raise
    return True


def replace(api: Api, spec: PoolSpec) -> None:
    """Make an existing pool as specified, but for the description of the default pool, which Airflow keeps."""
    if spec.name == DEFAULT_POOL:
        body = {"slots": spec.slots, "include_deferred": spec.include_deferred}
        api.patch(_path(spec.name), body, update_mask=["slots", "include_deferred"])
    else:
        body = asdict(spec)
        api.patch(_path(spec.name), {"pool": body.pop("name"), **body})


def _path(name: str) -> str:
    """Where Airflow has a pool; its routes take any name, slashes included."""
    return f"/pools/{quote(name, safe='')}"


def _check_slots(slots: int) -> None:
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < INFINITE:
        raise ValueError(f"slots must be a whole number, -1 (without limit) or more, got {slots!r}")
