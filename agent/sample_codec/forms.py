"""What numbers are, below the form in which they are kept: whole numbers, and what is left of them.

* WHOLE: integers, as (value - rest) / step: a converter that gives only every tenth count is found out.
* LATTICE: floats that are whole numbers times a step: decimals of a text, counts times a scale. The step is
  one of those that decimals and units give, or the shortest that gives back every value (as the
  ``FloatMult`` of pcodec and the decimals of ALP do: A. Afroozeh et al., SIGMOD 2023).
* SPLIT: other floats: the upper part as fixed point, with half a dozen bits below the noise, predicted; and
  the lower bits of the mantissa as they are, as many as the exponent leaves.
* BITS: anything else: the bit pattern as an integer in the order of the numbers.

`write` always tries the way back; values that a lattice does not give (a NaN, a -0.0) are sent beside it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

_WHOLE_BITS = 26  # that `wholes` takes
_STANDARD_GRAVITY_MPS2 = 9.80665
UNITS = (
    1.0,
    _STANDARD_GRAVITY_MPS2,
    _STANDARD_GRAVITY_MPS2 / 1000,
    math.pi / 180,
    math.pi / 180_000,
)
_MOST_DECIMALS = 9
_STEP_BITS = 6
_OWN_STEP = (1 << _STEP_BITS) - 1
_EXPONENT_BITS = 12
_EXPONENT_BIAS = 1 << (_EXPONENT_BITS - 1)
_MOST_PATCHED = 0.03  # of all values
_LEAST_GAIN_BITS = 2.0  # a value, of a lattice over the floats' own
_NOISE_BITS = 8  # of a SPLIT below the mean difference
_ZEROS = 30  # leading zero bits that a SPLIT's smallest numbers may have


class Form(enum.IntEnum):
    """How the values of a piece are seen."""

    WHOLE = 0
    LATTICE = 1
    SPLIT = 2
    BITS = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """How a float's bits lie (IEEE 754)."""

    unsigned: type[np.unsignedinteger[Any]]
    bits: int
    mantissa_bits: int
    bias: int


LAYOUTS = {
    np.dtype(np.float32): Layout(np.uint32, 32, 23, 127),
    np.dtype(np.float64): Layout(np.uint64, 64, 52, 1023),
}


def write(values: Values) -> tuple[Form, Writer]:
    """Return the form that suits (n, axes) values, n and axes at least 1, and all its symbols."""
    out = Writer()
    if values.dtype.kind == "i":
        whole = values.astype(np.int64)
        if _fits(whole):
            _write_whole(whole, out)
            return Form.WHOLE, out
    else:
        if _write_lattice(values, out):
            return Form.LATTICE, out
        out = Writer()
        if _write_split(values, out):
            return Form.SPLIT, out
        out = Writer()
    _write_bits(values, out)
    return Form.BITS, out


def read(
    form: Form, dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader
) -> Values:
    """Read (rows, axes) values. Raises ValueError."""
    if form is Form.BITS:
        return _read_bits(dtype, rows, axes, data_bytes, source)
    if (form is Form.WHOLE) != (dtype.kind == "i"):
        raise ValueError(f"coded samples of {dtype} in a form that those have not")
    if form is Form.WHOLE:
        return _read_whole(dtype, rows, axes, data_bytes, source)
    if form is Form.LATTICE:
        return _read_lattice(dtype, rows, axes, data_bytes, source)
    return _read_split(dtype, rows, axes, data_bytes, source)


def _fits(whole: Ints) -> bool:
    return bool((whole.max(axis=0) - whole.min(axis=0) < 1 << _WHOLE_BITS).all())


# WHOLE


