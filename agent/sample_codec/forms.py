"""What numbers are, below the form in which they are kept: whole numbers, and what is left of them.

* WHOLE: integers.
* LATTICE: floats that are whole numbers times a step: decimals of a text, counts times a scale. The step is
  one of those that decimals and units give, or the shortest that gives back every value (as the
  ``FloatMult`` of pcodec and the decimals of ALP do: A. Afroozeh et al., SIGMOD 2023), or two factors with
  a rounding after each (`factors`). Whole numbers may be multiples of something once more: `stepped`.
* SPLIT: floats with a step and an offset for each axis: `affine`; or any others: the upper part as fixed
  point, some bits below the noise, predicted; and the rest of the mantissa as it is: `split`.
* BITS: anything else: the bit pattern as an integer in the order of the numbers.

Doubles that hold singles, also with a factor, are seen as those. `write` always tries the way back; what is
no number (`holes`) and values that a lattice does not give (an odd -0.0) are sent beside it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import affine, factors, holes, split, stepped, steps, wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]
Lattice = int | float | factors.Chain
"""The number of a known step; a step of the values' own; or in several factors."""

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
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
_CHAIN = _OWN_STEP - 1
_COARSER = 1.5  # a step of the values' own, than one that decimals and units give
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
    found = holes.filled(values) if values.dtype.kind == "f" else None
    if values.dtype.kind == "f" and found is None:
        return write_bits(values)
    whole, at = found if found is not None else (values, np.zeros(0, np.int64))
    singles = factors.carried(whole) if values.dtype == _DOUBLE else None
    for form, write_, said in _WAYS:
        out = Writer()
        if values.dtype.kind == "f":
            holes.write(values, at, out)
        if values.dtype == _DOUBLE:
            factors.write_carried(None if singles is None else singles[0], out)
        if said is not None:
            out.raw(said, 1)
        if write_(whole if singles is None else singles[1], out):
            return form, out
    raise AssertionError("bits can always be written")


def write_bits(values: Values) -> tuple[Form, Writer]:
    """Return the symbols of what is of no other form: little more than the values take as they are."""
    out = Writer()
    if values.dtype.kind == "f":
        out.rare(False)
    if values.dtype == _DOUBLE:
        factors.write_carried(None, out)
    _write_bits(values, out)
    return Form.BITS, out


