"""Windows as the rows of one table: what is summed up of them, in columns that merge exactly.

A coarser window is then what it would have been from the samples: sums add up, the smallest of the smallest
is the smallest. What a row has no samples of holds the identity of its rule (0, +∞, −∞), so that it changes
nothing it is merged with. Sums are float64 and in the order of the rows, whichever way the samples came.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Merge(enum.Enum):
    """How two windows of a column become one."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"


_IDENTITY = {Merge.SUM: 0.0, Merge.MIN: math.inf, Merge.MAX: -math.inf}
_UFUNC = {Merge.SUM: np.add, Merge.MIN: np.minimum, Merge.MAX: np.maximum}

Names = Mapping[str, tuple[Merge, int]]
"""Columns by name: how each merges, and how many numbers a row of it has."""


class Layout:
    """Where each column stands; shared by all tables of a run."""

    def __init__(self, names: Names) -> None:
        self.names = dict(names)
        self.widths = dict.fromkeys(Merge, 0)
        self.places: dict[str, tuple[Merge, slice]] = {}
        for name, (merge, width) in names.items():
            begin = self.widths[merge]
            self.widths[merge] = begin + width
            self.places[name] = merge, slice(begin, begin + width)

    def empty(self, index: I64) -> Table:
        """Return a table of these windows in which nothing is known yet: every cell its rule's identity."""
        cells = {m: np.full((len(index), width), _IDENTITY[m]) for m, width in self.widths.items()}
        return Table(self, index, cells)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of windows. ``index``: (m,) int64, rising, the first second of each; ``cells``: (m, k) a rule."""

    layout: Layout
    index: I64
    cells: Mapping[Merge, F64]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, name: str) -> F64:
        """Return a column: (m, k) float64, a view that may be written to."""
        merge, place = self.layout.places[name]
        return self.cells[merge][:, place]

    def part(self, stream: str) -> Part:
        """Return the columns of one stream, under their own names."""
        return Part(self, f"{stream}.")

    def before(self, index: int) -> Table:
        """Return the windows that begin before `index`."""
        return self._rows(slice(0, int(np.searchsorted(self.index, index, side="left"))))

    def after(self, index: int) -> Table:
        """Return the windows that begin at `index` or later."""
        return self._rows(slice(int(np.searchsorted(self.index, index, side="left")), None))

    def merged(self, span: int) -> Table:
        """Return windows of `span` seconds, on the grid of box time, in place of finer ones."""
        group = self.index // span
        if span == 1 or len(group) == 0:
            return self
        starts = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
        cells = {
            merge: _UFUNC[merge].reduceat(array, starts, axis=0) if array.shape[1] else array[starts]
            for merge, array in self.cells.items()
        }
        return Table(self.layout, group[starts] * span, cells)

    def whole(self) -> Table:
        """Return one row of all windows."""
        cells = {merge: _UFUNC[merge].reduce(array, axis=0)[None, :] for merge, array in self.cells.items()}
        return Table(self.layout, self.index[:1], cells)

    @staticmethod
    def joined(tables: Sequence[Table]) -> Table:
        """Return one table with the rows of all, in this order. Raises ValueError for none."""
        if len(tables) == 1:
            return tables[0]
        if not tables:
            raise ValueError("joining no tables: expected one at least")
        cells = {merge: np.concatenate([t.cells[merge] for t in tables]) for merge in Merge}
        return Table(tables[0].layout, np.concatenate([t.index for t in tables]), cells)

    def _rows(self, rows: slice) -> Table:
        return Table(self.layout, self.index[rows], {m: array[rows] for m, array in self.cells.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The columns of one stream in a table."""

    table: Table
    prefix: str

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> F64:
        """Return a column: (m, k) float64."""
        return self.table[self.prefix + name]

    def whole(self) -> Part:
        """Return the same of one row of all windows."""
        return Part(self.table.whole(), self.prefix)
