"""Samples of one stream, held until their window of a second is over; then many windows at once.

Window k holds the samples with k s ≤ time < (k + 1) s of box time, however they were cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, QualityFlags, SiBlock, TimesNs
from agent.features.table import F64, I64

WINDOW_NS = NS_PER_S
JOINED = 32  # of a live box's blocks: so that a second's end finds few of them, and costs little at once


@dataclass(frozen=True, slots=True, eq=False)
class Windowed:
    """Complete windows of one stream that hold samples, in order.

    ``index``: (m,) int64, which windows; ``starts``: (m + 1,) int64, where in the samples each begins, and
    the end; ``times_ns``: (n,) int64; ``values``: (n, axes) float32; ``period_ns``: (m,) int64, nominal
    spacing, of the block that a window's first sample came in; ``quality``: (n,) uint8, None: all good.
    ``wide``: a (n,) float64 array an axis.
    """

    index: I64
    starts: I64
    times_ns: TimesNs
    values: npt.NDArray[np.float32]
    period_ns: I64
    quality: QualityFlags | None
    wide: tuple[F64, ...]

    @property
    def counts(self) -> I64:
        """Samples in each window: (m,)."""
        return np.diff(self.starts)

    def totals(self, column: F64) -> F64:
        """Sum of one value a sample, (n,), in each window: (m,)."""
        # one-dimensional: a segment is summed on its own, whatever stands around it
        return np.asarray(np.add.reduceat(column, self.starts[:-1]), dtype=np.float64)


class Windows:
    """Collects the samples of one stream and gives back complete windows."""

    def __init__(self) -> None:
        self._blocks: list[SiBlock] = []
        self._joined = 0  # so many of them, in front, stay as they are

    def feed(self, block: SiBlock) -> None:
        """Take the next samples of the stream."""
        self._blocks.append(block)
        if len(self._blocks) - self._joined >= JOINED:
            self._join()

    def take(self, limit: int) -> Windowed | None:
        """Return the windows before window `limit` that hold samples, once; None where there are none."""
        blocks, limit_ns = self._blocks, limit * WINDOW_NS
        if not blocks or int(blocks[0].times_ns[0]) >= limit_ns:
            return None
        keep: list[SiBlock] = []
        if int(blocks[-1].times_ns[-1]) >= limit_ns:
            which = next(i for i, b in enumerate(blocks) if int(b.times_ns[-1]) >= limit_ns)
            keep, blocks = blocks[which:], blocks[: which + 1]
            count = int(np.searchsorted(blocks[-1].times_ns, limit_ns, side="left"))
            early, late = _split(blocks[-1], count)
            blocks[-1:] = [early] if count else []
            keep[0] = late
        self._blocks, self._joined = keep, 0
        return windowed(blocks)

    def _join(self) -> None:
        blocks = self._blocks[self._joined :]
        first = blocks[0]
        if all(b.period_ns == first.period_ns and b.quality is None for b in blocks):
            times, values = (
                np.concatenate([getattr(b, of) for b in blocks]) for of in ("times_ns", "values")
            )
            whole = SiBlock(first.stream, first.first, times, first.period_ns, values, None)
            self._blocks[self._joined :] = [whole]
        self._joined = len(self._blocks)


def windowed(blocks: list[SiBlock]) -> Windowed:
    """Return the samples of consecutive blocks as windows."""
    one = len(blocks) == 1
    times = blocks[0].times_ns if one else np.concatenate([b.times_ns for b in blocks])
    values = blocks[0].values if one else np.concatenate([b.values for b in blocks])
    quality = None
    if any(b.quality is not None for b in blocks):
        quality = np.concatenate(
            [np.zeros(len(b), np.uint8) if b.quality is None else b.quality for b in blocks]
        )
    window = times // WINDOW_NS
    begins = np.flatnonzero(np.concatenate(([True], window[1:] != window[:-1])))
    ends = np.cumsum([len(b) for b in blocks])
    periods = np.array([b.period_ns for b in blocks], np.int64)
    return Windowed(
        window[begins],
        np.concatenate((begins, [len(times)])),
        times,
        values,
        periods[np.searchsorted(ends, begins, side="right")],
        quality,
        tuple(np.ascontiguousarray(values[:, i], dtype=np.float64) for i in range(values.shape[1])),
    )


def _split(block: SiBlock, count: int) -> tuple[SiBlock, SiBlock]:
    quality = block.quality
    return (
        SiBlock(
            block.stream,
            block.first,
            block.times_ns[:count],
            block.period_ns,
            block.values[:count],
            None if quality is None else quality[:count],
        ),
        SiBlock(
            block.stream,
            block.first + count,
            block.times_ns[count:],
            block.period_ns,
            block.values[count:],
            None if quality is None else quality[count:],
        ),
    )
