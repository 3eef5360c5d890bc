"""Streams summed up on a grid of time, block by block: what is kept is a row a step, however many samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.blocks import NS_PER_S, SiBlock
from agent.streams import StreamClass, StreamSpec

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
MOST_LOOSE_ROWS = 4096  # before they are put to the others


@dataclass(slots=True)
class Sums:
    """A stream on a grid of box time: rows that hold samples.

    Channels: the axes, then, of several, their magnitude; of cells that weigh together their sum.
    """

    spec: StreamSpec
    index: I64
    count: F64
    total: F64
    squares: F64
    low: F64
    high: F64


@dataclass(slots=True)
class _Rows:
    """Rows of one stream: (n,) and (5, n, channels) a part; total, squares, low, high, count."""

    parts: list[tuple[I64, F64]] = field(default_factory=list)
    loose: int = 0

    def add(self, index: I64, rows: F64) -> None:
        self.parts.append((index, rows))
        self.loose += len(index)
        if self.loose > MOST_LOOSE_ROWS:
            self.parts, self.loose = [self.together()], 0

    def together(self) -> tuple[I64, F64]:
        """Return all of them as one part, a row a step: what came in several blocks is one."""
        index = np.concatenate([part[0] for part in self.parts])
        rows = np.concatenate([part[1] for part in self.parts], axis=1)
        order = np.argsort(index, kind="stable")
        index, rows = index[order], rows[:, order]
        at = _starts(index)
        total, squares, low, high, count = rows
        return index[at], np.stack(
            [
                np.add.reduceat(total, at, axis=0),
                np.add.reduceat(squares, at, axis=0),
                np.minimum.reduceat(low, at, axis=0),
                np.maximum.reduceat(high, at, axis=0),
                np.add.reduceat(count, at, axis=0),
            ]
        )


class Grid:
    """Sums of each stream on a grid of box time."""

    def __init__(self, specs: Mapping[str, StreamSpec], step_s: float) -> None:
        self.specs = specs
        self.step_ns = round(step_s * NS_PER_S)
        self._rows: dict[str, _Rows] = {}

    def take(self, block: SiBlock) -> None:
        """Sum a block up."""
        values = block.values.astype(np.float64)
        if values.shape[1] > 1:
            load = self.specs[block.stream].kind is StreamClass.LOAD
            together = values.sum(axis=1) if load else np.sqrt((values**2).sum(axis=1))
            values = np.column_stack([values, together])
        index = block.times_ns // self.step_ns
        at = _starts(index)
        count = np.diff(at, append=len(index)).astype(np.float64)
        rows = np.stack(
            [
                np.add.reduceat(values, at, axis=0),
                np.add.reduceat(values**2, at, axis=0),
                np.minimum.reduceat(values, at, axis=0),
                np.maximum.reduceat(values, at, axis=0),
                np.repeat(count[:, None], values.shape[1], axis=1),
            ]
        )
        self._rows.setdefault(block.stream, _Rows()).add(index[at], rows)

    def sums(self) -> dict[str, Sums]:
        """Return them."""
        out: dict[str, Sums] = {}
        for name, given in self._rows.items():
            index, (total, squares, low, high, count) = given.together()
            out[name] = Sums(self.specs[name], index, count[:, 0], total, squares, low, high)
        return out


def _starts(index: I64) -> npt.NDArray[np.intp]:
    """Return where each run of the same number begins."""
    return np.flatnonzero(np.concatenate(([True], index[1:] != index[:-1])))
