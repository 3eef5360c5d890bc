"""Samples of many windows for the low-pass: those that are whole, faster ones averaged a little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality
from agent.features.lowpass import STEP_S, STEPS
from agent.features.table import F64, I64
from agent.features.windows import WINDOW_NS, Windowed

BIN_NS = 5_000_000  # faster samples are averaged to this first: 0.1 % at 5 Hz
STEP_NS = round(STEP_S * NS_PER_S)
HOLE_NS = 30_000_000  # of missing samples, which the low-pass bridges
MOST_HOLE_NS = 150_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Thinned:
    """Samples of some windows, faster ones as means of `counts` samples.

    ``step``: (n,), the window × `STEPS` + the step in it; ``times_s``: (n,) from its window's start;
    ``counts``: (n,); ``values``: an array (n,) an axis.
    """

    step: I64
    times_s: F64
    counts: F64
    values: list[F64]


def whole(window: Windowed) -> npt.NDArray[np.bool_]:
    """Tell of which windows no sample is missing, saturated or no number: (m,).

    What is learnt of one that is not would stay wrong.
    """
    starts, times = window.starts[:-1], window.times_ns
    begin_ns = window.index * WINDOW_NS
    steps_ns = np.diff(times, prepend=times[0])
    steps_ns[starts] = times[starts] - begin_ns
    last_ns = begin_ns + WINDOW_NS - times[window.starts[1:] - 1]
    hole_ns = np.maximum(np.maximum.reduceat(steps_ns, starts), last_ns)
    allowed_ns = np.minimum(np.maximum(HOLE_NS, WINDOW_NS // window.counts * 3 // 2), MOST_HOLE_NS)
    good: npt.NDArray[np.bool_] = hole_ns <= allowed_ns
    if window.quality is not None:
        beyond = (window.quality & np.uint8(Quality.SATURATED)) != 0
        if beyond.any():
            good &= ~np.logical_or.reduceat(beyond, starts)
    for column in window.wide:
        finite = np.isfinite(column)
        if not finite.all():
            good &= np.logical_and.reduceat(finite, starts)
    return good


def thinned(window: Windowed, rows: I64) -> Thinned:
    """Return the samples of the windows in `rows`, which are numbered from 0 on."""
    counts = window.counts[rows]
    columns = list(window.wide)
    times_ns = window.times_ns
    if len(rows) != len(window.index):
        chosen = np.zeros(len(window.index), bool)
        chosen[rows] = True
        mask = np.repeat(chosen, window.counts)
        columns, times_ns = [c[mask] for c in columns], times_ns[mask]
    number = np.repeat(np.arange(len(rows)), counts)
    since_ns = times_ns - np.repeat(window.index[rows] * WINDOW_NS, counts)
    step = number * STEPS + since_ns // STEP_NS
    times_s = since_ns / NS_PER_S
    fast = WINDOW_NS // counts < BIN_NS
    if not fast.any():
        return Thinned(step, times_s, np.ones(len(step)), columns)
    bins = since_ns // BIN_NS
    new = (bins[1:] != bins[:-1]) | (number[1:] != number[:-1])
    if not fast.all():
        new |= ~np.repeat(fast, counts)[1:]
    starts = np.concatenate(([0], np.flatnonzero(new) + 1))
    lengths = np.diff(np.concatenate((starts, [len(step)])))
    weight = lengths.astype(np.float64)
    times_s, *columns = [total / weight for total in _short_sums([times_s, *columns], starts, lengths)]
    return Thinned(step[starts], times_s, weight, columns)


def _short_sums(columns: list[F64], starts: I64, lengths: I64) -> list[F64]:
    """Sum up segments of a few samples, one sample after the other: for so few, faster than a reduceat."""
    out = [column[starts] for column in columns]
    for k in range(1, int(lengths.max())):
        rows = np.flatnonzero(lengths > k)
        every = len(rows) == len(starts)
        where = starts + k if every else starts[rows] + k
        for i, column in enumerate(columns):
            if every:
                out[i] += column[where]
            else:
                out[i][rows] += column[where]
    return out
