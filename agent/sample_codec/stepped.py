"""Whole numbers that are multiples of a step: every tenth count, or 0, 6, 12, 18, 24, 31 and so on.

The second kind is what a scale leaves that was rounded to decimals: a gyroscope's 0.061 degrees a second in
hundredths. Both are found out, and the multiples are coded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.sample_codec import steps, wholes
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]

_MOST_STEP_BITS = 33
_MOST_NUMBER = 1 << 53


def write(numbers: Ints, out: Writer) -> None:
    """Add (n, axes) whole numbers, as `wholes` takes them."""
    common = int(np.gcd.reduce(np.abs(numbers - numbers[0]).ravel()))
    if common > 1:
        out.raw(1, 1)
        out.raw(0, 1)
        out.number(common)
        rests = numbers[0] % common
        for rest in rests.tolist():
            out.raw(rest, common.bit_length())
        wholes.write((numbers - rests) // common, out)
        return
    size = steps.of_wholes(numbers)
    if size >= steps.LEAST_STEP:
        multiples = np.rint(numbers / size).astype(np.int64)
        if (_rounded(multiples, size) == numbers).all():
            out.raw(1, 1)
            out.raw(1, 1)
            steps.write(size, out)
            wholes.write(multiples, out)
            return
    out.raw(0, 1)
    wholes.write(numbers, out)


def read(rows: int, axes: int, data_bytes: int, source: Reader) -> Ints:
    """Read (rows, axes), below 2^53 either way. Raises ValueError."""
    common, rests, size = 1, [0] * axes, 0.0
    if source.raw(1):
        if source.raw(1):
            size = steps.read(source)
        else:
            common = source.number()
            if not 1 < common < 1 << _MOST_STEP_BITS:
                raise ValueError("coded samples with a step that none can have")
            rests = [source.raw(common.bit_length()) for _ in range(axes)]
    numbers = wholes.read(rows, axes, data_bytes, source)
    if not float(np.abs(numbers.astype(np.float64)).max()) * max(common, size) < _MOST_NUMBER:
        raise ValueError("coded samples beyond what they can be")
    if size:
        return _rounded(numbers, size)
    return np.asarray(numbers * common + np.array(rests), np.int64)


def _rounded(multiples: Ints, size: float) -> Ints:
    return np.asarray(np.rint(multiples * size), np.int64)
