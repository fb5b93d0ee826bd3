"""Instants as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

__all__ = ["clock"]


def clock(instant: float | str | None, zone: tzinfo | None = None) -> str:
    """The local time of day to a tenth of a second, 10:02:11.3; empty for None.

    Args:
        instant: seconds since the epoch, or ISO 8601.
        zone: the machine's own when None.
    """
    if instant is None:
        return ""
    when = datetime.fromisoformat(instant) if isinstance(instant, str) else datetime.fromtimestamp(instant, UTC)
    local = when.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 100_000}"
