"""How far off predictions were, into symbols: as likely as `tables` say, or `levels` where values are few."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

from agent.sample_codec import tables
from agent.sample_codec.ans import Reader, Writer
from agent.sample_codec.levels import LEAST_ROWS, MOST_LEVELS, Levels
from agent.sample_codec.prediction import COEFFICIENT_BITS, VALUE_BITS, fit_rows

Ints = npt.NDArray[np.int64]

_LEVEL_COUNT_BITS = 7
_LEAST_LEVELS = 2
_LEVELS_BITS = 24  # what it costs to tell which levels there are, about
assert MOST_LEVELS == 1 << _LEVEL_COUNT_BITS
_ESCAPE_BITS = 24  # what an escape costs, about
TO_CELLS = COEFFICIENT_BITS - 2  # a prediction in quarter counts
assert tables.CELLS == 1 << 2


def _cells(values: Ints, predicted: Ints, indices: Ints, shape: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return start and width (start -1: escape), the distance in quarter counts, and the low bits' number."""
    low = np.maximum(0, (indices >> tables.SUB_BITS) - tables.EVEN_FROM)
    centres = (predicted - (((1 << low) - 1) << (COEFFICIENT_BITS - 1))) >> (low + TO_CELLS)
    starts, widths, offsets = tables.intervals(values >> low, centres, indices, shape)
    return starts, widths, offsets, low


def cost(values: Ints, predicted: Ints, indices: Ints, shape: int) -> float:
    """Return the bits that values without levels take, about."""
    starts, widths, _, low = _cells(values, predicted, indices, shape)
    known = starts >= 0
    bits = tables.PLACES * int(known.sum()) - float(np.log2(widths[known]).sum())
    return bits + float(low.sum()) + _ESCAPE_BITS * int((~known).sum())


def write(values: Ints, predicted: Ints, indices: Ints, shape: int, count: int, out: Writer) -> None:
    """Add values, (n * count,), of `count` axes side by side."""
    starts, widths, offsets, low = _cells(values, predicted, indices, shape)
    weighed = [_weighed(values, predicted, indices, shape, axis, count) for axis in range(count)]
    taken = []
    for axis, (levels, starts_, widths_) in enumerate(weighed):
        own = slice(axis, None, count)
        known = starts[own] >= 0
        least = float(np.log2(widths[own][known]).sum()) - float(low[own].sum())
        least -= (_ESCAPE_BITS + tables.PLACES) * int((~known).sum()) - _LEVELS_BITS
        if levels is not None and float(np.log2(widths_).sum()) > least:
            taken.append(axis)
            starts[own], widths[own], low[own] = starts_, widths_, 0
    out.rare(bool(taken))
    for axis in range(count) if taken else ():
        out.raw(axis in taken, 1)
        if axis in taken:
            levels = weighed[axis][0]
            assert levels is not None
            out.number(levels.lowest)
            out.raw(levels.count - _LEAST_LEVELS, _LEVEL_COUNT_BITS)
    joined = np.minimum(low, tables.MOST_LOW_BITS)
    even = values & ((1 << low) - 1)
    alone = np.flatnonzero((starts < 0) | (low > joined)).tolist()
    codes = (starts << joined) + (even >> (low - joined)) * widths
    bits = joined + tables.PLACES
    begin = 0
    for at in [*alone, len(values)]:
        out.many(codes[begin:at], widths[begin:at], bits[begin:at])
        begin = at + 1
        if at == len(values):
            break
        if starts[at] < 0:
            width = tables.table(int(indices[at]), shape).listed[0]
            out.many(np.array([0]), width << joined[at : at + 1], bits[at : at + 1])
            out.number(int(offsets[at]) >> 2)
            out.raw(int(even[at]), int(low[at]))
        else:
            out.many(codes[at : at + 1], widths[at : at + 1], bits[at : at + 1])
            out.raw(int(even[at]), int(low[at] - joined[at]))


def _weighed(
    values: Ints, predicted: Ints, indices: Ints, shape: int, axis: int, count: int
) -> tuple[Levels | None, Ints, Ints]:
    """Return the levels of an axis that has few, and start and width of each of its values."""
    own = values[axis::count]
    lowest, highest = int(own.min()), int(own.max())
    starts, widths = np.empty_like(own), np.empty_like(own)
    if highest - lowest >= min(MOST_LEVELS, len(own)) or len(own) < LEAST_ROWS:
        return None, starts, widths
    levels = Levels(lowest, highest - lowest + 1, shape)
    centres, scales = predicted[axis::count] >> TO_CELLS, indices[axis::count]
    begin = 0
    for end in fit_rows(len(own)):
        here = slice(begin, end)
        starts[here], widths[here] = levels.intervals(own[here], centres[here], scales[here])
        begin = end
    return levels, starts, widths


def read_levels(count: int, shape: int, source: Reader) -> dict[int, Levels]:
    """Read of which axes there are levels, and which. Raises ValueError."""
    levels = {}
    for axis in range(count) if source.version > 1 and source.rare() else ():
        if source.raw(1):
            lowest = source.number()
            if abs(lowest) + 2 * MOST_LEVELS >> VALUE_BITS:
                raise ValueError("coded samples beyond what they can be")
            levels[axis] = Levels(lowest, source.raw(_LEVEL_COUNT_BITS) + _LEAST_LEVELS, shape)
    return levels


def read_value(predicted: int, index: int, shape: int, source: Reader) -> int:
    """Read a value of an axis without levels. Raises ValueError."""
    found = tables.table(index, shape)
    low = tables.low_bits(index)
    joined = min(low, tables.MOST_LOW_BITS)
    centre = (predicted - (((1 << low) - 1) << (COEFFICIENT_BITS - 1))) >> (low + TO_CELLS)
    place = source.peek(tables.PLACES + joined)
    edges = found.listed
    slot = place >> joined
    if slot < edges[0]:
        source.take(0, edges[0] << joined, tables.PLACES + joined)
        distance = source.number()
        value = distance + (centre + (tables.CELLS - 1) >> 2)
        value = value << low | source.raw(low)
    else:
        cell = bisect_right(edges, slot) - 1 - tables.CELLS * found.half
        value = (cell + tables.CELLS // 2 + centre) >> 2
        first = tables.CELLS * value - centre - tables.CELLS // 2 + tables.CELLS * found.half
        if first < 0 or first + tables.CELLS >= len(edges):
            raise ValueError("coded samples that no writer writes")
        start = edges[first]
        width = edges[first + tables.CELLS] - start
        even = (place - (start << joined)) // width
        source.take((start << joined) + even * width, width, tables.PLACES + joined)
        value = value << joined | even
        if low > joined:
            value = value << (low - joined) | source.raw(low - joined)
    if not -(1 << VALUE_BITS) < value < 1 << VALUE_BITS:
        raise ValueError("coded samples beyond what they can be")
    return value
