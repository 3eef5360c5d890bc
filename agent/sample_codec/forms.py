"""What numbers are, below the form in which they are kept: whole numbers, and what is left of them.

* WHOLE: integers.
* LATTICE: floats that are whole numbers times a step: decimals of a text, counts times a scale. The step is
  one of those that decimals and units give, or the shortest that gives back every value (as the
  ``FloatMult`` of pcodec and the decimals of ALP do: A. Afroozeh et al., SIGMOD 2023). Whole numbers may
  be multiples of something once more: `stepped`.
* SPLIT: floats with a step and an offset for each axis: `affine`; or any others: the upper part as fixed
  point, some bits below the noise, predicted; and the rest of the mantissa as it is: `split`.
* BITS: anything else: the bit pattern as an integer in the order of the numbers.

`write` always tries the way back; values that a lattice does not give (a NaN, a -0.0) are sent beside it.
"""

from __future__ import annotations

import enum
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import affine, split, stepped, steps, wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

_STANDARD_GRAVITY_MPS2 = 9.80665
UNITS = (
    1.0,
    _STANDARD_GRAVITY_MPS2,
    _STANDARD_GRAVITY_MPS2 / 1000,
    9.81,  # what many programs take for it
    math.pi / 180,
    math.pi / 180_000,
)
_POWERS_OF_TEN = tuple(float(10**decimals) for decimals in range(10))
_MOST_DECIMALS = len(_POWERS_OF_TEN) - 1
_STEP_BITS = 6
_OWN_STEP = (1 << _STEP_BITS) - 1
_MOST_PATCHED = 0.03  # of all values
_LEAST_GAIN_BITS = 2.0  # a value, of a lattice over the floats' own


class Form(enum.IntEnum):
    """How the values of a piece are seen."""

    WHOLE = 0
    LATTICE = 1
    SPLIT = 2
    BITS = 3


def write(values: Values) -> tuple[Form, Writer]:
    """Return the form that suits (n, axes) values, n and axes at least 1, and all its symbols."""
    out = Writer()
    if values.dtype.kind == "i":
        whole = values.astype(np.int64)
        if wholes.fits(whole):
            stepped.write(whole, out)
            return Form.WHOLE, out
    else:
        if _write_lattice(values, out):
            return Form.LATTICE, out
        out = Writer()
        out.raw(1, 1)
        if affine.write(values, out):
            return Form.SPLIT, out
        out = Writer()
        out.raw(0, 1)
        if split.write(values, out):
            return Form.SPLIT, out
        out = Writer()
    _write_bits(values, out)
    return Form.BITS, out


