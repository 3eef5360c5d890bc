"""Jerk: how abruptly the specific force changes, as what stands or hangs in the box feels it.

The derivative averaged over 500 ms, as UN Regulation No. 79 has it of steering; here by the slope of the
straight line through that half second (A. Savitzky, M. J. E. Golay, Anal. Chem. 36 (1964) 1627), read off
every 50 ms at means of 50 ms. So it stands for what is slower than about 2 Hz: a tone of 10 Hz and 1 m/s²
reads under 2 m/s³ where its own derivative is 63, and so does noise of 1 m/s² at 1 kHz. The largest size
of the vector in a window is told, whichever way the sensor is mounted; a second knows what ends in it.

A half second in which 50 ms have no sample, or one that is no number, gives none: there are none under about
20 Hz. A saturated sample counts as it reads.
"""

from __future__ import annotations

import numpy as np

from agent.blocks import NS_PER_S
from agent.features.moments import Columns, told
from agent.features.table import F64, I64, Merge, Names, Part
from agent.features.windows import WINDOW_NS, Windowed
from agent.streams import StreamSpec

HOP_NS = 50_000_000
HOPS = WINDOW_NS // HOP_NS
LENGTH = 10  # hops


class Jerk:
    """Of one motion stream."""

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self.names: Names = {"jerk": (Merge.MAX, 1)}
        self._hops: I64 = np.zeros(0, np.int64)  # the last before the next window
        self._times_s: F64 = np.zeros(0)  # mean time of each, from its begin
        self._means: F64 = np.zeros((len(spec.axes), 0))

    def accumulate(self, window: Windowed) -> dict[str, F64]:
        """Find the largest of each window."""
        every_hop = (window.index[:, None] * HOPS + np.arange(HOPS)).ravel()
        places = np.searchsorted(window.times_ns, every_hop * HOP_NS)
        counts = np.diff(places, append=len(window.times_ns))
        hop, starts, counts = (a[counts > 0] for a in (every_hop, places, counts))
        begin_ns = hop[0] * HOP_NS
        since_ns = np.add.reduceat(window.times_ns - begin_ns, starts) - (hop * HOP_NS - begin_ns) * counts
        means = [np.add.reduceat(column, starts) / counts for column in window.wide]
        hops = np.concatenate((self._hops, hop))
        times_s = np.concatenate((self._times_s, since_ns / (counts * NS_PER_S)))
        every = np.concatenate((self._means, np.stack(means)), axis=1)
        self._hops, self._times_s = hops[1 - LENGTH :], times_s[1 - LENGTH :]
        self._means = every[:, 1 - LENGTH :]
        out = np.full((len(window.index), 1), -np.inf)
        count = len(hops) - LENGTH + 1
        if count > 0:
            sizes = np.sqrt(_slopes_squared(times_s, every, count))
            whole = hops[LENGTH - 1 :] - hops[:count] == LENGTH - 1
            sizes = np.where(whole & np.isfinite(sizes), sizes, -np.inf)
            rows = np.searchsorted(window.index, hops[LENGTH - 1 :] * HOP_NS // WINDOW_NS)
            begins = np.flatnonzero(np.diff(rows, prepend=-1))
            out[rows[begins], 0] = np.maximum.reduceat(sizes, begins)
        return {"jerk": out}

    def columns(self, part: Part) -> Columns:
        """Return the largest size of each row, in the stream's unit a second."""
        return {f"{self._spec.name}_jerk_mps3": told(part["jerk"][:, 0], 2)}


def _slopes_squared(times_s: F64, values: F64, count: int) -> F64:
    """Return the squared size of the slope over each `LENGTH` hops that follow each other: (count,)."""
    width = LENGTH * HOP_NS / NS_PER_S
    about = np.arange(LENGTH) * (width / LENGTH) - width / 2
    place = np.lib.stride_tricks.sliding_window_view(times_s, LENGTH) + about
    place -= np.add.reduce(place, axis=1, keepdims=True) / LENGTH
    spread = np.add.reduce(place * place, axis=1)
    total = np.zeros(count)
    for row in values:
        rises = np.lib.stride_tricks.sliding_window_view(row, LENGTH)
        with np.errstate(invalid="ignore", over="ignore"):
            rises = rises - np.add.reduce(rises, axis=1, keepdims=True) / LENGTH
            slope = np.add.reduce(place * rises, axis=1) / spread
            total += slope * slope
    return total
