"""Samples summed up on a fixed grid of time: hop k holds the samples with k·hop ≤ time < (k+1)·hop.

The grid belongs to the time and not to the blocks, so a hop holds the same samples however they were
cut, and slow detectors can work on a few hops a second instead of on thousands of samples.

Many read the same stream on the same grid. What one of them has summed up of the same blocks, the others
find with the last of these, and nothing is reckoned before somebody asks for it.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from agent.blocks import SiBlock, TimesNs

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]

TICK_NS = 50_000_000
"""Every hop is a whole number of these, so nothing is decided by time alone in between."""


class HopRun:
    """Complete hops in order; empty hops are absent. Shared: not to be written to.

    ``index``, ``count``: (m,) int64; ``mean``, ``squares`` (sums of squares): (m, axes) float64; ``low``,
    ``high``: (m, axes) float32.
    """

    def __init__(self, hop: npt.NDArray[np.int64], values: F32) -> None:
        self._starts = np.flatnonzero(np.concatenate(([True], hop[1:] != hop[:-1])))
        self._values = values
        self.index: npt.NDArray[np.int64] = hop[self._starts]
        self.count: npt.NDArray[np.int64] = np.diff(np.concatenate((self._starts, [len(hop)])))

    def __len__(self) -> int:
        return len(self.index)

    # axis by axis: a one-dimensional reduceat sums each segment on its own, whatever stands around it
    @cached_property
    def _columns(self) -> list[F32]:
        return [np.ascontiguousarray(self._values[:, i]) for i in range(self._values.shape[1])]

    @cached_property
    def _wide(self) -> list[F64]:
        return [c.astype(np.float64) for c in self._columns]

    @cached_property
    def mean(self) -> F64:
        """Mean of each axis."""
        return np.stack([np.add.reduceat(c, self._starts) / self.count for c in self._wide], axis=1)

    @cached_property
    def squares(self) -> F64:
        """Sum of squares of each axis."""
        return np.stack([np.add.reduceat(c * c, self._starts) for c in self._wide], axis=1)

    @cached_property
    def low(self) -> F32:
        """Smallest of each axis."""
        return np.stack([np.minimum.reduceat(c, self._starts) for c in self._columns], axis=1)

    @cached_property
    def high(self) -> F32:
        """Largest of each axis."""
        return np.stack([np.maximum.reduceat(c, self._starts) for c in self._columns], axis=1)


class Hops:
    """Collects the samples of one stream and gives back complete hops.

    Raises ValueError where `hop_ns` is no multiple of `TICK_NS`.
    """

    def __init__(self, hop_ns: int) -> None:
        if hop_ns <= 0 or hop_ns % TICK_NS:
            raise ValueError(f"a hop of {hop_ns} ns: expected a multiple of {TICK_NS} ns")
        self.hop_ns = hop_ns
        self._blocks: list[SiBlock] = []
        self._taken = 0  # samples of the first block that were in earlier hops
        self._first_hop: int | None = None

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of the stream."""
        if self._first_hop is None:
            self._first_hop = int(block.times_ns[0]) // self.hop_ns
        self._blocks.append(block)

    def advance(self, horizon_ns: int) -> HopRun | None:
        """Return the hops that end at or before `horizon_ns`, or None."""
        limit = horizon_ns // self.hop_ns
        if self._first_hop is None or self._first_hop >= limit:
            return None
        blocks, taken, end_ns, which = self._blocks, self._taken, limit * self.hop_ns, len(self._blocks) - 1
        while which and int(blocks[which - 1].times_ns[-1]) >= end_ns:
            which -= 1
        last, mine = blocks[which], blocks[: which + 1]
        count = int(np.searchsorted(last.times_ns, end_ns, side="left"))
        if count < len(last):
            self._blocks, self._taken = blocks[which:], count
            self._first_hop = int(last.times_ns[count]) // self.hop_ns
        else:
            self._blocks, self._taken, self._first_hop = [], 0, None
        key = (self.hop_ns, limit, taken, *map(id, mine))
        run = last.shared.get(key)
        if not isinstance(run, HopRun):
            run = last.shared[key] = _summed(mine, taken, count, self.hop_ns)
        return run


def _summed(blocks: list[SiBlock], taken: int, count: int, hop_ns: int) -> HopRun:
    """Sum up the samples from `taken` in the first block to `count` in the last."""
    if len(blocks) == 1:
        return HopRun(blocks[0].times_ns[taken:count] // hop_ns, blocks[0].values[taken:count])
    inner = blocks[1:-1]
    times: list[TimesNs] = [
        blocks[0].times_ns[taken:],
        *(b.times_ns for b in inner),
        blocks[-1].times_ns[:count],
    ]
    values = [blocks[0].values[taken:], *(b.values for b in inner), blocks[-1].values[:count]]
    return HopRun(np.concatenate(times) // hop_ns, np.concatenate(values))
