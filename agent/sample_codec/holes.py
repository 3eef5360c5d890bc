"""Values that are no numbers, beside those that are: a NaN, or an infinity, takes the place of a sample.

The last number before it stands there meanwhile, which disturbs no prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Values = npt.NDArray[Any]

_MOST = 0.25  # of all values


def filled(values: Values) -> tuple[Values, Ints] | None:
    """Return (n, axes) floats without what is no number, and where that is; None: too much of them is."""
    missing = ~np.isfinite(values)
    if missing.sum() > _MOST * values.size:
        return None
    if not missing.any():
        return values, np.zeros(0, np.int64)
    at = np.where(missing, missing.argmin(axis=0), np.arange(len(values))[:, None])
    whole = np.take_along_axis(values, np.maximum.accumulate(at, axis=0), axis=0)
    return np.where(np.isfinite(whole), whole, values.dtype.type(0)), np.flatnonzero(missing.ravel())


def write(values: Values, at: Ints, out: Writer) -> None:
    """Add what is there, and where."""
    out.rare(len(at) > 0)
    if not len(at):
        return
    width = values.dtype.itemsize
    patterns = np.ascontiguousarray(values).view(f"u{width}").ravel()[at].tolist()
    alike = patterns.count(patterns[0]) == len(patterns)
    out.number(len(at))
    out.raw(alike, 1)
    last = 0
    for i, (place, pattern) in enumerate(zip(at.tolist(), patterns, strict=True)):
        out.number(place - last)
        last = place
        if not i or not alike:
            out.raw(pattern, 8 * width)


def read(dtype: np.dtype[Any], size: int, data_bytes: int, source: Reader) -> list[tuple[int, int]]:
    """Read places among `size` values, and the bits that stand there. Raises ValueError."""
    if not source.rare():
        return []
    count, alike = source.number(), source.raw(1)
    if not 0 < count <= min(size, 8 * data_bytes):
        raise ValueError("coded samples with more holes than samples")
    found, place, pattern = [], 0, 0
    for i in range(count):
        place += source.number()
        if not 0 <= place < size:
            raise ValueError("coded samples with a hole beyond their end")
        if not i or not alike:
            pattern = source.raw(8 * dtype.itemsize)
        found.append((place, pattern))
    return found


def put_back(values: Values, found: list[tuple[int, int]]) -> Values:
    """Return the values with what is no number where it was."""
    bits = values.view(f"u{values.dtype.itemsize}").reshape(-1)
    for place, pattern in found:
        bits[place] = pattern
    return values
