"""How much likelier some values of an axis are than their neighbours: the codes of a converter are not even.

A converter gives some of its codes seldom and others often, scaling rounds several counts to one, and what
hardly moves has few values at all. So each value of an axis with few of them has a weight, by which Student's
probabilities (`tables`) are multiplied: how often it came by how often it was expected. As the coefficients
of the prediction, weights are not sent: both sides learn them, block by block, in whole numbers.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from agent.sample_codec import tables
from agent.sample_codec.ans import Reader

MOST_LEVELS = 128
LEAST_ROWS = 24
_ONE_BITS = 10  # of a weight
_MOST_WEIGHT = 1 << 16
_PRIOR = 4 << tables.PLACES  # a level counts as seen, and expected, so often
_MOST_EXPECTED = 1 << 30
_NEARLY = tables.MOST_LIKELY - MOST_LEVELS
_SPREAD = 1 << 15  # shared by all levels, where one is nearly sure

Ints = npt.NDArray[np.int64]


class Levels:
    """The levels of one axis, from ``lowest`` on, and their weights."""

    def __init__(self, lowest: int, count: int, shape: int) -> None:
        self.lowest, self.count = lowest, count
        self._shape = shape
        self._steps = np.arange(count + 1, dtype=np.int64) * tables.CELLS
        self._evenly = np.arange(1, count + 1, dtype=np.int64)
        self._seen = np.full(count, _PRIOR, np.int64)
        self._expected = np.full(count, _PRIOR, np.int64)
        self._weights = np.full(count, 1 << _ONE_BITS, np.int64)
        self._read: list[Ints] = []
        self._read_totals: list[int] = []
        self._read_at: list[int] = []

    def intervals(self, values: Ints, centres: Ints, indices: Ints) -> tuple[Ints, Ints]:
        """Return start and width of each of a block's values, (n,), in 2^PLACES; and learn from them."""
        plain = np.empty((len(values), self.count), np.int64)
        for index in np.unique(indices).tolist():
            here = np.flatnonzero(indices == index)
            edges, first = self._edges(index)
            most = len(edges) - 1 - int(self._steps[-1])
            cells = np.clip(first - centres[here, None], 0, most) + self._steps
            plain[here] = np.maximum(np.diff(edges[cells]), 1)
        weighed = plain * self._weights
        sums = weighed.cumsum(axis=1)
        totals = sums[:, -1]
        room, even = np.full(len(values), self._room), np.ones(len(values), np.int64)
        sure = weighed.max(axis=1) * self._room > _NEARLY * totals
        room[sure], even[sure] = self._sure_room, self._sure_even
        ends = sums * room[:, None] // totals[:, None] + self._evenly * even[:, None]
        rows, at = np.arange(len(values)), values - self.lowest
        starts = np.where(at > 0, ends[rows, at - 1], 0)
        widths = ends[rows, at] - starts
        self._learn(plain, totals, at)
        return starts, widths

    def read(self, centre: int, index: int, source: Reader) -> int:
        """Read a value; `learn` when its block is read."""
        edges, first = self._edges(index)
        last = int(self._steps[-1])
        first = min(max(first - centre, 0), len(edges) - 1 - last)
        cut = edges[first : first + last + 1 : tables.CELLS]
        plain = np.maximum(cut[1:] - cut[:-1], 1)
        weighed = plain * self._weights
        sums = weighed.cumsum()
        total = int(sums[-1])
        if int(weighed.max()) * self._room > _NEARLY * total:
            ends = (sums * self._sure_room // total + self._evenly * self._sure_even).tolist()
        else:
            ends = (sums * self._room // total + self._evenly).tolist()
        at = bisect_right(ends, source.peek(tables.PLACES))
        start = ends[at - 1] if at else 0
        source.take(start, ends[at] - start, tables.PLACES)
        self._read.append(plain)
        self._read_totals.append(total)
        self._read_at.append(at)
        return self.lowest + at

    def learn(self) -> None:
        """Learn from what was read of a block."""
        self._learn(np.array(self._read), np.array(self._read_totals), np.array(self._read_at))
        self._read, self._read_totals, self._read_at = [], [], []

    def _learn(self, plain: Ints, totals: Ints, at: Ints) -> None:
        """Weigh the levels anew, by all that is known."""
        expected = (plain << (tables.PLACES + _ONE_BITS)) // totals[:, None]
        self._expected += np.minimum(expected, _MOST_EXPECTED).sum(axis=0)
        self._seen += np.bincount(at, minlength=self.count) << tables.PLACES
        self._weights = np.clip((self._seen << _ONE_BITS) // self._expected, 1, _MOST_WEIGHT)

    @property
    def _room(self) -> int:
        return (1 << tables.PLACES) - self.count

    @property
    def _sure_even(self) -> int:
        return _SPREAD // self.count

    @property
    def _sure_room(self) -> int:
        return (1 << tables.PLACES) - self.count * self._sure_even

    def _edges(self, index: int) -> tuple[Ints, int]:
        """Return the edges of a table's cells, and at which of them the lowest level begins, for centre 0."""
        edges, half = tables.wide(index, self._shape)
        return edges, tables.CELLS * (self.lowest + half) - tables.CELLS // 2
