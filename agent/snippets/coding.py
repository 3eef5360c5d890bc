"""Samples as the bytes of a snippet: coded, decoded again and compared before anybody may send them.

Coding takes tenths of a second, for which no alarm may wait. So the stage asks a `Coder` for it when it has
the samples, and for the outcome some seconds later. Here is the one that works when it is asked for the
outcome: good for a replay. The agent gives a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agent import sample_codec

RAW = "raw"
"""Little-endian values, a row a sample: where the codec does not take them, or does not give them back."""
SAMPLES = "samples-2"
"""`agent.sample_codec`."""
READ_SAMPLES = (SAMPLES, "samples-1")
"""What boxes with older software sent is read for good."""
Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Coded:
    """The bytes, and how they are to be read. `failed`: the codec did not give back what it was given."""

    codec: str
    data: bytes
    failed: bool = False


class Coding(Protocol):
    """A piece that is being coded."""

    def ready(self) -> bool:
        """Whether `result` has to wait for nobody."""

    def result(self) -> Coded:
        """Return what it came to."""


Coder = Callable[[Values], Coding]


def coded(values: Values) -> Coded:
    """Code samples, (n, axes), and see that they come back, bit by bit."""
    try:
        data = sample_codec.encode(values)
        again = sample_codec.decode(data)
    except Exception:  # of whatever kind: a fault of the codec must cost bytes and never samples
        return Coded(RAW, raw_bytes(values), failed=True)
    same = again.dtype == values.dtype and again.shape == values.shape and _bits(again) == _bits(values)
    if not same:
        return Coded(RAW, raw_bytes(values), failed=True)
    plain = raw_bytes(values)
    return Coded(SAMPLES, data) if len(data) <= len(plain) else Coded(RAW, plain)


def decoded(codec: str, data: bytes, dtype: str, axes: int) -> Values:
    """Return the samples again. Raises ValueError."""
    if codec in READ_SAMPLES:
        values = sample_codec.decode(data)
        if values.ndim != 2 or values.shape[1] != axes or values.dtype.name != dtype:
            raise ValueError(f"{values.shape} {values.dtype}, said were {axes} axes of {dtype}")
        return values
    if codec != RAW:
        raise ValueError(f"the codec {codec!r}, which this version does not know")
    little = np.dtype(dtype).newbyteorder("<")
    return np.frombuffer(data, little).astype(dtype).reshape(-1, axes)


def raw_bytes(values: Values) -> bytes:
    """Return the values as they are, little-endian."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _bits(values: Values) -> bytes:
    return np.ascontiguousarray(values).tobytes()


class _Later:
    def __init__(self, values: Values) -> None:
        self._values: Values | None = values
        self._coded: Coded | None = None

    def ready(self) -> bool:
        return True

    def result(self) -> Coded:
        if self._coded is None:
            assert self._values is not None
            self._coded, self._values = coded(self._values), None
        return self._coded


def coded_later(values: Values) -> Coding:
    """Code when the outcome is asked for, and not if it never is."""
    return _Later(values)
