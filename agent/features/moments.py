"""Count, sum, sum of squares, smallest and largest: what windows of samples come to, an axis each.

Of these every plain level is made, of one second or of a day alike; see `table` for how they merge.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.features.table import F64, Merge, Names, Part
from agent.features.windows import Windowed


def names(axes: int, *, squares: bool = False, extremes: bool = False) -> Names:
    """Return the columns of `accumulated` for so many axes."""
    out = {"count": (Merge.SUM, 1), "total": (Merge.SUM, axes)}
    if squares:
        out["squares"] = Merge.SUM, axes
    if extremes:
        out |= {"low": (Merge.MIN, axes), "high": (Merge.MAX, axes)}
    return out


def accumulated(window: Windowed, *, squares: bool = False, extremes: bool = False) -> dict[str, F64]:
    """Return the sums of each window, in the stream's unit: (m, axes), ``count`` (m, 1)."""
    out: dict[str, F64] = {"count": window.counts[:, None].astype(np.float64)}
    out["total"] = np.stack([window.totals(c) for c in window.wide], axis=1)
    if squares:
        out["squares"] = np.stack([window.totals(c * c) for c in window.wide], axis=1)
    if extremes:
        starts = window.starts[:-1]
        out["low"] = np.stack([np.minimum.reduceat(c, starts) for c in window.wide], axis=1)
        out["high"] = np.stack([np.maximum.reduceat(c, starts) for c in window.wide], axis=1)
    return out


def mean(part: Part) -> F64:
    """Mean of each axis: (m, axes); NaN where there are no samples."""
    return _over(part["total"], part["count"])


def rms_about_mean(part: Part) -> F64:
    """Root mean square of what remains when the mean is taken away: gravity does not count. (m, axes)."""
    with np.errstate(invalid="ignore"):
        variance = _over(part["squares"], part["count"]) - mean(part) ** 2
    return np.sqrt(np.maximum(variance, 0.0))


def peak_about_mean(part: Part) -> F64:
    """Largest distance from the mean, either way: (m, axes)."""
    middle = mean(part)
    with np.errstate(invalid="ignore"):
        return np.maximum(part["high"] - middle, middle - part["low"])


def _over(total: F64, count: F64) -> F64:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan)


Cells = list[float | None]
Columns = Mapping[str, Cells | dict[str, Cells]]


def told(values: F64, decimals: int) -> Cells:
    """Round one number a row to what it can tell; None where it is no number.

    Without decimals they become integers: digits are bytes.
    """
    finite = np.isfinite(values)
    cells: Cells
    if decimals > 0:
        cells = (np.round(values, decimals) + 0.0).tolist()  # + 0: no minus before nothing
        return cells if finite.all() else [c if ok else None for c, ok in zip(cells, finite, strict=True)]
    cells = np.round(np.where(finite, values, 0.0), decimals).astype(np.int64).tolist()
    return cells if finite.all() else [c if ok else None for c, ok in zip(cells, finite, strict=True)]


def by_axis(values: F64, axes: tuple[str, ...], decimals: int) -> dict[str, Cells]:
    """Round (m, axes) to what it can tell; a list an axis."""
    if decimals > 0 and np.isfinite(values).all():
        return dict(zip(axes, (np.round(values.T, decimals) + 0.0).tolist(), strict=True))
    return {axis: told(values[:, i], decimals) for i, axis in enumerate(axes)}
