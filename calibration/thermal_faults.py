"""What no compensation can mend: readings that no load and no temperature explain.

Such a scale is flagged and not fitted. The rules are about what a load can do: it can be lifted off for a
while, or something can lie on it for a while, but a sound scale does not leap far beyond all that it weighs
to BOTH sides and come back; and what is put on a platform or taken off is felt by more than one of its cells.
"""

from __future__ import annotations

import numpy as np

from calibration.thermal_series import DAY_S, F64, Series, running_median

MISSING_SHARE = 0.2  # a cable that loses more than that is loose
LEAPS = 2  # of each sign, or as many times two in one cell alone: once may be a visitor
LEAP_SPANS = 2.0  # times the span of nine readings in ten
ALONE_SHARE = 0.05  # of a leap, felt by all other cells together


def find_fault(
    series: Series,
    *,
    limits: tuple[float, float] | None = None,
    cells: F64 | None = None,
) -> str:
    """Return what is wrong with a sensor, in words; nothing when it seems sound.

    `limits`: what it can read at all, in its unit. `cells`:
    (n, cells) of the platform whose sum `series` is, row by row.
    """
    numbers = series.values
    if not len(series):
        return ""
    rows = len(series) + series.missing + series.repeated
    if series.missing > MISSING_SHARE * rows:
        return f"{series.missing} of {rows} rows hold no reading"
    if limits is not None:
        beyond = int(((numbers < limits[0]) | (numbers > limits[1])).sum())
        if beyond >= LEAPS:
            return f"{beyond} readings lie beyond {limits[0]:g} to {limits[1]:g}, which no load explains"
    for axis in range(numbers.shape[1]):
        column = numbers[:, axis]
        if len(column) > LEAPS and np.ptp(column) == 0.0:
            return f"it gave {column[0]:g} throughout, whatever the temperature"
        leaps, span = _leaps(series, column)
        up, down = int((leaps > 0).sum()), int((leaps < 0).sum())
        if up >= LEAPS and down >= LEAPS:
            return (
                f"it leapt {up} times up and {down} times down by more than {LEAP_SPANS * span:.3g}, and "
                "back: farther than all that it weighs, and to both sides"
            )
    return _lone_cell(series, cells) if cells is not None and cells.shape[1] > 1 else ""


def _leaps(series: Series, column: F64) -> tuple[F64, float]:
    """Return how far each reading that left and came back is from the day around it, and the usual span."""
    window_s = min(DAY_S, series.span_s / 5.0)
    around = column - running_median(series.t_s, column, window_s)
    low, high = np.percentile(column, (5.0, 95.0))
    span = float(high - low)
    away = np.abs(around) > LEAP_SPANS * span
    home = np.flatnonzero(~away)
    # before the first and after the last that is at home, nothing came back: the load was put on, or changed
    if len(home):
        away[: home[0]] = away[home[-1] + 1 :] = False
    return around[away], span


def _lone_cell(series: Series, cells: F64) -> str:
    window_s = min(DAY_S, series.span_s / 5.0)
    around = cells - running_median(series.t_s, cells, window_s)
    low, high = np.percentile(cells.sum(axis=1), (5.0, 95.0))
    for cell in range(cells.shape[1]):
        others = np.abs(np.delete(around, cell, axis=1)).sum(axis=1)
        own = np.abs(around[:, cell])
        alone = int(((own > LEAP_SPANS * (high - low)) & (others < ALONE_SHARE * own)).sum())
        if alone >= 2 * LEAPS:
            return f"cell {cell + 1} leapt {alone} times, far, and the others felt nothing of it"
    return ""
