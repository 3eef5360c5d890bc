"""Floats that were reckoned in two steps and rounded in each: a number of a sensor, and a change of units.

A driver that takes millionths of g, makes g of them and then m/s² leaves doubles that are no multiples of
anything: what a product was before it was rounded is lost. With the factors every value comes back.

* `Chain`: whole numbers, times or over a first size, times a `FACTORS` or any number. (As pcodec's
  ``FloatMult``, but for values that were rounded twice.)
* `carried`: doubles that hold singles, as they are, times a factor, or read from the text of one: half of
  their bits say nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.sample_codec import steps
from agent.sample_codec.ans import Reader, Writer

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

_G = 9.80665
FACTORS = (
    (1.0, 1.0),
    (_G, 1.0),
    (9.81, 1.0),
    (9.8, 1.0),
    (float(np.float32(_G)), 1.0),
    (float(np.float32(9.81)), 1.0),
    (float(np.float32(9.8)), 1.0),
    (_G / 1000, 1.0),
    (_G, 1000.0),
    (0.001, 1.0),
    (1.0, 1000.0),
    (1e-6, 1.0),
    (1.0, 1e6),
    (math.pi / 180, 1.0),
    (math.pi, 180.0),
    (1.0, 180 / math.pi),
    (float(np.float32(math.pi / 180)), 1.0),
    (180 / math.pi, 1.0),
    (math.pi / 180 / 1000, 1.0),
    (0.0174533, 1.0),
    (1.0, 57.3),
    (1.0, _G),
    (1000.0, 1.0),
)
"""Times the one, over the other: they are told by their places, so more may follow and none may change."""
_FACTOR_BITS = 5
_OWN_FACTOR = (1 << _FACTOR_BITS) - 1
_TEXT = _OWN_FACTOR - 1  # the shortest decimals that tell a single from its neighbours
_SOME = 24
_MOST_NUMBER = float(1 << 40)
_MOST_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class Chain:
    """A number times ``first``, or over it; and that times ``factor``, or with the place of one."""

    over: bool
    first: float
    factor: float | int

    def of(self, numbers: Ints, dtype: np.dtype[Any]) -> Values:
        """Return what is reckoned of numbers, in the arithmetic of `dtype`."""
        with np.errstate(over="ignore", invalid="ignore"):
            first, wide = dtype.type(self.first), numbers.astype(dtype)
            wide = wide / first if self.over else wide * first
            if isinstance(self.factor, float):
                return np.ascontiguousarray(wide * dtype.type(self.factor))
            return _times(wide, self.factor)

    def write(self, out: Writer) -> None:
        """Add it."""
        out.raw(self.over, 1)
        steps.write(self.first, out)
        out.raw(_OWN_FACTOR if isinstance(self.factor, float) else self.factor, _FACTOR_BITS)
        if isinstance(self.factor, float):
            steps.write(self.factor, out)

    @classmethod
    def read(cls, source: Reader) -> Chain:
        """Read one. Raises ValueError."""
        over = bool(source.raw(1))
        first, place = steps.read(source), source.raw(_FACTOR_BITS)
        return cls(over, first, steps.read(source) if place == _OWN_FACTOR else _known(place))


def chain_of(finite: Values, most_wrong: float) -> tuple[Chain, float] | None:
    """Return a chain that gives back all but so many of finite values, and its step, about."""
    levels = np.unique(np.abs(finite))
    levels = levels[levels > 0]
    if len(levels) < steps.LEAST_LEVELS or levels[0] < steps.LEAST_LEVEL:
        return None
    half = np.spacing(levels).astype(np.float64) / 2
    low, high = steps.bounds_of(levels.astype(np.float64), steps.SEVERAL * half)
    if not steps.LEAST_LEVEL < low < high < steps.MOST_LEVEL:
        return None
    size = (low + high) / 2
    numbers = np.rint(finite.astype(np.float64) / size)
    if not np.abs(numbers).max() < _MOST_NUMBER:
        return None
    whole = numbers.astype(np.int64)
    some = np.linspace(0, len(finite) - 1, _SOME).astype(int)
    for chain in _candidates(low, high):
        if all(
            (chain.of(whole[part], finite.dtype) != finite[part]).mean() <= most_wrong
            for part in (some, slice(None))
        ):
            return chain, size
    return None


def _candidates(low: float, high: float) -> list[Chain]:
    """Return what whole numbers may have been multiplied by, to be multiples of a step of those bounds."""
    found = []
    for place, (times, over) in enumerate(FACTORS):
        factor = times / over
        for size in steps.plain(low / factor, high / factor):
            found.append(Chain(False, size, place))
        for size in steps.plain(factor / high, factor / low):
            found.append(Chain(True, size, place))
    found += [Chain(False, size, 0) for size in steps.between(low, high)]
    for decimals in range(_MOST_DECIMALS + 1):
        first = float(10**decimals)
        for size in steps.plain(low * first, high * first):
            found.append(Chain(True, first, size))
            found.append(Chain(False, 1 / first, size))
    return [one for one in found if _sendable(one.first) and _sendable(one.factor)]


def _sendable(size: float | int) -> bool:
    return isinstance(size, int) or 1 / steps.MOST_LEVEL < size < steps.MOST_LEVEL


# singles within doubles


def carried(values: Values) -> tuple[int, Values] | None:
    """Return the place of the factor by which singles became these doubles, and the singles; None: none."""
    some = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(some) or not 1e-30 < float(some.min()) <= float(some.max()) < 1e30:
        return None
    some = some[np.linspace(0, len(some) - 1, _SOME).astype(int)]
    for place in (*range(len(FACTORS)), _TEXT):
        if not (doubles(_singles(some, place), place) == some).all():
            continue
        singles = _singles(values, place)
        if doubles(singles, place).tobytes() == values.tobytes():
            return place, singles
    return None


def write_carried(place: int | None, out: Writer) -> None:
    """Add the place of the factor; None: these are doubles by themselves."""
    out.rare(place is not None)
    if place is not None:
        out.raw(place, _FACTOR_BITS)


def read_carried(source: Reader) -> int | None:
    """Read what `write_carried` wrote. Raises ValueError."""
    if not source.rare():
        return None
    place = source.raw(_FACTOR_BITS)
    return place if place == _TEXT else _known(place)


def _singles(values: Values, place: int) -> Values:
    times, over = (1.0, 1.0) if place == _TEXT else FACTORS[place]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray((values * (over / times)).astype(np.float32))


def doubles(singles: Values, place: int) -> Values:
    """Return the doubles that singles became."""
    if place == _TEXT:
        return np.ascontiguousarray(singles.astype(np.str_).astype(np.float64))
    with np.errstate(over="ignore", invalid="ignore"):
        return _times(singles.astype(np.float64), place)


def _times(wide: Values, place: int) -> Values:
    times, over = FACTORS[place]
    return np.ascontiguousarray(wide * wide.dtype.type(times) / wide.dtype.type(over))


def _known(place: int) -> int:
    if place >= len(FACTORS):
        raise ValueError("coded samples with a factor that is not known")
    return place