def read(form: Form, dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    """Read (rows, axes) values. Raises ValueError."""
    if source.version == 1 or dtype.kind != "f":
        return _read(form, dtype, rows, axes, data_bytes, source)
    found = holes.read(dtype, rows * axes, data_bytes, source)
    place = factors.read_carried(source) if dtype == _DOUBLE else None
    if place is None:
        return holes.put_back(_read(form, dtype, rows, axes, data_bytes, source), found)
    singles = _read(form, _SINGLE, rows, axes, data_bytes, source)
    return holes.put_back(factors.doubles(singles, place), found)


def _read(form: Form, dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
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


def _write_whole(values: Values, out: Writer) -> bool:
    if values.dtype.kind != "i":
        return False
    whole = values.astype(np.int64)
    if not wholes.fits(whole):
        return False
    stepped.write(whole, out)
    return True


def _read_whole(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    whole = stepped.read(rows, axes, data_bytes, source)
    limits = np.iinfo(dtype)
    if whole.min() < limits.min or whole.max() > limits.max:
        raise ValueError(f"coded samples beyond {dtype}")
    return whole.astype(dtype)


# LATTICE


def _write_lattice(values: Values, out: Writer) -> bool:
    finite = values.ravel()
    if len(finite) < 2 or not np.abs(finite).max() < 1e15:
        return False
    found = _lattice_of(finite)
    if found is None:
        return False
    lattice, size = found
    layout = split.LAYOUTS[values.dtype]
    with np.errstate(invalid="ignore"):
        numbers = np.rint(values.astype(np.float64) / size).astype(np.int64)
    back = _of_lattice(numbers, lattice, values.dtype)
    negative = _negative_zeros(values, numbers)
    back[(numbers == 0) & negative] = -0.0
    wrong = np.flatnonzero((back.view(layout.unsigned) != values.view(layout.unsigned)).ravel())
    if len(wrong) > _MOST_PATCHED * values.size or not _gains(finite, size, layout):
        return False
    if not stepped.fits(numbers):
        return False
    if isinstance(lattice, int):
        out.raw(lattice, _STEP_BITS)
    elif isinstance(lattice, float):
        out.raw(_OWN_STEP, _STEP_BITS)
        steps.write(lattice, out)
    else:
        out.raw(_CHAIN, _STEP_BITS)
        lattice.write(out)
    out.rare(bool(negative.any()))
    for one in negative.tolist() if negative.any() else ():
        out.raw(one, 1)
    out.number(len(wrong))
    bits = values.view(layout.unsigned).ravel()
    last = 0
    for at_ in wrong.tolist():
        out.number(at_ - last)
        out.raw(int(bits[at_]), layout.bits)
        last = at_
    stepped.write(numbers, out)
    return True


def _negative_zeros(values: Values, numbers: Ints) -> npt.NDArray[np.bool_]:
    """Tell of which axes a zero is mostly a -0.0, as where counts were multiplied by a negative number."""
    zeros = (numbers == 0) & (values == 0)
    return np.asarray(2 * (zeros & np.signbit(values)).sum(axis=0) > zeros.sum(axis=0))


def _read_lattice(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    step = source.raw(_STEP_BITS)
    lattice: Lattice = step
    if step == _OWN_STEP:
        lattice = steps.read(source)
    elif step == _CHAIN and source.version > 1:
        lattice = factors.Chain.read(source)
    elif step >= (_MOST_DECIMALS + 1) * len(UNITS):
        raise ValueError("coded samples with a step that is not known")
    negative = np.zeros(axes, np.bool_)
    if source.version > 1 and source.rare():
        negative[:] = [source.raw(1) for _ in range(axes)]
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
    values = _of_lattice(numbers, lattice, dtype)
    values[(numbers == 0) & negative] = -0.0
    bits = values.view(layout.unsigned).reshape(-1)
    for at, pattern in patches:
        bits[at] = pattern
    return values


def _lattice_of(finite: Values) -> tuple[Lattice, float] | None:
    """Return the lattice on which finite values lie, and its step: the coarser of two."""
    wide, dtype = finite.astype(np.float64), finite.dtype
    known, own = _known_step(wide, dtype), steps.of_floats(wide, dtype)
    if known is not None and _COARSER * _size_of(known) > own:
        return known, _size_of(known)
    return (own, own) if own else factors.chain_of(finite, _MOST_PATCHED)


def _size_of(step: int) -> float:
    decimals, unit = divmod(step, len(UNITS))
    return float(UNITS[unit] / _POWERS_OF_TEN[decimals])


def _of_lattice(numbers: Ints, lattice: Lattice, dtype: np.dtype[Any]) -> Values:
    if isinstance(lattice, factors.Chain):
        return lattice.of(numbers, dtype)
    with np.errstate(over="ignore"):
        if isinstance(lattice, float):
            wide = numbers * lattice
        else:
            decimals, unit = divmod(lattice, len(UNITS))
            wide = numbers / _POWERS_OF_TEN[decimals] * UNITS[unit]
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
                back = _of_lattice(numbers.astype(np.int64), step, dtype)
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


def _write_bits(values: Values, out: Writer) -> bool:
    ordered = _ordered(values)
    spare = values.dtype.itemsize * 8 - wholes.RANGE_BITS
    out.raws(*_each(ordered & ((1 << spare) - 1), spare))
    wholes.write(ordered >> spare, out)
    return True


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


def _floats(write_: Callable[[Values, Writer], bool]) -> Callable[[Values, Writer], bool]:
    return lambda values, out: values.dtype.kind == "f" and write_(values, out)


_WAYS: tuple[tuple[Form, Callable[[Values, Writer], bool], int | None], ...] = (
    (Form.WHOLE, _write_whole, None),
    (Form.LATTICE, _floats(_write_lattice), None),
    (Form.SPLIT, _floats(affine.write), 1),
    (Form.SPLIT, _floats(split.write), 0),
    (Form.BITS, _write_bits, None),
)
"""In the order in which they are tried; the bit tells two of one form apart."""
