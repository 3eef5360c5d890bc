"""A record of temperature and reading made fit for fitting: in order, each time once, no holes, not too long.

Loggers give rows twice, out of order, at intervals that are not what they say, and with cells left empty.
What is robust here follows Huber & Ronchetti, *Robust Statistics* (2009), section 5.1: the median absolute
deviation, scaled to be the standard deviation of normal noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NORMAL_FROM_MAD = 1.4826  # standard deviation of normal noise of median absolute deviation 1
DAY_S = 86400.0
MOST_ROWS = 2000  # a lag of minutes in a soak of hours, a drift of hours in months, need no more


@dataclass(frozen=True, slots=True)
class Series:
    """Rows in order: ``t_s``, ``temperature_degc`` (n,), ``values`` (n, axes), ``still`` (n,).

    ``missing``: rows that held something that is no number; ``repeated``: of a time that was there already.
    """

    t_s: F64
    temperature_degc: F64
    values: F64
    still: Mask
    missing: int = 0
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.t_s)

    @property
    def span_s(self) -> float:
        """From the first row to the last."""
        return float(self.t_s[-1] - self.t_s[0]) if len(self) else 0.0

    @property
    def interval_s(self) -> float:
        """Median of what lies between two rows, whatever the logger says of itself."""
        return float(np.median(np.diff(self.t_s))) if len(self) > 1 else 0.0


def clean_series(
    t_s: npt.ArrayLike,
    temperature_degc: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    still: npt.ArrayLike | None = None,
) -> Series:
    """Sort by time, keep the first row of each time, drop rows that hold no number.

    `values`: (n,) or (n, axes). Raises ValueError when the lengths differ.
    """
    t = np.asarray(t_s, np.float64).reshape(-1)
    temperature = np.asarray(temperature_degc, np.float64).reshape(-1)
    rows = np.asarray(values, np.float64)
    rows = rows.reshape(len(rows), -1) if rows.size else rows.reshape(len(rows), 1)
    at_rest = np.ones(len(t), np.bool_) if still is None else np.asarray(still, np.bool_).reshape(-1)
    if not len(t) == len(temperature) == len(rows) == len(at_rest):
        lengths = (len(t), len(temperature), len(rows), len(at_rest))
        raise ValueError(f"times, temperatures, values and stillness have {lengths} rows")
    good = np.isfinite(t) & np.isfinite(temperature) & np.isfinite(rows).all(axis=1)
    usable = np.flatnonzero(good)
    _, first = np.unique(t[usable], return_index=True)
    index = usable[first]
    return Series(
        t[index],
        temperature[index],
        rows[index],
        at_rest[index],
        len(t) - len(usable),
        len(usable) - len(first),
    )


def thin(series: Series, most: int = MOST_ROWS) -> Series:
    """Return at most about `most` rows: means over equal times, each at the mean of its rows' times."""
    if len(series) <= most:
        return series
    width_s = series.span_s / most
    bins = np.floor((series.t_s - series.t_s[0]) / width_s).astype(np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    counts = np.diff(np.append(starts, len(series))).astype(np.float64)
    # a bin's value is that of its rows at rest, and it is at rest when half of them are
    weights = series.still.astype(np.float64)
    at_rest = np.add.reduceat(weights, starts)
    summed = np.add.reduceat(series.values * weights[:, None], starts, axis=0)
    return Series(
        np.add.reduceat(series.t_s, starts) / counts,
        np.add.reduceat(series.temperature_degc, starts) / counts,
        summed / np.maximum(at_rest, 1.0)[:, None],
        2.0 * at_rest >= counts,
        series.missing,
        series.repeated,
    )


def robust_sigma(values: F64) -> float:
    """Return the standard deviation that normal noise of the same median absolute deviation has."""
    if not len(values):
        return 0.0
    return NORMAL_FROM_MAD * float(np.median(np.abs(values - np.median(values))))


def running_median(t_s: F64, values: F64, window_s: float) -> F64:
    """Return the median of what lies within half a window to both sides: (n,) or (n, k), as `values`.

    It keeps a step a step, so that a load put on leaves no trace in what is subtracted from it. By count of
    rows, from their median interval.
    """
    flat = values.reshape(len(values), -1)
    interval_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 1.0
    half = max(1, min(round(window_s / interval_s / 2.0), (len(t_s) - 1) // 2))
    out = np.empty_like(flat)
    if len(flat) > 2 * half:
        windows = np.lib.stride_tricks.sliding_window_view(flat, 2 * half + 1, axis=0)
        out[half : len(flat) - half] = np.median(windows, axis=-1)
    edge = min(half, len(flat))
    for i in (*range(edge), *range(max(edge, len(flat) - half), len(flat))):
        out[i] = np.median(flat[max(0, i - half) : i + half + 1], axis=0)
    return out.reshape(values.shape)
