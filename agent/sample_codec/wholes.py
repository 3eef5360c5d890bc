"""Whole numbers in time, several axes of them, into symbols: predicted, and coded by how far off that was.

How far off it will be is told by how far off it was: the mean of a fast and a slow running mean (of 8 and of
32 samples) picks the table. So a shock is taken up within a few samples, and nothing is sent for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from agent.sample_codec import residuals, tables
from agent.sample_codec.ans import Reader, Writer
from agent.sample_codec.levels import Levels
from agent.sample_codec.prediction import (
    COEFFICIENT_BITS,
    FIT_BITS,
    MOST_ROWS,
    ORDERS,
    VALUE_BITS,
    Order,
    Predictor,
    fit_rows,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RANGE_BITS = VALUE_BITS - 1  # within an axis
_ORDER_BITS, _SHAPE_BITS, _SHIFT_BITS = 2, 3, 5
_FAST_BITS, _SLOW_BITS = 3, 5
_MOST_NUMBER_BITS = 62
_SHIFT_BIAS = FIT_BITS
_USUAL_SPREAD = 30  # of differences of a hundred counts
_FAR = 8  # so many spreads from the mean, the first sample is the better offset
_USUAL_SHAPE = 4
_LONG_ROWS = 1500  # from so many on, low orders are not tried
_DAMPED = 2  # octaves below the spread from which on a row counts less
_TO_MAGNITUDE = COEFFICIENT_BITS - tables.FRACTION_BITS


@dataclass(frozen=True, slots=True)
class _Axis:
    """``offset``: what a value of 0 stands for; ``spread``: how large differences are, see `_spread`."""

    offset: int
    spread: int


@dataclass(slots=True)
class _Plan:
    """One way to code values: (n * axes,) each, but for ``order``."""

    order: int
    predicted: Ints
    indices: Ints
    bits: float


def fits(wholes: Ints) -> bool:
    """Tell whether `write` takes these."""
    return bool((wholes.max(axis=0) - wholes.min(axis=0) < 1 << RANGE_BITS).all())


def write(wholes: Ints, out: Writer) -> None:
    """Add (n, axes) whole numbers that differ by less than 2^26 within an axis."""
    for begin in range(0, len(wholes), MOST_ROWS):
        _write_part(wholes[begin : begin + MOST_ROWS], out)


def read(rows: int, axes: int, data_bytes: int, source: Reader) -> Ints:
    """Read (rows, axes). Raises ValueError, also where `data_bytes` are too few for that many."""
    parts = []
    for begin in range(0, rows, MOST_ROWS):
        parts.append(_read_part(min(MOST_ROWS, rows - begin), axes, data_bytes, source))
    return np.concatenate(parts)


def _write_part(wholes: Ints, out: Writer) -> None:
    moving = (wholes != wholes[0]).any(axis=0)
    out.rare(not moving.all())
    for is_moving, first in zip(moving.tolist(), wholes[0].tolist(), strict=True):
        if not moving.all():
            out.raw(is_moving, 1)
        if not is_moving:
            out.number(first)
    if not moving.any():
        return
    values = wholes[:, moving]
    axes = [_axis_of(values[:, i]) for i in range(values.shape[1])]
    spread = _USUAL_SPREAD
    for axis in axes:
        out.small(axis.spread - spread)
        spread = axis.spread
        out.number(axis.offset >> _offset_bits(axis.spread))
    values = values - np.array([axis.offset for axis in axes])
    shift = int(np.abs(values).max()).bit_length() - FIT_BITS + _SHIFT_BIAS
    orders = range(len(ORDERS)) if len(values) < _LONG_ROWS else range(len(ORDERS) - 2, len(ORDERS))
    plans = [_plan(values, axes, shift, order) for order in orders]
    plan = min(plans, key=lambda plan: plan.bits)
    flat = values.ravel()
    costs = [residuals.cost(flat, plan.predicted, plan.indices, shape) for shape in range(len(tables.SHAPES))]
    shape = costs.index(min(costs))
    out.raw(shift, _SHIFT_BITS)
    out.raw(plan.order, _ORDER_BITS)
    out.raw(shape, _SHAPE_BITS)
    residuals.write(flat, plan.predicted, plan.indices, shape, len(axes), out)


def _axis_of(values: Ints) -> _Axis:
    steps = np.abs(np.diff(values))
    magnitude = int(steps.sum()) * (1 << tables.FRACTION_BITS) // len(steps)
    spread = _spread_index(magnitude)
    offset = int(values.sum()) // len(values)
    first = int(values[0])
    if abs(first - offset) * (1 << tables.FRACTION_BITS) > _FAR * magnitude:
        offset = first
    coarse = _offset_bits(spread)
    return _Axis((offset + (1 << coarse >> 1)) >> coarse << coarse, spread)


def _spread_index(magnitude: int) -> int:
    magnitude = max(magnitude, tables.LEAST_MAGNITUDE)
    length = magnitude.bit_length()
    return length << 1 | magnitude >> (length - 2) & 1


def _spread(index: int) -> int:
    """Return the mean difference that an index stands for, in 256ths of a count."""
    return (5 + 2 * (index & 1)) << (index >> 1) >> 3


def _offset_bits(spread: int) -> int:
    """Return how many low bits of an offset are not worth their room."""
    return max(0, (spread >> 1) - tables.FRACTION_BITS - 1)


def _predictor(order: Order, axes: list[_Axis], shift: int) -> Predictor:
    unit = math.ldexp(1.0, tables.FRACTION_BITS + shift - _SHIFT_BIAS)
    return Predictor(len(axes), order, np.array([_spread(axis.spread) / unit for axis in axes]))


def _start(axis: _Axis) -> int:
    return _spread(axis.spread)


def _plan(values: Ints, axes: list[_Axis], shift: int, order: int) -> _Plan:
    rows, count = values.shape
    predictor = _predictor(ORDERS[order], axes, shift)
    reach = predictor.reach
    padded = np.zeros(reach + rows * count)
    padded[reach:] = values.ravel()
    windows = sliding_window_view(padded, reach)
    fitted = np.floor(np.ldexp(padded, _SHIFT_BIAS - shift))
    fit_windows = sliding_window_view(fitted, reach)
    predicted = np.empty((rows, count), np.int64)
    indices = np.empty((rows, count), np.int64)
    running = [_Running(axis) for axis in axes]
    begin = 0
    for end in fit_rows(rows):
        for axis in range(count):
            here = windows[begin * count + axis : end * count : count]
            predicted[begin:end, axis] = here @ predictor.weights[axis]
        off = (values[begin:end] << tables.FRACTION_BITS) - (predicted[begin:end] >> _TO_MAGNITUDE)
        for axis in range(count):
            indices[begin:end, axis] = running[axis].follow(np.abs(off[:, axis]).tolist())
        if end < rows:
            damping = _damping(indices[begin:end], axes)
            predictor.learn(fit_windows, slice(begin, end), fitted[reach:], damping)
        begin = end
    flat = predicted.ravel()
    return _Plan(
        order, flat, indices.ravel(), residuals.cost(values.ravel(), flat, indices.ravel(), _USUAL_SHAPE)
    )


class _Running:
    """How far off predictions of an axis were of late."""

    def __init__(self, axis: _Axis) -> None:
        self.fast = _start(axis) << _FAST_BITS
        self.slow = _start(axis) << _SLOW_BITS

    def follow(self, magnitudes: list[int]) -> Ints:
        """Return the index of the scale for each of these, before it was known."""
        fast, slow = self.fast, self.slow
        means = []
        for magnitude in magnitudes:
            means.append(_mean(fast, slow))
            fast += magnitude - (fast >> _FAST_BITS)
            slow += magnitude - (slow >> _SLOW_BITS)
        self.fast, self.slow = fast, slow
        return tables.scale_indices(np.array(means, np.int64))


def _damping(indices: Ints, axes: list[_Axis]) -> Floats:
    """Return (n, axes) what rows count in fitting: 1, or the less the further off predictions were."""
    usual = np.array([axis.spread >> 1 for axis in axes])
    over = np.maximum(0, (indices >> tables.SUB_BITS) - usual + _DAMPED)
    return np.asarray(np.ldexp(1.0, -over.astype(np.int32)), np.float64)


def _mean(fast: int, slow: int) -> int:
    """Return the mean of both means; the slow one forgets a shock as soon as the fast one is far below it."""
    fast <<= _SLOW_BITS - _FAST_BITS
    slow = min(slow, 2 * fast)
    mean = fast + slow >> _SLOW_BITS + 1
    return mean if mean > tables.LEAST_MAGNITUDE else tables.LEAST_MAGNITUDE


def _read_part(rows: int, count: int, data_bytes: int, source: Reader) -> Ints:
    wholes = np.zeros((rows, count), np.int64)
    moving = []
    all_move = bool(source.raw(1)) if source.version == 1 else not source.rare()
    for i in range(count):
        if all_move or source.raw(1):
            moving.append(i)
        else:
            wholes[:, i] = source.number()
    if not moving:
        return wholes
    if rows * len(moving) > tables.MOST_VALUES_A_BYTE * data_bytes:
        raise ValueError(f"{data_bytes} bytes that claim {rows * len(moving)} numbers")
    axes = []
    spread = _USUAL_SPREAD
    for _ in moving:
        spread += source.small()
        if not tables.SUB_BITS < spread >> 1 <= VALUE_BITS + tables.FRACTION_BITS + 1:
            raise ValueError("coded samples with a spread that none can have")
        offset = source.number() << _offset_bits(spread)
        if abs(offset) >> _MOST_NUMBER_BITS:
            raise ValueError("coded samples with an offset that none can have")
        axes.append(_Axis(offset, spread))
    shift = source.raw(_SHIFT_BITS)
    order = source.raw(_ORDER_BITS)
    shape = source.raw(_SHAPE_BITS)
    levels = residuals.read_levels(len(axes), shape, source)
    values = _read_residuals(rows, axes, shift, ORDERS[order], shape, levels, source)
    wholes[:, moving] = values + np.array([axis.offset for axis in axes])
    return wholes


def _read_residuals(
    rows: int,
    axes: list[_Axis],
    shift: int,
    order: Order,
    shape: int,
    levels: dict[int, Levels],
    source: Reader,
) -> Ints:
    predictor = _predictor(order, axes, shift)
    count, reach = len(axes), predictor.reach
    padded = np.zeros(reach + rows * count)
    fitted = np.zeros(reach + rows * count)
    fit_windows = sliding_window_view(fitted, reach)
    fast = [_start(axis) << _FAST_BITS for axis in axes]
    slow = [_start(axis) << _SLOW_BITS for axis in axes]
    indices = np.zeros((rows, count), np.int64)
    numbered = list(range(count))
    begin, at = 0, 0
    for end in fit_rows(rows):
        weights = list(predictor.weights)
        for row in range(begin, end):
            for axis in numbered:
                predicted = int(padded[at : at + reach].dot(weights[axis]))
                index = tables.scale_index(_mean(fast[axis], slow[axis]))
                indices[row, axis] = index
                if axis in levels:
                    value = levels[axis].read(predicted >> residuals.TO_CELLS, index, source)
                else:
                    value = residuals.read_value(predicted, index, shape, source)
                padded[at + reach] = value
                at += 1
                magnitude = abs((value << tables.FRACTION_BITS) - (predicted >> _TO_MAGNITUDE))
                fast[axis] += magnitude - (fast[axis] >> _FAST_BITS)
                slow[axis] += magnitude - (slow[axis] >> _SLOW_BITS)
        if end < rows:
            here = slice(begin * count + reach, end * count + reach)
            fitted[here] = np.floor(np.ldexp(padded[here], _SHIFT_BIAS - shift))
            damping = _damping(indices[begin:end], axes)
            predictor.learn(fit_windows, slice(begin, end), fitted[reach:], damping)
        for one in levels.values():
            one.learn()
        begin = end
    return padded[reach:].astype(np.int64).reshape(rows, count)
