"""The step of a scale: found in the values themselves, and sent in as few bits as give them all back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LEAST_STEP = 2.0  # of whole numbers: below it, too little is gained
LEAST_LEVELS = 5  # fewer have a common step by chance
LEAST_LEVEL = 1e-60
_EXPONENT_BITS = 12
_EXPONENT_BIAS = 1 << (_EXPONENT_BITS - 1)
_MOST_EXPONENT = 1000


def write(size: float, out: Writer) -> None:
    """Add a positive step."""
    mantissa, exponent = math.frexp(size)
    whole = int(mantissa * (1 << 53))
    spare = (whole & -whole).bit_length() - 1
    out.raw(exponent + _EXPONENT_BIAS, _EXPONENT_BITS)
    out.number(whole >> spare)


def read(source: Reader) -> float:
    """Read a step. Raises ValueError."""
    exponent = source.raw(_EXPONENT_BITS) - _EXPONENT_BIAS
    whole = source.number()
    if not 0 < whole < 1 << 53 or abs(exponent) > _MOST_EXPONENT:
        raise ValueError("coded samples with a step that none can have")
    return math.ldexp(whole, exponent - whole.bit_length())


def of_floats(finite: Floats, dtype: np.dtype[Any]) -> float:
    """Return a step of which all values are multiples but for rounding, as short as it goes; 0: none."""
    levels = np.unique(np.abs(finite))
    levels = levels[levels > 0]
    if len(levels) < 2 or levels[0] < LEAST_LEVEL:
        return 0.0
    half_ulp = np.spacing(levels.astype(dtype)).astype(np.float64) / 2
    gaps = np.diff(levels)
    gaps = gaps[gaps > 4 * half_ulp[1:]]
    if not len(gaps):
        return 0.0
    return _common(levels, half_ulp, min(float(gaps.min()), float(levels[0])))


def of_wholes(numbers: Ints) -> float:
    """Return a step of which all numbers are multiples, rounded; 0: none. Never below `LEAST_STEP`."""
    levels = np.unique(np.abs(numbers)).astype(np.float64)
    levels = levels[levels > 0]
    if not LEAST_LEVELS <= len(levels) <= levels[-1] / LEAST_STEP if len(levels) else True:
        return 0.0
    least = min(float(np.diff(levels).min()), float(levels[0]))
    if least < int(LEAST_STEP):
        return 0.0
    return _common(levels, np.full(len(levels), 0.5), least)


def _common(levels: Floats, half: Floats, least: float) -> float:
    for parts in (1, 2, 3):
        low, high = _bounds(levels, half, least / parts)
        if low < high:
            return shortest(low, high)
    return 0.0


def _bounds(levels: Floats, half_ulp: Floats, step: float) -> tuple[float, float]:
    """Return between which steps all levels are multiples; the low one not below the high one: none."""
    limit = 8.0
    while True:
        near = levels <= step * limit
        part = levels[near]
        if len(part):
            numbers = np.maximum(np.rint(part / step), 1.0)
            off = np.abs(part - numbers * step)
            if (off > 0.35 * step).any():
                return 1.0, 0.0
            step = float((part * numbers).sum() / (numbers * numbers).sum())
        if near.all():
            break
        limit *= 2
    numbers = np.maximum(np.rint(levels / step), 1.0)
    return float(((levels - half_ulp) / numbers).max()), float(((levels + half_ulp) / numbers).min())


def shortest(low: float, high: float) -> float:
    """Return the number between the two with the fewest bits."""
    exponent = math.frexp(high)[1]
    for bits in range(1, 53):
        unit = math.ldexp(1.0, exponent - bits)
        number = math.floor(low / unit + 1) * unit
        if low < number < high:
            return number
    return (low + high) / 2
