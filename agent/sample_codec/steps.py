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
MOST_LEVEL = 1e30
_MOST_PITCHED = 2048
_MOST_OFF = 0.3
_MOST_PARTINGS = 8
_CLEAR = 2.0  # so much larger than what rounding does, a distance is one
_SURELY = 8.0
_MOST_DIGITS = 17
_FEW = 32
SEVERAL = 8
"""Halves of a unit in the last place, by which what was rounded several times may be off."""
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
    low, high = bounds_of(levels, half_ulp)
    return shortest(low, high) if low < high else 0.0


def bounds_of(levels: Floats, half: Floats) -> tuple[float, float]:
    """Return between which steps all levels, above 0, are multiples; the low one not below the high: none."""
    least = pitch(levels, half)
    for parts in (1, 2, 3) if least else ():
        low, high = _bounds(levels, half, least / parts)
        if low < high:
            return low, high
    return 1.0, 0.0


def pitch(levels: Floats, half: Floats) -> float:
    """Return the step, about, of which all distances between levels, in order, are multiples; 0: none.

    Short distances tell it roughly, and longer and longer ones, from wherever to wherever, ever more exactly.
    """
    if len(levels) > _MOST_PITCHED:  # neighbours stay neighbours
        block = _MOST_PITCHED // 4
        places = np.linspace(0, len(levels) - block, 4).astype(int)
        chosen = np.unique(np.concatenate([np.arange(place, place + block) for place in places]))
        levels, half = levels[chosen], half[chosen]
    noise = 2 * float(half.max())
    gaps = levels[1:] - levels[:-1]
    gaps = gaps[gaps > _CLEAR * noise]
    if not len(gaps):
        return 0.0
    spans = [1 << power for power in range((len(levels) - 1).bit_length())]
    sizes = np.sort(np.concatenate([levels[span:] - levels[:-span] for span in spans]))
    step = float(gaps.min())
    for _ in range(_MOST_PARTINGS):
        told, limit = 1.0, 8.0
        while True:
            near = sizes[: int(sizes.searchsorted(step * limit, "right"))]
            if len(near):
                numbers = np.rint(near / step)
                off = np.abs(near - numbers * step)
                broken = off > min(_MOST_OFF * step, _SURELY * noise * (1 + limit / told))
                if broken.any():
                    break
                weight = float((numbers * numbers).sum())
                step = float((near * numbers).sum()) / weight if weight else 0.0
                told = limit
            if not step > LEAST_LEVEL:
                return 0.0
            if len(near) == len(sizes):
                return step
            limit *= 2
        step = float(off[broken].min())  # as Euclid did
        if step < _CLEAR * noise:
            break
    return 0.0


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
    if high < LEAST_LEVEL:
        return (low + high) / 2
    exponent = math.frexp(high)[1]
    for bits in range(1, 53):
        unit = math.ldexp(1.0, exponent - bits)
        number = math.floor(low / unit + 1) * unit
        if low < number < high:
            return number
    return (low + high) / 2


def plain(low: float, high: float) -> list[float]:
    """Return the numbers between two that somebody is likely to have written down."""
    found = [shortest(low, high)]
    for digits in range(1, _MOST_DIGITS + 1):
        number = float(f"{(low + high) / 2:.{digits}g}")
        if low <= number <= high:
            return [*found, number]
    return found


def between(low: float, high: float) -> list[float]:
    """Return all doubles from one to another, if they are few."""
    found = [low]
    while found[-1] < high and len(found) <= _FEW:
        found.append(math.nextafter(found[-1], high))
    return found if len(found) <= _FEW else []
