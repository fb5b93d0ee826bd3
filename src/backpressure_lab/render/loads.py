"""The load over time as a bar chart of a few lines, with the limit drawn in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from backpressure.measures import figure
from rich.text import Text

from backpressure_lab.render.glyphs import STYLES, Glyphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from backpressure_lab.render.picture import Load

__all__ = ["load_lines", "unit"]

_MOST_LINES = 8


def unit(load: Load) -> float:
    """How much one line stands for: 1 while that fits, and always so that a single limit falls between two lines."""
    limit = load.limits[0].value if len(load.limits) == 1 and load.limits[0].value > 0 else None
    if load.top <= _MOST_LINES and (limit is None or float(limit).is_integer()):
        return 1.0
    rough = load.top / _MOST_LINES
    whole = math.ceil(rough)
    if limit is None:
        return float(whole)
    dividing = (size for size in range(whole, 2 * whole) if (limit / size).is_integer())
    return float(next(dividing, limit / max(math.floor(limit / rough), 1)))


def load_lines(load: Load, edges: NDArray[np.float64], names: int, glyphs: Glyphs) -> Iterator[Text]:
    """One text per line, the highest first; the limit is a line on top of what may be filled, and over it is red."""
    per_line = unit(load)
    values = load.curve.highest(edges).tolist()
    limits = load.limits_at((edges[:-1] + edges[1:]) / 2)
    above = max((round(limit.value / per_line) + 1 for limit in load.limits), default=1)
    lines = max(math.ceil(load.top / per_line - 1e-9), above)
    full = len(glyphs.levels) - 1
    for line in range(lines, 0, -1):
        below = (line - 1) * per_line
        shown = f"{line * per_line:.1f}".removesuffix(".0")
        if load.curve.peak <= below == load.limits[-1].value if load.limits else False:
            shown = f"limit {figure(load.limits[-1].value)}"
        text = Text(no_wrap=True).append(shown.rjust(names) + " ", "dim")
        for value, limit in zip(values, limits, strict=True):
            filled = min(max(math.ceil((value - below) / per_line * full - 1e-9), 0), full)
            if filled:
                over = limit is not None and value > limit and below + 1e-9 >= limit
                text.append(glyphs.levels[filled], STYLES["failed"] if over else STYLES["running"])
            elif limit is not None and round(limit / per_line) == line - 1:
                text.append(glyphs.limit, STYLES["limit"])
            else:
                text.append(" ")
        yield text
