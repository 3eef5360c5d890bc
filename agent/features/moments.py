"""Count, sum, sum of squares, smallest and largest: what a window of samples comes to, mergeable."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.blocks import SiBlock
from agent.features.weighing import Weighing
from agent.hops import Hops


@dataclass(frozen=True, slots=True)
class Moments:
    """Of each axis, in SI units. ``weighing``: of load cells in motion, where they could be weighed by."""

    count: int
    total: tuple[float, ...]
    squares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    weighing: Weighing | None = None

    def merged(self, other: Moments) -> Moments:
        """Return the moments of both windows together."""
        return Moments(
            self.count + other.count,
            tuple(a + b for a, b in zip(self.total, other.total, strict=True)),
            tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
            tuple(map(min, self.low, other.low)),
            tuple(map(max, self.high, other.high)),
            _both(self.weighing, other.weighing),
        )

    def mean(self) -> list[float]:
        """Mean of each axis."""
        return [t / self.count for t in self.total]

    def rms_about_mean(self) -> list[float]:
        """Root mean square of what remains when the mean is taken away: gravity does not count."""
        return [
            math.sqrt(max(0.0, s / self.count - (t / self.count) ** 2))
            for s, t in zip(self.squares, self.total, strict=True)
        ]

    def peak_about_mean(self) -> list[float]:
        """Largest distance from the mean, either way."""
        return [max(h - m, m - lo) for h, lo, m in zip(self.high, self.low, self.mean(), strict=True)]


def _both(one: Weighing | None, other: Weighing | None) -> Weighing | None:
    return one.merged(other) if one is not None and other is not None else one or other


class Windows:
    """Sums one stream up in windows of `window_ns` on the grid of box time."""

    def __init__(self, window_ns: int) -> None:
        self._hops = Hops(window_ns, squares=True)

    def feed(self, block: SiBlock) -> None:
        """Take the next samples."""
        self._hops.feed(block)

    def advance(self, horizon_ns: int) -> list[tuple[int, Moments]]:
        """Return (index, moments) of the windows that end at or before `horizon_ns`."""
        run = self._hops.advance(horizon_ns)
        if run is None or run.squares is None:
            return []
        counts = run.count.tolist()
        rows = zip(
            run.index.tolist(),
            counts,
            (run.mean * run.count[:, None]).tolist(),
            run.squares.tolist(),
            run.low.tolist(),
            run.high.tolist(),
            strict=True,
        )
        return [
            (index, Moments(count, tuple(total), tuple(squares), tuple(low), tuple(high)))
            for index, count, total, squares, low, high in rows
        ]
