"""How likely each residual is, given how large its neighbours were: Student's distribution in whole numbers.

A table is for one scale and one of `SHAPES`. Its cells are quarters of a count, so that a prediction need
not be whole: a residual has the interval of the four cells around it. The first interval is the escape for
what lies beyond. Built from +, -, *, / alone, which IEEE 754 rounds alike on every machine; no libm.

Scales: a mean magnitude in 256ths of a count, as a float of three bits behind the point: `scale_index`.
From 16 counts on, the low bits of a residual are as good as even, and one table an eighth of an octave does.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PLACES = 20  # an interval is so many 2^-20
FRACTION_BITS = 8  # of a mean magnitude
SUB_BITS = 3  # steps in an octave: 8
LEAST_MAGNITUDE = 1 << SUB_BITS
EVEN_FROM = 12  # bit length of a mean magnitude of 8 up to 16 counts: the widest table
MARGIN = 128  # counts on either side of a wide table
_WIDEST = 15  # up to 128 counts
MOST_LOW_BITS = 12  # MOST_BITS of ans less PLACES
CELLS = 4  # a count
_REACH = 12  # scales that a table spans, either way
_SIMPSON = 4
_LEAST_ESCAPE = 1 << (PLACES - 14)
MOST_LIKELY = (1 << PLACES) - (1 << (PLACES - 6))
"""What one residual may take: it costs 0.022 bits or more, so few bytes cannot claim many samples."""
MOST_VALUES_A_BYTE = 360

# Degrees of freedom (odd), and the scale for a mean magnitude of 1.
SHAPES: tuple[tuple[int, float], ...] = (
    (3, 0.80),
    (3, 0.92),
    (5, 0.98),
    (5, 1.08),
    (9, 1.08),
    (9, 1.18),
    (29, 1.16),
    (29, 1.27),
)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The intervals of residuals.

    ``edges``: (cells + 1,) where each cell begins in 2^20, the escape before the first; ``listed``: the
    same for `bisect`. ``half``: how many counts to either side of the prediction.
    """

    edges: Ints
    listed: list[int]
    half: int


def scale_index(magnitude: int) -> int:
    """Return the index of a mean magnitude: its bit length and the three bits behind the first."""
    length = magnitude.bit_length()
    return length << SUB_BITS | (magnitude >> (length - 1 - SUB_BITS)) & (LEAST_MAGNITUDE - 1)


def scale_indices(magnitudes: Ints) -> Ints:
    """Return `scale_index` of each, (n,) below 2^53."""
    lengths = np.frexp(magnitudes.astype(np.float64))[1].astype(np.int64)
    first = magnitudes >> (lengths - 1 - SUB_BITS)
    return lengths << SUB_BITS | first & (LEAST_MAGNITUDE - 1)


def low_bits(index: int) -> int:
    """Return how many low bits of a residual are even at this scale."""
    return max(0, (index >> SUB_BITS) - EVEN_FROM)


def table(index: int, shape: int) -> Table:
    """Return the table for a scale index."""
    length = min(index >> SUB_BITS, EVEN_FROM)
    return _built(length << SUB_BITS | index & (LEAST_MAGNITUDE - 1), shape)


def wide(index: int, shape: int) -> tuple[Ints, int]:
    """Return the edges for a scale index in whole counts, also where low bits are even, and `Table.half`.

    Both ends go on for `MARGIN` counts more, which counts as half.
    """
    return _wide(min(index >> SUB_BITS, _WIDEST) << SUB_BITS | index & (LEAST_MAGNITUDE - 1), shape)


@functools.cache
def _wide(index: int, shape: int) -> tuple[Ints, int]:
    found = _built(index, shape)
    return np.pad(found.edges, CELLS * MARGIN, mode="edge"), found.half + MARGIN


@functools.cache
def _built(index: int, shape: int) -> Table:
    freedom, factor = SHAPES[shape]
    first = LEAST_MAGNITUDE + (index & (LEAST_MAGNITUDE - 1)) + 0.5
    magnitude = math.ldexp(first, (index >> SUB_BITS) - 1 - SUB_BITS - FRACTION_BITS)
    scale = _scale(magnitude, factor, shape % 2 == 1)
    half = int(_REACH * scale) + 2
    cells = 2 * CELLS * half
    # the density at the edges and inside of each cell; composite Simpson over the cell
    at = (np.arange(cells * _SIMPSON + 1, dtype=np.float64) / (_SIMPSON * CELLS) - half) / scale
    base = 1.0 / (1.0 + at * at / freedom)
    density = base
    for _ in range((freedom + 1) // 2 - 1):
        density = density * base
    inner = 4.0 * (density[1::4] + density[3::4]) + 2.0 * density[2::4]
    mass = density[0:-1:4] + inner + density[4::4]
    total = np.cumsum(mass)  # in order, one by one
    # beyond the reach the density falls as z^-(freedom + 1)
    tail = 2.0 * density[0] * 12.0 * CELLS * half / freedom
    escape = max(_LEAST_ESCAPE, int(tail / (tail + total[-1]) * (1 << PLACES)))
    room = (1 << PLACES) - escape - cells  # each cell has at least one
    edges = np.zeros(cells + 1, np.int64)
    edges[1:] = np.floor(total / total[-1] * room).astype(np.int64) + np.arange(1, cells + 1)
    peak = int((edges[CELLS:] - edges[:-CELLS]).max())
    if peak > MOST_LIKELY:
        cut = np.arange(cells + 1) + np.floor((edges - np.arange(cells + 1)) * (MOST_LIKELY / peak))
        edges = cut.astype(np.int64)
    edges += (1 << PLACES) - int(edges[-1])
    return Table(edges, edges.tolist(), half)


def _scale(magnitude: float, factor: float, settled: bool) -> float:
    """Return the scale for a mean magnitude of whole counts, which rounding makes larger, or hides.

    ``settled``: predictions stand near whole counts, as where little ever changes.
    """
    square = (magnitude * factor) * (magnitude * factor)
    if settled:
        return max(math.sqrt(max(0.0, square - 1 / 24)), 0.2 + min(magnitude, 0.5))
    return max(math.sqrt(max(0.0, square - 1 / 12)), 0.2 + min(magnitude, 0.5) / 2)


def intervals(wholes: Ints, centres: Ints, indices: Ints, shape: int) -> tuple[Ints, Ints, Ints]:
    """Return start, width and bits of each of `wholes`, predicted as `centres` quarter counts.

    All are (n,), in units of the scale (see `low_bits`). Start -1: an escape.
    """
    starts = np.full(len(wholes), -1, np.int64)
    widths = np.zeros(len(wholes), np.int64)
    offsets = CELLS * wholes - centres
    for index in np.unique(indices).tolist():
        here = np.flatnonzero(indices == index)
        found = table(index, shape)
        cell = offsets[here] + CELLS * found.half - CELLS // 2
        inside = (cell >= 0) & (cell + CELLS < len(found.edges))
        here, cell = here[inside], cell[inside]
        starts[here] = found.edges[cell]
        widths[here] = found.edges[cell + CELLS] - found.edges[cell]
    return starts, widths, offsets
