"""What an .IDE file tells of its own soundness: the chain of its elements, and each block's own statistics.

EBML elements say their length, so a cut, or a damaged length, shows where the chain breaks; what stands
before is whole. Most recorders write minimum, mean and maximum of a block's counts beside it: a block that
contradicts them is damaged. On channels where the blocks of a whole file do not agree with theirs (the
digital accelerometers with tags among their counts), nothing follows from them.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 0xA1
MEAN_TOLERANCE = 1.01
"""Counts: recorders cut the mean to a whole number."""


def whole_bytes(data: bytes, known: Container[int]) -> tuple[int, str]:
    """Return how many bytes from the start are whole elements, and what is wrong behind them, if anything.

    `known`: the numbers of elements that the format has.
    """
    at = 0
    while at < len(data):
        try:
            number, begin, end = _element(data, at, len(data), known)
            if number == BLOCK:
                inner = begin
                while inner < end:
                    _, _, inner = _element(data, inner, end, known)
        except ValueError as error:
            return at, str(error)
        at = end
    return at, ""


def _element(data: bytes, at: int, end: int, known: Container[int]) -> tuple[int, int, int]:
    """Return number, begin and end of the element at `at`. Raises ValueError."""
    width = _width(data, at, end, longest=4)
    number = int.from_bytes(data[at : at + width], "big")
    if number not in known:
        raise ValueError(f"an element 0x{number:x}, which the format has not")
    at += width
    width = _width(data, at, end, longest=8)
    length = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    at += width
    if length > end - at:
        raise ValueError("it is cut off, or a length is damaged")
    return number, at, at + length


def _width(data: bytes, at: int, end: int, *, longest: int) -> int:
    width = 9 - data[at].bit_length() if at < end else longest + 1
    if width > longest or at + width > end:
        raise ValueError("it is cut off, or no element begins there")
    return width


def contradicted(blocks: Any, samples: int) -> npt.NDArray[np.bool_]:
    """Return which of a channel's samples stand in blocks that contradict their statistics: (samples,)."""
    wrong = np.zeros(samples, np.bool_)
    judged: list[tuple[bool, tuple[int, int]]] = []
    for block in blocks:
        if block.minMeanMax is None or block._minMeanMaxEl is None:
            continue
        counts = np.asarray(block.payload)
        if counts.dtype.names:
            counts = np.stack([counts[name] for name in counts.dtype.names], axis=1)
        least, mean, most = (
            np.asarray(told)[: counts.shape[1]] for told in (block.min, block.mean, block.max)
        )
        agrees = (
            len(counts) > 0
            and bool((counts.min(axis=0) == least).all() and (counts.max(axis=0) == most).all())
            and bool((np.abs(counts.mean(axis=0) - mean) < MEAN_TOLERANCE).all())
        )
        judged.append((agrees, block.indexRange))
    if sum(agrees for agrees, _ in judged) * 2 <= len(judged):
        return wrong
    for agrees, (begin, end) in judged:
        if not agrees:
            wrong[begin:end] = True
    return wrong
