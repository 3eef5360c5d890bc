"""Whole numbers that are multiples of a step: every tenth count, or 0, 6, 12, 18, 24, 31 and so on.

The second kind is what a scale leaves that was rounded to decimals: a gyroscope's 0.061 degrees a second in
hundredths. Both are found out, and the multiples are coded.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import steps, wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]

_MOST_STEP_BITS = 33
_KIND_BITS = 2
_MOST_NUMBER = 1 << 53


def fits(numbers: Ints) -> bool:
    """Tell whether `write` takes these: whether their multiples are few enough."""
    if wholes.fits(numbers):
        return True
    spans = numbers.max(axis=0) - numbers.min(axis=0)
    if int(np.abs(numbers).max()) >= _MOST_NUMBER >> 1:
        return False
    columns = [_Column.of(numbers[:, i]) for i in range(numbers.shape[1])]
    steps_ = [max(1.0, column.common, column.size) for column in columns if column.kind is not _Kind.PLAIN]
    if len(steps_) < len(columns):
        return False
    return bool((spans / np.array(steps_) < (1 << wholes.RANGE_BITS) - 2).all())


def write(numbers: Ints, out: Writer) -> None:
    """Add (n, axes) whole numbers that fit."""
    columns = [_Column.of(numbers[:, i]) for i in range(numbers.shape[1])]
    stepped = any(column.kind is not _Kind.PLAIN for column in columns)
    out.raw(stepped, 1)
    if not stepped:
        wholes.write(numbers, out)
        return
    before = None
    for column in columns:
        out.raw(column.kind, _KIND_BITS)
        if column.kind is _Kind.MULTIPLE:
            out.number(column.common)
            out.raw(column.rest, column.common.bit_length())
        if column.kind is _Kind.ROUNDED:
            same = before is not None and column.fits(before)
            out.raw(same, 1)
            if not same:
                before = column.size
                steps.write(before, out)
            assert before is not None
            column.use(before)
    wholes.write(np.stack([column.multiples for column in columns], axis=1), out)


def read(rows: int, axes: int, data_bytes: int, source: Reader) -> Ints:
    """Read (rows, axes), below 2^53 either way. Raises ValueError."""
    common, rest, sizes = [1] * axes, [0] * axes, [0.0] * axes
    stepped, before = source.raw(1), 0.0
    for axis in range(axes) if stepped else ():
        kind = source.raw(_KIND_BITS)
        if kind == _Kind.MULTIPLE:
            common[axis] = source.number()
            if not 1 < common[axis] < 1 << _MOST_STEP_BITS:
                raise ValueError("coded samples with a step that none can have")
            rest[axis] = source.raw(common[axis].bit_length())
        elif kind == _Kind.ROUNDED:
            if not source.raw(1):
                before = steps.read(source)
            sizes[axis] = before
        elif kind != _Kind.PLAIN:
            raise ValueError("coded samples with a step of a kind that is not known")
    numbers = wholes.read(rows, axes, data_bytes, source)
    if not float(np.abs(numbers.astype(np.float64)).max()) * max(*common, *sizes, 1) < _MOST_NUMBER:
        raise ValueError("coded samples beyond what they can be")
    for axis in range(axes):
        if sizes[axis]:
            numbers[:, axis] = _rounded(numbers[:, axis], sizes[axis])
        else:
            numbers[:, axis] = numbers[:, axis] * common[axis] + rest[axis]
    return numbers


class _Kind(enum.IntEnum):
    """In what way the numbers of an axis are multiples."""

    PLAIN = 0
    MULTIPLE = 1
    ROUNDED = 2


@dataclass(slots=True)
class _Column:
    """One axis, and its multiples: of ``common``, ``rest`` above it; or of ``size``, rounded."""

    numbers: Ints
    multiples: Ints
    kind: _Kind = _Kind.PLAIN
    common: int = 1
    rest: int = 0
    size: float = 0.0

    @classmethod
    def of(cls, numbers: Ints) -> _Column:
        """Find out of what they are multiples."""
        common = int(np.gcd.reduce(np.abs(numbers - numbers[0])))
        if common > 1:
            rest = int(numbers[0]) % common
            return cls(numbers, (numbers - rest) // common, _Kind.MULTIPLE, common, rest)
        size = steps.of_wholes(numbers)
        column = cls(numbers, numbers, size=size)
        if size >= steps.LEAST_STEP and column.fits(size):
            column.kind = _Kind.ROUNDED
        return column

    def fits(self, size: float) -> bool:
        """Tell whether multiples of `size`, rounded, are the numbers."""
        return bool((_rounded(np.rint(self.numbers / size), size) == self.numbers).all())

    def use(self, size: float) -> None:
        """Take `size` as the step."""
        self.multiples = np.rint(self.numbers / size).astype(np.int64)


def _rounded(multiples: npt.NDArray[Any], size: float) -> Ints:
    return np.asarray(np.rint(multiples * size), np.int64)
