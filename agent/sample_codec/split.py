"""Floats without a step: the upper part in fixed point, and the rest of the mantissa as it is.

A value is its sign and ``upper`` units, a power of two for each axis, well below its noise; what lies under
a unit is as good as random, and as many bits of the mantissa are left for it as the float's exponent says.
Below one unit that exponent is not known, and is told by how many zeros its magnitude begins with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Values = npt.NDArray[Any]

_POWER_BITS = 8
_MOST_POWER = 120
_NOISE_BITS = 8  # of a unit below the median difference
_ZEROS = 30  # leading zero bits that the smallest magnitudes may have


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


def write(values: Values, out: Writer) -> bool:
    """Add (n, axes) floats; False where they are not of this kind, and what was added is no use."""
    layout = LAYOUTS[values.dtype]
    if len(values) < 2 or not np.isfinite(values).all():
        return False
    magnitudes = np.abs(values.astype(np.float64))
    if not 2.0**-60 < float(magnitudes.max()) < 2.0**60:
        return False
    powers = []
    for axis in range(values.shape[1]):
        highest = math.frexp(float(magnitudes[:, axis].max()))[1]
        steps = np.abs(np.diff(values[:, axis].astype(np.float64)))
        noise = math.frexp(float(np.median(steps[steps > 0])))[1] if steps.any() else highest
        least = highest - 1 - min(layout.mantissa_bits, wholes.RANGE_BITS - 2)
        powers.append(min(max(noise - _NOISE_BITS, least, -_MOST_POWER), _MOST_POWER))
    units = np.ldexp(1.0, powers)
    upper = np.floor(magnitudes / units).astype(np.int64)
    negative = np.signbit(values)
    numbers = np.where(negative, ~upper, upper)
    if not wholes.fits(numbers):
        return False
    for power in powers:
        out.raw(power + _MOST_POWER, _POWER_BITS)
    wholes.write(numbers, out)
    bits = values.view(layout.unsigned).astype(np.uint64).view(np.int64)
    mantissas = bits & ((1 << layout.mantissa_bits) - 1)
    lengths = _bit_lengths(upper)
    counts = np.where(upper > 0, layout.mantissa_bits + 1 - lengths, 0).ravel()
    out.raws(mantissas.ravel() & ((1 << counts) - 1), counts)
    for row, axis in np.argwhere(upper == 0).tolist():
        _write_small(int(bits[row, axis]), powers[axis], layout, out)
    return True


def read(dtype: np.dtype[Any], rows: int, axes: int, data_bytes: int, source: Reader) -> Values:
    """Read (rows, axes) floats. Raises ValueError."""
    layout = LAYOUTS[dtype]
    powers = [source.raw(_POWER_BITS) - _MOST_POWER for _ in range(axes)]
    if any(power > _MOST_POWER for power in powers):
        raise ValueError("coded samples with a unit that none can have")
    numbers = wholes.read(rows, axes, data_bytes, source)
    negative = numbers < 0
    upper = np.where(negative, ~numbers, numbers)
    lengths = _bit_lengths(upper)
    counts = np.where(upper > 0, layout.mantissa_bits + 1 - lengths, 0)
    exponents = lengths - 1 + np.array(powers) + layout.bias
    if upper.max() >> wholes.RANGE_BITS + 1 or (counts < 0).any():
        raise ValueError("coded samples beyond what they can be")
    big = upper > 0
    if (exponents[big] < 1).any() or (exponents[big] >= 2 * layout.bias + 1).any():
        raise ValueError("coded samples beyond what they can be")
    lower = source.raws(counts.ravel()).reshape(rows, axes)
    bits = (upper << counts | lower) - (1 << layout.mantissa_bits) + (exponents << layout.mantissa_bits)
    for row, axis in np.argwhere(upper == 0).tolist():
        bits[row, axis] = _read_small(powers[axis], layout, source)
    patterns = bits.view(np.uint64) | negative.astype(np.uint64) << np.uint64(layout.bits - 1)
    return np.asarray(patterns.astype(layout.unsigned).view(dtype))


def _write_small(pattern: int, power: int, layout: Layout, out: Writer) -> None:
    """Add a magnitude below 2^power: how many zeros it begins with, and the bits behind the first one."""
    pattern &= (1 << (layout.bits - 1)) - 1
    out.raw(pattern == 0, 1)
    if not pattern:
        return
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
    if source.version > 1 and source.raw(1):
        return 0
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
