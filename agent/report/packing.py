"""Rows of numbers as short text for a page: 16-bit steps from row to row, deflated, in base64.

A page unpacks them with what every browser has (DecompressionStream, Compression Standard of the WHATWG).
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
NOTHING = -32768  # stands for "no value"
_MOST = 32766
_LEVEL = 9


def packed_values(values: F64, step: float | None = None) -> dict[str, Any]:
    """Return (n,) values, NaN for none: {data, scale, offset}, where value = number · scale + offset.

    ``step``: what the values are whole multiples of, if they are; kept exactly where 16 bits hold them. Else
    they are kept to a 65,000th of their range.
    """
    known = np.isfinite(values)
    if not known.any():
        return {"data": _text(np.full(len(values), NOTHING, np.int16)), "scale": 1.0, "offset": 0.0}
    low, high = float(values[known].min()), float(values[known].max())
    middle = (low + high) / 2
    scale = max((high - low) / (2 * _MOST), 1e-12)
    if step and scale <= step:
        scale, middle = step, round(middle / step) * step
    numbers = np.full(len(values), NOTHING, np.int16)
    numbers[known] = np.clip(np.rint((values[known] - middle) / scale), -_MOST, _MOST).astype(np.int16)
    return {"data": _text(numbers), "scale": scale, "offset": middle}


def unpacked_values(packed: dict[str, Any]) -> F64:
    """Return what `packed_values` was given, as near as it was kept; the page does the same."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<i2")
    numbers = np.cumsum(steps, dtype=np.int16)
    values = numbers * float(packed["scale"]) + float(packed["offset"])
    values[numbers == NOTHING] = np.nan
    return np.asarray(values, dtype=np.float64)


def packed_times(times: npt.NDArray[np.int64]) -> str:
    """Return (n,) whole numbers that rise by less than 2^31 a row, the first of them too."""
    steps = np.diff(times, prepend=0).astype("<i4")
    return _deflated(steps.tobytes())


def _text(numbers: npt.NDArray[np.int16]) -> str:
    steps = np.diff(numbers.astype(np.int32), prepend=0).astype("<i2")  # wraps, and unwraps when summed up
    return _deflated(steps.tobytes())


def _deflated(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()
