"""Samples of one stream, held until their window of a second is over; faster ones averaged a little."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, Quality, SiBlock, TimesNs
from agent.features.lowpass import WINDOW_S
from agent.hops import F64

WINDOW_NS = round(WINDOW_S * NS_PER_S)
BIN_NS = 5_000_000  # faster samples are averaged to this first: 0.1 % at 5 Hz
HOLE_NS = 30_000_000  # of missing samples, which the low-pass bridges
MOST_HOLE_NS = 150_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """One stream in one window, faster ones as means of `counts` samples.

    ``times_s``: (n,) from the window's start; ``counts``: (n,); ``values``: (axes, n).
    ``whole``: none is missing, saturated or no number; what is learnt of one that is not would stay wrong.
    """

    times_s: F64
    counts: F64
    values: F64
    whole: bool


class HeldWindows:
    """Samples of one stream, until their window is over."""

    def __init__(self) -> None:
        self._times: list[TimesNs] = []
        self._values: list[npt.NDArray[np.float32]] = []
        self._beyond: list[npt.NDArray[np.bool_]] = []

    def feed(self, block: SiBlock) -> None:
        """Take the next samples."""
        self._times.append(block.times_ns)
        self._values.append(block.values)
        flags = block.quality
        beyond = np.zeros(len(block), bool) if flags is None else (flags & Quality.SATURATED) != 0
        self._beyond.append(beyond)

    def take(self, limit: int) -> dict[int, Samples]:
        """Return the windows before `limit`, by index."""
        if not self._times or int(self._times[0][0]) >= limit * WINDOW_NS:
            return {}
        times, values = np.concatenate(self._times), np.concatenate(self._values)
        beyond = np.concatenate(self._beyond)
        count = int(np.searchsorted(times, limit * WINDOW_NS, side="left"))
        rest = slice(count, None)
        self._times, self._values, self._beyond = (
            ([times[rest]], [values[rest]], [beyond[rest]]) if count < len(times) else ([], [], [])
        )
        window = times[:count] // WINDOW_NS
        edges = [0, *(np.flatnonzero(window[1:] != window[:-1]) + 1).tolist(), count]
        out = {}
        for begin, end in itertools.pairwise(edges):
            k = int(window[begin])
            part = slice(begin, end)
            out[k] = _sampled(k, times[part], values[part], bool(beyond[part].any()))
        return out


def _sampled(index: int, times_ns: TimesNs, values: npt.NDArray[np.float32], beyond: bool) -> Samples:
    start_ns, period_ns = index * WINDOW_NS, WINDOW_NS // len(times_ns)
    holes = np.diff(times_ns, prepend=start_ns, append=start_ns + WINDOW_NS)
    allowed_ns = min(max(HOLE_NS, period_ns * 3 // 2), MOST_HOLE_NS)
    whole = not beyond and bool(np.isfinite(values).all()) and int(holes.max()) <= allowed_ns
    since_ns = times_ns - start_ns
    times_s = since_ns / NS_PER_S
    columns = [np.ascontiguousarray(values[:, i], dtype=np.float64) for i in range(values.shape[1])]
    counts = np.ones(len(times_s))
    if period_ns < BIN_NS:
        bins = since_ns // BIN_NS
        starts = np.concatenate(([0], np.flatnonzero(bins[1:] != bins[:-1]) + 1))
        counts = np.diff(np.concatenate((starts, [len(bins)]))).astype(np.float64)
        times_s, *columns = [np.add.reduceat(c, starts) / counts for c in (times_s, *columns)]
    return Samples(times_s, counts, np.stack(columns), whole)
