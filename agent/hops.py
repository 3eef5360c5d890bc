"""Samples summed up on a fixed grid of time: hop k holds the samples with k·hop ≤ time < (k+1)·hop.

The grid belongs to the time and not to the blocks, so a hop holds the same samples however they were
cut, and slow detectors can work on a few hops a second instead of on thousands of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import SiBlock, TimesNs

F64 = npt.NDArray[np.float64]

TICK_NS = 50_000_000
"""Every hop is a whole number of these, so nothing is decided by time alone in between."""


@dataclass(frozen=True, slots=True, eq=False)
class HopRun:
    """Complete hops in order; empty hops are absent.

    ``index``, ``count``: (m,) int64; ``mean``, ``squares`` (sums of squares, only where asked for):
    (m, axes) float64; ``low``, ``high``: (m, axes) float32.
    """

    index: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    mean: F64
    squares: F64 | None
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.index)


class Hops:
    """Collects the samples of one stream and gives back complete hops.

    Raises ValueError where `hop_ns` is no multiple of `TICK_NS`.
    """

    def __init__(self, hop_ns: int, *, squares: bool = False) -> None:
        if hop_ns <= 0 or hop_ns % TICK_NS:
            raise ValueError(f"a hop of {hop_ns} ns: expected a multiple of {TICK_NS} ns")
        self.hop_ns = hop_ns
        self._want_squares = squares
        self._times: list[TimesNs] = []
        self._values: list[npt.NDArray[np.float32]] = []
        self._first_hop: int | None = None

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of the stream."""
        if self._first_hop is None:
            self._first_hop = int(block.times_ns[0]) // self.hop_ns
        self._times.append(block.times_ns)
        self._values.append(block.values)

    def advance(self, horizon_ns: int) -> HopRun | None:
        """Return the hops that end at or before `horizon_ns`, or None."""
        limit = horizon_ns // self.hop_ns
        if self._first_hop is None or self._first_hop >= limit:
            return None
        times = self._times[0] if len(self._times) == 1 else np.concatenate(self._times)
        values = self._values[0] if len(self._values) == 1 else np.concatenate(self._values)
        count = int(np.searchsorted(times, limit * self.hop_ns, side="left"))
        self._times, self._values = ([times[count:]], [values[count:]]) if count < len(times) else ([], [])
        self._first_hop = int(times[count]) // self.hop_ns if count < len(times) else None
        return _summed(times[:count] // self.hop_ns, values[:count], self._want_squares)


def _summed(hop: npt.NDArray[np.int64], values: npt.NDArray[np.float32], want_squares: bool) -> HopRun:
    starts = np.concatenate(([0], np.flatnonzero(hop[1:] != hop[:-1]) + 1))
    counts = np.diff(np.concatenate((starts, [len(hop)])))
    # axis by axis: a one-dimensional reduceat sums each segment on its own, whatever stands around it
    columns = [np.ascontiguousarray(values[:, i]) for i in range(values.shape[1])]
    wide = [c.astype(np.float64) for c in columns]
    mean = np.stack([np.add.reduceat(c, starts) / counts for c in wide], axis=1)
    squares = np.stack([np.add.reduceat(c * c, starts) for c in wide], axis=1) if want_squares else None
    low = np.stack([np.minimum.reduceat(c, starts) for c in columns], axis=1)
    high = np.stack([np.maximum.reduceat(c, starts) for c in columns], axis=1)
    return HopRun(hop[starts], counts, mean, squares, low, high)
