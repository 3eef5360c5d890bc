"""Floats that are an offset plus a whole number times a step, each axis with its own: calibrated counts.

Which offset and step give every value back is a question of two unknowns: for a step, the offsets that put
each value within half a unit in its last place are an interval, and how wide that is, is concave in the step.
What rounding elsewhere has left is sent as whole numbers of such units: nearly always zeros, which cost
nearly nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import stepped, steps, wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

_LEAST_LEVELS = 4
_MOST_CORRECTION_BITS = 20
_LEAST_GAIN_BITS = 2.0
_SEARCHES = 60
_MOST_OFF = 0.3
_CLEAR = 16.0  # halves of a unit in the last place
_ROUNDINGS = 4  # halves of a unit in the last place, by which what was rounded more than once may be off
_DOUBLE_BITS = 64


@dataclass(frozen=True, slots=True)
class Scale:
    """A value is ``offset`` + number * ``step``."""

    offset: float
    step: float


def write(values: Values, out: Writer) -> bool:
    """Add (n, axes) finite floats; False where they are not of this kind, and what was added is no use."""
    if not np.isfinite(values).all() or not float(np.abs(values).max()) < steps.MOST_LEVEL:
        return False
    scales = []
    for axis in range(values.shape[1]):
        scale = _plain_of(values[:, axis])
        if scale is None:
            scale = _scale_of(values[:, axis], _ROUNDINGS if values.dtype == np.float64 else 1)
        if scale is None:
            return False
        scales.append(scale)
    numbers = np.stack(
        [
            np.rint((values[:, i].astype(np.float64) - scale.offset) / scale.step).astype(np.int64)
            for i, scale in enumerate(scales)
        ],
        axis=1,
    )
    corrections = ordered(values) - ordered(_back(numbers, scales, values.dtype))
    if np.abs(corrections).max() >> _MOST_CORRECTION_BITS or not wholes.fits(numbers):
        return False
    for scale in scales:
        steps.write(scale.step, out)
        out.raw(scale.offset != 0, 1)
        if scale.offset:
            out.raw(scale.offset < 0, 1)
            steps.write(abs(scale.offset), out)
    wholes.write(corrections, out)
    stepped.write(numbers, out)
    return True


def read(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    """Read (rows, axes) floats. Raises ValueError."""
    scales = []
    for _ in range(axes):
        step, offset = steps.read(source), 0.0
        if source.raw(1):
            sign = -1.0 if source.raw(1) else 1.0
            offset = sign * steps.read(source)
        scales.append(Scale(offset, step))
    corrections = wholes.read(rows, axes, data_bytes, source)
    numbers = stepped.read(rows, axes, data_bytes, source)
    back = ordered(_back(numbers, scales, dtype)) + corrections
    return of_ordered(back, dtype)


def ordered(values: Values) -> Ints:
    """Return floats as integers in the same order, so that neighbours differ by 1."""
    width = values.dtype.itemsize * 8
    patterns = values.view(np.dtype(f"i{values.dtype.itemsize}")).astype(np.int64)
    return np.where(patterns < 0, patterns ^ ((1 << (width - 1)) - 1), patterns)


def of_ordered(numbers: Ints, dtype: np.dtype[Any]) -> Values:
    """Return the floats. Raises ValueError where a number is that of none."""
    width = dtype.itemsize * 8
    if (
        width < _DOUBLE_BITS
        and (np.abs(numbers) >> (width - 1)).max() > 0
        and (numbers.min() < -(1 << (width - 1)) or numbers.max() >= 1 << (width - 1))
    ):
        raise ValueError(f"coded samples beyond {dtype}")
    patterns = np.where(numbers < 0, numbers ^ ((1 << (width - 1)) - 1), numbers)
    return np.asarray(patterns.astype(np.dtype(f"i{dtype.itemsize}")).view(dtype))


def _back(numbers: Ints, scales: list[Scale], dtype: np.dtype[Any]) -> Values:
    with np.errstate(over="ignore", invalid="ignore"):
        wide = numbers * np.array([scale.step for scale in scales])
        wide = wide + np.array([scale.offset for scale in scales])
        return np.ascontiguousarray(wide.astype(dtype))


def _plain_of(values: Values) -> Scale | None:
    """Return a scale without an offset, rounded only once."""
    levels = np.unique(np.abs(values))
    levels = levels[levels > 0].astype(np.float64)
    if len(levels) < _LEAST_LEVELS or levels[0] < steps.LEAST_LEVEL:
        return None
    half = np.spacing(levels.astype(values.dtype)).astype(np.float64) / 2
    low, high = steps.bounds_of(levels, steps.SEVERAL * half)
    if not _CLEAR * float(half.mean()) < low < high:
        return None
    wide = values.astype(np.float64)
    numbers = np.rint(wide / ((low + high) / 2))
    for step in (*steps.plain(low, high), *steps.between(low, high)):
        if ((numbers * step).astype(values.dtype) == values).all():
            return Scale(0.0, step)
    return None


def _scale_of(values: Values, blur: int) -> Scale | None:
    levels = np.unique(values)
    half = np.spacing(np.abs(levels)).astype(np.float64) / 2 * blur
    at = levels.astype(np.float64)
    if len(levels) < _LEAST_LEVELS:
        return None
    origin = int(np.argmin(np.abs(at)))
    step = steps.pitch(at, half)
    if (
        step < steps.LEAST_LEVEL
        or math.log2(step) - np.log2(np.maximum(half, steps.LEAST_LEVEL)).mean() < _LEAST_GAIN_BITS + 1
    ):
        return None
    numbers = np.rint((at - at[origin]) / step)
    if (np.abs(at - at[origin] - numbers * step) > _MOST_OFF * step).any():
        return None
    reach = float(np.abs(numbers).max())
    width = 4 * float(half.max()) / reach
    low, high = step - width, step + width
    for _ in range(_SEARCHES):
        third = (high - low) / 3
        if _room(at, half, numbers, low + third) < _room(at, half, numbers, high - third):
            low += third
        else:
            high -= third
    best = (low + high) / 2
    room = _room(at, half, numbers, best)
    spare = max(room, float(half.min())) / reach / 8
    step = steps.shortest(best - spare, best + spare)
    if not step > steps.LEAST_LEVEL:
        return None
    lowest = float((at - half - numbers * step).max())
    highest = float((at + half - numbers * step).min())
    if not lowest < highest:
        middle, spare = (lowest + highest) / 2, float(half.min()) / 8
        lowest, highest = middle - spare, middle + spare
    if lowest <= 0 <= highest:
        return Scale(0.0, step)
    sign = 1.0 if highest >= -lowest else -1.0
    near, far = sorted((abs(lowest), abs(highest)))
    offset = sign * steps.shortest(near, far)
    return Scale(offset if abs(offset) > steps.LEAST_LEVEL else 0.0, step)


def _room(at: Floats, half: Floats, numbers: Floats, step: float) -> float:
    """Return how wide the interval of offsets is in which every value stays within its last place."""
    rest = at - numbers * step
    return float((rest + half).min() - (rest - half).max())