def read(form: Form, dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    """Read (rows, axes) values. Raises ValueError."""
    if form is Form.BITS:
        return _read_bits(dtype, rows, axes, data_bytes, source)
    if (form is Form.WHOLE) != (dtype.kind == "i"):
        raise ValueError(f"coded samples of {dtype} in a form that those have not")
    if form is Form.WHOLE:
        return _read_whole(dtype, rows, axes, data_bytes, source)
    if form is Form.LATTICE:
        return _read_lattice(dtype, rows, axes, data_bytes, source)
    if source.raw(1):
        return affine.read(dtype, rows, axes, data_bytes, source)
    return split.read(dtype, rows, axes, data_bytes, source)


# WHOLE


def _read_whole(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    whole = stepped.read(rows, axes, data_bytes, source)
    limits = np.iinfo(dtype)
    if whole.min() < limits.min or whole.max() > limits.max:
        raise ValueError(f"coded samples beyond {dtype}")
    return whole.astype(dtype)


# LATTICE


def _write_lattice(values: Values, out: Writer) -> bool:
    finite = values[np.isfinite(values)].astype(np.float64)
    if len(finite) < 2 or not np.abs(finite).max() < 1e15:
        return False
    step = _known_step(finite, values.dtype)
    size = _size_of(step) if step is not None else 0.0
    if step is None:
        size = steps.of_floats(finite, values.dtype)
        if not size:
            return False
    numbers = np.rint(np.where(np.isfinite(values), values, 0).astype(np.float64) / size).astype(np.int64)
    back = _of_lattice(numbers, step, size, values.dtype)
    layout = split.LAYOUTS[values.dtype]
    wrong = np.flatnonzero((back.view(layout.unsigned) != values.view(layout.unsigned)).ravel())
    if len(wrong) > _MOST_PATCHED * values.size or not _gains(finite, size, layout):
        return False
    patched = ~np.isfinite(values)
    if patched.any():  # a NaN stands where the number before it stood
        at = np.where(patched, 0, np.arange(len(values))[:, None])
        numbers = np.take_along_axis(numbers, np.maximum.accumulate(at, axis=0), axis=0)
    if not wholes.fits(numbers):
        return False
    if step is None:
        out.raw(_OWN_STEP, _STEP_BITS)
        steps.write(size, out)
    else:
        out.raw(step, _STEP_BITS)
    out.number(len(wrong))
    bits = values.view(layout.unsigned).ravel()
    last = 0
    for at_ in wrong.tolist():
        out.number(at_ - last)
        out.raw(int(bits[at_]), layout.bits)
        last = at_
    stepped.write(numbers, out)
    return True


def _read_lattice(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    step: int | None = source.raw(_STEP_BITS)
    if step == _OWN_STEP:
        size = steps.read(source)
        step = None
    else:
        assert step is not None
        if step >= (_MOST_DECIMALS + 1) * len(UNITS):
            raise ValueError("coded samples with a step that is not known")
        size = _size_of(step)
    layout = split.LAYOUTS[dtype]
    patches = []
    at = 0
    count = source.number()
    if not 0 <= count <= min(rows * axes, 8 * data_bytes):
        raise ValueError("coded samples with more exceptions than samples")
    for _ in range(count):
        at += source.number()
        if not 0 <= at < rows * axes:
            raise ValueError("coded samples with an exception beyond their end")
        patches.append((at, source.raw(layout.bits)))
    numbers = stepped.read(rows, axes, data_bytes, source)
    values = _of_lattice(numbers, step, size, dtype)
    bits = values.view(layout.unsigned).reshape(-1)
    for at, pattern in patches:
        bits[at] = pattern
    return values


def _size_of(step: int) -> float:
    decimals, unit = divmod(step, len(UNITS))
    return float(UNITS[unit] / _POWERS_OF_TEN[decimals])


def _of_lattice(numbers: Ints, step: int | None, size: float, dtype: np.dtype[Any]) -> Values:
    if step is None:
        wide = numbers * size
    else:
        decimals, unit = divmod(step, len(UNITS))
        wide = numbers / _POWERS_OF_TEN[decimals] * UNITS[unit]
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(wide.astype(dtype))


def _known_step(finite: Floats, dtype: np.dtype[Any]) -> int | None:
    some = finite[np.linspace(0, len(finite) - 1, 24).astype(int)]
    for decimals in range(_MOST_DECIMALS + 1):
        for unit in range(len(UNITS)):
            step = decimals * len(UNITS) + unit
            if not _gains(some, _size_of(step), split.LAYOUTS[dtype]):
                continue
            for part in (some, finite):
                numbers = np.rint(part / _size_of(step))
                if np.abs(numbers).max() >= 1 << 40:
                    break
                back = _of_lattice(numbers.astype(np.int64), step, 0.0, dtype)
                if (back != part.astype(dtype)).mean() > _MOST_PATCHED:
                    break
            else:
                return step
    return None


def _gains(finite: Floats, size: float, layout: split.Layout) -> bool:
    """Tell whether the lattice is so much coarser than the floats that it is no chance."""
    some = np.abs(finite[finite != 0])
    exponents = np.frexp(some)[1] - 1 - layout.mantissa_bits
    return len(some) > 0 and float(math.log2(size) - exponents.mean()) >= _LEAST_GAIN_BITS


# BITS


def _write_bits(values: Values, out: Writer) -> None:
    ordered = _ordered(values)
    spare = values.dtype.itemsize * 8 - wholes.RANGE_BITS
    out.raws(*_each(ordered & ((1 << spare) - 1), spare))
    wholes.write(ordered >> spare, out)


def _read_bits(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    width = dtype.itemsize * 8
    spare = width - wholes.RANGE_BITS
    if spare < 0:
        raise ValueError(f"coded samples of {dtype} in a form that those have not")
    if rows * axes * spare > 16 * (data_bytes + 8) * 8:
        raise ValueError(f"{data_bytes} bytes that claim {rows * axes} numbers")
    lower = source.raws(np.full(rows * axes, spare, np.int64)).reshape(rows, axes)
    upper = wholes.read(rows, axes, data_bytes, source)
    if (upper >> wholes.RANGE_BITS - 1).min() < -1 or (upper >> wholes.RANGE_BITS - 1).max() > 0:
        raise ValueError(f"coded samples beyond {dtype}")
    ordered = upper << spare | lower
    if dtype.kind == "i":
        return ordered.astype(dtype)
    return affine.of_ordered(ordered, dtype)


def _ordered(values: Values) -> Ints:
    return values.astype(np.int64) if values.dtype.kind == "i" else affine.ordered(values)


def _each(values: Ints, count: int) -> tuple[Ints, Ints]:
    flat = values.ravel()
    return flat, np.full(len(flat), count, np.int64)