def _write_whole(whole: Ints, out: Writer) -> None:
    step = int(np.gcd.reduce(np.abs(whole - whole[0]).ravel()))
    if step <= 1:
        out.raw(0, 1)
        wholes.write(whole, out)
        return
    out.raw(1, 1)
    out.number(step)
    rests = whole[0] % step
    for rest in rests.tolist():
        out.raw(rest, step.bit_length())
    wholes.write((whole - rests) // step, out)


def _read_whole(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    step, rests = 1, [0] * axes
    if source.raw(1):
        step = source.number()
        if not 1 < step < 1 << 33:
            raise ValueError("coded samples with a step that none can have")
        rests = [source.raw(step.bit_length()) for _ in range(axes)]
    whole = wholes.read(rows, axes, data_bytes, source)
    limits = np.iinfo(dtype)
    if np.abs(whole).max() > 1 << 33:
        raise ValueError(f"coded samples beyond {dtype}")
    # below 2^33 * 2^33 it would still wrap: check in floats first
    if np.abs(whole.astype(np.float64) * step).max() > 1 << 40:
        raise ValueError(f"coded samples beyond {dtype}")
    whole = whole * step + np.array(rests)
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
        size = _own_step(finite, values.dtype)
        if not size:
            return False
    numbers = np.rint(np.where(np.isfinite(values), values, 0).astype(np.float64) / size).astype(np.int64)
    back = _of_lattice(numbers, step, size, values.dtype)
    layout = LAYOUTS[values.dtype]
    wrong = np.flatnonzero((back.view(layout.unsigned) != values.view(layout.unsigned)).ravel())
    if len(wrong) > _MOST_PATCHED * values.size or not _gains(finite, size, layout):
        return False
    patched = ~np.isfinite(values)
    if patched.any():  # a NaN stands where the number before it stood
        at = np.where(patched, 0, np.arange(len(values))[:, None])
        numbers = np.take_along_axis(numbers, np.maximum.accumulate(at, axis=0), axis=0)
    if not _fits(numbers):
        return False
    if step is None:
        mantissa, exponent = math.frexp(size)
        whole = int(mantissa * (1 << 53))
        spare = (whole & -whole).bit_length() - 1
        out.raw(_OWN_STEP, _STEP_BITS)
        out.raw(exponent + _EXPONENT_BIAS, _EXPONENT_BITS)
        out.number(whole >> spare)
    else:
        out.raw(step, _STEP_BITS)
    out.number(len(wrong))
    bits = values.view(layout.unsigned).ravel()
    last = 0
    for at_ in wrong.tolist():
        out.number(at_ - last)
        out.raw(int(bits[at_]), layout.bits)
        last = at_
    wholes.write(numbers, out)
    return True


def _read_lattice(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    step: int | None = source.raw(_STEP_BITS)
    if step == _OWN_STEP:
        exponent = source.raw(_EXPONENT_BITS) - _EXPONENT_BIAS
        whole = source.number()
        if not 0 < whole < 1 << 53 or not -1000 < exponent < 1000:
            raise ValueError("coded samples with a step that none can have")
        size = math.ldexp(whole, exponent - whole.bit_length())
        step = None
    else:
        assert step is not None
        if step >= (_MOST_DECIMALS + 1) * len(UNITS):
            raise ValueError("coded samples with a step that is not known")
        size = _size_of(step)
    layout = LAYOUTS[dtype]
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
    numbers = wholes.read(rows, axes, data_bytes, source)
    if np.abs(numbers).max() > 1 << 53:
        raise ValueError("coded samples beyond what they can be")
    values = _of_lattice(numbers, step, size, dtype)
    bits = values.view(layout.unsigned).reshape(-1)
    for at, pattern in patches:
        bits[at] = pattern
    return values


def _size_of(step: int) -> float:
    decimals, unit = divmod(step, len(UNITS))
    return float(UNITS[unit] / 10.0**decimals)


def _of_lattice(numbers: Ints, step: int | None, size: float, dtype: np.dtype[Any]) -> Values:
    if step is None:
        wide = numbers * size
    else:
        decimals, unit = divmod(step, len(UNITS))
        wide = numbers / 10.0**decimals * UNITS[unit]
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(wide.astype(dtype))


def _known_step(finite: Floats, dtype: np.dtype[Any]) -> int | None:
    some = finite[np.linspace(0, len(finite) - 1, 24).astype(int)]
    for decimals in range(_MOST_DECIMALS + 1):
        for unit in range(len(UNITS)):
            step = decimals * len(UNITS) + unit
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


def _own_step(finite: Floats, dtype: np.dtype[Any]) -> float:
    """Return a step of which all values are multiples but for rounding, as short as it goes; 0: none."""
    levels = np.unique(np.abs(finite))
    levels = levels[levels > 0]
    if len(levels) < 2:
        return 0.0
    half_ulp = np.spacing(levels.astype(dtype)).astype(np.float64) / 2
    gaps = np.diff(levels)
    gaps = gaps[gaps > 4 * half_ulp[1:]]
    if not len(gaps):
        return 0.0
    least = min(float(gaps.min()), float(levels[0]))
    for parts in (1, 2, 3):
        low, high = _bounds(levels, half_ulp, least / parts)
        if low < high:
            return _shortest(low, high)
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


def _shortest(low: float, high: float) -> float:
    """Return the number between the two with the fewest bits."""
    exponent = math.frexp(high)[1]
    for bits in range(1, 53):
        unit = math.ldexp(1.0, exponent - bits)
        number = math.ceil(low / unit) * unit
        if low < number < high:
            return number
    return (low + high) / 2


def _gains(finite: Floats, size: float, layout: Layout) -> bool:
    """Tell whether the lattice is so much coarser than the floats that it is no chance."""
    exponents = np.frexp(np.maximum(np.abs(finite), size))[1] - 1 - layout.mantissa_bits
    return float(math.log2(size) - exponents.mean()) >= _LEAST_GAIN_BITS


# SPLIT


def _write_split(values: Values, out: Writer) -> bool:
    layout = LAYOUTS[values.dtype]
    magnitudes = np.abs(values.astype(np.float64))
    top = float(magnitudes.max())
    if len(values) < 2 or not 2.0**-60 < top < 2.0**60:
        return False
    powers = []
    for axis in range(values.shape[1]):
        highest = math.frexp(float(magnitudes[:, axis].max()))[1]
        steps = np.abs(np.diff(values[:, axis].astype(np.float64)))
        noise = math.frexp(float(np.median(steps[steps > 0])))[1] if steps.any() else highest
        least = highest - 1 - min(layout.mantissa_bits, _WHOLE_BITS - 2)
        powers.append(min(max(noise - _NOISE_BITS, least, -120), 120))
    units = np.ldexp(1.0, powers)
    upper = np.floor(magnitudes / units).astype(np.int64)
    negative = np.signbit(values)
    numbers = np.where(negative, ~upper, upper)
    if not _fits(numbers):
        return False
    out.raw(0, 1)
    for power in powers:
        out.raw(power + _EXPONENT_BIAS, _EXPONENT_BITS)
    wholes.write(numbers, out)
    bits = values.view(layout.unsigned).astype(np.uint64).view(np.int64)
    mantissas = bits & ((1 << layout.mantissa_bits) - 1)
    lengths = _bit_lengths(upper)
    counts = np.where(upper > 0, layout.mantissa_bits + 1 - lengths, 0).ravel()
    out.raws(mantissas.ravel() & ((1 << counts) - 1), counts)
    for row, axis in np.argwhere(upper == 0).tolist():
        _write_small(int(bits[row, axis]), powers[axis], layout, out)
    return True


def _read_split(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    layout = LAYOUTS[dtype]
    if source.raw(1):
        raise ValueError("coded samples that are split in a way that is not known")
    powers = [source.raw(_EXPONENT_BITS) - _EXPONENT_BIAS for _ in range(axes)]
    if any(abs(power) > 120 for power in powers):
        raise ValueError("coded samples with a unit that none can have")
    numbers = wholes.read(rows, axes, data_bytes, source)
    negative = numbers < 0
    upper = np.where(negative, ~numbers, numbers)
    lengths = _bit_lengths(upper)
    counts = np.where(upper > 0, layout.mantissa_bits + 1 - lengths, 0)
    exponents = lengths - 1 + np.array(powers) + layout.bias
    if upper.max() >> _WHOLE_BITS + 1 or (counts < 0).any():
        raise ValueError("coded samples beyond what they can be")
    big = upper > 0
    if (exponents[big] < 1).any() or (exponents[big] >= 2 * layout.bias + 1).any():
        raise ValueError("coded samples beyond what they can be")
    lower = source.raws(counts.ravel()).reshape(rows, axes)
    bits = (upper << counts | lower) - (1 << layout.mantissa_bits) + (exponents << layout.mantissa_bits)
    for row, axis in np.argwhere(upper == 0).tolist():
        bits[row, axis] = _read_small(powers[axis], layout, source)
    patterns = bits.view(np.uint64) | negative.astype(np.uint64) << np.uint64(layout.bits - 1)
    return patterns.astype(layout.unsigned).view(dtype)


def _write_small(pattern: int, power: int, layout: Layout, out: Writer) -> None:
    """Add a magnitude below 2^power: how many zeros it begins with, and the bits behind the first one."""
    pattern &= (1 << (layout.bits - 1)) - 1
    exponent = pattern >> layout.mantissa_bits
    zeros = power - 1 - (exponent - layout.bias) if exponent else _ZEROS
    for _ in range(min(zeros, _ZEROS)):
        out.raw(0, 1)
    if zeros >= _ZEROS:
        out.raw(pattern, layout.bits - 1)
        return
    out.raw(1, 1)
    out.raw(pattern & ((1 << layout.mantissa_bits) - 1), layout.mantissa_bits)


def _read_small(power: int, layout: Layout, source: Reader) -> int:
    zeros = 0
    while zeros < _ZEROS and not source.raw(1):
        zeros += 1
    if zeros == _ZEROS:
        return source.raw(layout.bits - 1)
    exponent = power - 1 - zeros + layout.bias
    return exponent << layout.mantissa_bits | source.raw(layout.mantissa_bits)


def _bit_lengths(numbers: Ints) -> Ints:
    """Return the bit length of each, below 2^53."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


# BITS


def _write_bits(values: Values, out: Writer) -> None:
    ordered = _ordered(values)
    spare = values.dtype.itemsize * 8 - _WHOLE_BITS
    out.raws(*_each(ordered & ((1 << spare) - 1), spare))
    wholes.write(ordered >> spare, out)


def _read_bits(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    width = dtype.itemsize * 8
    spare = width - _WHOLE_BITS
    if spare < 0:
        raise ValueError(f"coded samples of {dtype} in a form that those have not")
    if rows * axes * spare > 16 * (data_bytes + 8) * 8:
        raise ValueError(f"{data_bytes} bytes that claim {rows * axes} numbers")
    lower = source.raws(np.full(rows * axes, spare, np.int64)).reshape(rows, axes)
    upper = wholes.read(rows, axes, data_bytes, source)
    if (upper >> _WHOLE_BITS - 1).min() < -1 or (upper >> _WHOLE_BITS - 1).max() > 0:
        raise ValueError(f"coded samples beyond {dtype}")
    ordered = upper << spare | lower
    if dtype.kind == "i":
        return ordered.astype(dtype)
    # the order of negative floats is against that of their patterns
    patterns = np.where(ordered < 0, ordered ^ ((1 << (width - 1)) - 1), ordered)
    return patterns.astype(np.dtype(f"i{dtype.itemsize}")).view(dtype)


def _ordered(values: Values) -> Ints:
    if values.dtype.kind == "i":
        return values.astype(np.int64)
    width = values.dtype.itemsize * 8
    patterns = values.view(np.dtype(f"i{values.dtype.itemsize}")).astype(np.int64)
    return np.where(patterns < 0, patterns ^ ((1 << (width - 1)) - 1), patterns)


def _each(values: Ints, count: int) -> tuple[Ints, Ints]:
    flat = values.ravel()
    return flat, np.full(len(flat), count, np.int64)
