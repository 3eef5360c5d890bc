"""Whether two readings are the same log: each stream reckoned as it flows, however it is cut."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.blocks import Block
from agent.sources import Item
from agent.timebase import TimeMark


@dataclass(slots=True)
class _Lane:
    """Running checksums of one stream, a column each: a difference says where it lies."""

    samples: int = 0
    sums: dict[str, Any] = field(
        default_factory=lambda: {name: hashlib.sha256() for name in ("times", "values", "indexes", "flags")}
    )
    dtype: str = ""


@dataclass(slots=True)
class Reckoning:
    """Takes the items of a source; two with `differences` none are the same to the bit.

    ``finite_only``: samples with a value that is not finite do not count, for formats that have no word
    for them.
    """

    finite_only: bool = False
    not_finite: int = 0
    marks: set[TimeMark] = field(default_factory=set)
    _lanes: dict[str, _Lane] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """How many samples were taken."""
        return sum(lane.samples for lane in self._lanes.values())

    def counts(self) -> dict[str, int]:
        """Return the samples of each stream."""
        return {name: lane.samples for name, lane in self._lanes.items()}

    def add(self, item: Item) -> None:
        """Take one item."""
        if isinstance(item, TimeMark):
            self.marks.add(item)
        if not isinstance(item, Block):
            return
        lane = self._lanes.setdefault(item.stream, _Lane())
        keep: npt.NDArray[np.bool_] = np.ones(len(item), np.bool_)
        if item.values.dtype.kind == "f":
            finite: npt.NDArray[np.bool_] = np.asarray(np.isfinite(item.values).all(axis=1), np.bool_)
            self.not_finite += int((~finite).sum())
            keep = finite if self.finite_only else keep
        flags = np.zeros(len(item), np.uint8) if item.quality is None else item.quality
        lane.samples += int(keep.sum())
        lane.dtype = item.values.dtype.name
        columns = {
            "times": item.times_ns()[keep],
            "values": item.values[keep],
            "indexes": np.arange(item.first, item.end, dtype=np.int64)[keep],
            "flags": flags[keep],
        }
        for name, column in columns.items():
            lane.sums[name].update(column.tobytes())

    def differences(self, other: Reckoning) -> list[str]:
        """Return in words what differs in `other`."""
        out = []
        for name in sorted(self._lanes.keys() | other._lanes.keys()):
            mine, theirs = self._lanes.get(name, _Lane()), other._lanes.get(name, _Lane())
            if mine.samples == theirs.samples == 0:
                continue
            if mine.samples != theirs.samples:
                out.append(f"{name}: {theirs.samples:,} samples of {mine.samples:,}")
                continue
            if mine.dtype != theirs.dtype:
                out.append(f"{name}: {theirs.dtype} instead of {mine.dtype}")
            wrong = [word for word in mine.sums if mine.sums[word].digest() != theirs.sums[word].digest()]
            if wrong:
                out.append(f"{name}: other {', '.join(wrong)}")
        if self.marks != other.marks:
            out.append(f"{len(self.marks ^ other.marks)} time marks")
        return out
